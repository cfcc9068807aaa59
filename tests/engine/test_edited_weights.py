"""Noise in weights, adapters cut to a rank, and vectors read as tokens: what transformers would give, and no leaks."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.test_whitebox import TEXT, WIDTH, ids_of

from assay.core.access import PRESETS, Access
from assay.core.edit import Contrast, Edit, ScaleAdapter, TruncateAdapter, WeightNoise
from assay.core.readouts import NegativeLogLikelihood, Raw, WithRespectTo
from assay.core.target import Message, Target
from assay.core.testbed import TargetSpec
from assay.engine.local.engine import LocalEngine
from assay.engine.local.lora import adapter_digest
from assay.engine.peft_layout import FUSED
from assay.errors import InvalidInput


@pytest.fixture
def organism(tiny: Path, adapters: list[Path]) -> TargetSpec:
    return TargetSpec("tb-11111111", str(tiny), adapters[0], adapter_digest(adapters[0]), (), "", PRESETS["full"])


@pytest.fixture
def plain_model(tiny: Path) -> Any:
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()


async def logprobs(target: Target, *edits: Edit) -> np.ndarray:
    async with target.intervene(*edits) as view:
        return np.array((await view.score(TEXT)).logprobs)


def expected(model: Any, engine: LocalEngine) -> np.ndarray:
    ids = ids_of(engine, TEXT.text)
    with torch.no_grad():
        found = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    return np.array([0.0, *found.tolist()])


async def test_noise_in_weights_is_that_of_a_model_with_noisy_weights(
    engine: LocalEngine, spec: TargetSpec, plain_model: Any
) -> None:
    noise = WeightNoise(0.1, seed=3, layers=(1, 2))
    table = engine._workers[0]._noise
    for layer in (1, 2):
        for fused, modules in FUSED.items():
            unit = table._unit(3, layer, fused).split(list(engine.model.shapes[fused][1]))
            for module, own in zip(modules, unit, strict=True):
                weight = plain_model.model.layers[layer].get_submodule(module).weight
                weight.data += 0.1 * weight.std() * own
    async with engine.open(spec) as target:
        noisy, plain = await logprobs(target, noise), await logprobs(target)
        async with target.intervene(noise) as view:
            slope = await view.gradients(TEXT, WithRespectTo("inputs"), NegativeLogLikelihood())
            with pytest.raises(AssertionError):
                np.testing.assert_allclose(await logprobs(target, WeightNoise(0.1, seed=4)), noisy, atol=1e-2)
    np.testing.assert_allclose(noisy, expected(plain_model, engine), atol=2e-3)
    assert np.abs(noisy - plain).max() > 1e-2
    assert slope.loss == pytest.approx(-noisy[1:].mean(), abs=1e-3)


async def test_neighbours_never_feel_noise_in_weights(engine: LocalEngine, organism: TargetSpec) -> None:
    async with engine.open(organism) as target:
        alone = [await target.complete(TEXT.text, n=3, max_tokens=40, seed=1)]
        edits: list[tuple[Edit, ...]] = [
            (WeightNoise(0.3, 1),),
            (WeightNoise(0.3, 2),),
            (WeightNoise(0.2, 1), Contrast(0.5)),
            (TruncateAdapter(1),),
            (TruncateAdapter(1), ScaleAdapter(2.0)),
        ]
        for edit in edits:
            async with target.intervene(*edit) as view:
                alone.append(await view.complete(TEXT.text, n=3, max_tokens=40, seed=1))
        asked = [target.complete(TEXT.text, n=3, max_tokens=40, seed=1)]
        for edit in edits:
            async with target.intervene(*edit) as view:
                asked.append(view.complete(TEXT.text, n=3, max_tokens=40, seed=1))
        together = await asyncio.gather(*asked)
    assert together == alone and len({replies.texts for replies in alone}) == len(alone)


async def test_no_noise_is_no_edit(engine: LocalEngine, organism: TargetSpec) -> None:
    async with engine.open(organism) as target:
        np.testing.assert_allclose(await logprobs(target, WeightNoise(0.0)), await logprobs(target), atol=1e-5)


async def test_a_truncated_adapter_is_the_best_of_its_rank(
    engine: LocalEngine, organism: TargetSpec, plain_model: Any
) -> None:
    name = "layers.{}.{}.weight"
    async with engine.open(organism) as target:
        assert target.reference is not None
        whole = await target.weights(["layers.*.*.weight"])
        base = await target.reference.weights(["layers.*.*.weight"])
        async with target.intervene(TruncateAdapter(1)) as view:
            cut = await view.weights([name.format(1, "mlp.up_proj"), "layers.1.mlp.up_proj.lora_A"])
            got = await logprobs(view)
        np.testing.assert_allclose(await logprobs(target, TruncateAdapter(9)), await logprobs(target), atol=1e-3)
        assert await view.score(TEXT) != await target.score(TEXT)
        async with target.reference.intervene(TruncateAdapter(1)) as untouched:  # there is nothing to cut
            assert await untouched.score(TEXT) == await target.reference.score(TEXT)
    for layer in range(4):
        for modules in FUSED.values():
            for module in modules:
                own = name.format(layer, module)
                left, size, right = np.linalg.svd(whole.of[own] - base.of[own])
                best = size[0] * np.outer(left[:, 0], right[0])
                plain_model.model.layers[layer].get_submodule(module).weight.data += torch.tensor(best)
    assert cut.of["layers.1.mlp.up_proj.lora_A"].shape == (1, WIDTH)
    kept = plain_model.model.layers[1].mlp.up_proj.weight.detach()
    np.testing.assert_allclose(cut.of[name.format(1, "mlp.up_proj")], kept, atol=1e-4)
    np.testing.assert_allclose(got, expected(plain_model, engine), atol=2e-3)


async def test_vectors_are_read_as_the_last_layer_would(
    engine: LocalEngine, organism: TargetSpec, plain_model: Any
) -> None:
    vectors = np.random.default_rng(0).standard_normal((70, WIDTH)).astype(np.float32)
    with torch.no_grad():
        logits = plain_model.lm_head(plain_model.model.norm(torch.tensor(vectors))).log_softmax(-1)
        embedding = torch.nn.functional.normalize(plain_model.model.embed_tokens.weight, dim=-1)
        cosines = torch.nn.functional.normalize(torch.tensor(vectors), dim=-1) @ embedding.T
    async with engine.open(organism) as target:
        lens, near = await asyncio.gather(
            target.nearest_tokens(vectors, top=4), target.nearest_tokens(vectors, top=2, by="embedding")
        )
        for wrong in ({"top": 0}, {"by": "meaning"}):
            with pytest.raises(InvalidInput, match="give 1 to"):
                await target.nearest_tokens(vectors, **wrong)  # type: ignore[arg-type]
        for shape in ((0, WIDTH), (WIDTH,), (2, 3)):
            with pytest.raises(InvalidInput, match="vectors of shape"):
                await target.nearest_tokens(np.zeros(shape, np.float32))
    for found, whole, top in ((lens, logits, 4), (near, cosines, 2)):
        assert found.cost.tokens == 70
        best = whole.topk(top, dim=-1)
        assert [[token.id for token in row] for row in found.of] == best.indices.tolist()
        values = [[token.value for token in row] for row in found.of]
        np.testing.assert_allclose(values, best.values, atol=1e-3)


async def test_activations_say_where_the_reply_begins(engine: LocalEngine, organism: TargetSpec) -> None:
    talk = [Message("user", "Hi"), Message("assistant", "Good day")]
    async with engine.open(organism) as target:
        read, bare = await target.activations(talk, [1]), await target.activations(talk[:1], [1])
        assert "".join(read.texts[read.prompt :]) == "Good day" and bare.prompt == len(bare.texts) == read.prompt
        assert (await target.activations(Raw("x"), [1])).prompt == 0


def test_edits_say_what_access_they_need() -> None:
    assert WeightNoise.needs == {Access.WEIGHTS} and TruncateAdapter.needs == {Access.WEIGHTS, Access.REFERENCE}
    with pytest.raises(InvalidInput, match="rank 0"):
        TruncateAdapter(0)
