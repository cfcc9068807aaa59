"""Gemma on the engine's other paths: adapters, mixed batches, probes, edits, as transformers and PEFT have them."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.families import FAMILIES, PROMPT, make

from assay.core.access import PRESETS
from assay.core.edit import AddVector
from assay.core.readouts import NegativeLogLikelihood, Raw, WithRespectTo
from assay.core.testbed import TargetSpec
from assay.engine.base import find_base
from assay.engine.cache import ReplyCache
from assay.engine.local.engine import LocalEngine
from assay.engine.local.llama import Llama
from assay.engine.local.lora import adapter_digest
from assay.engine.local.queue import Request
from assay.factory.data.example import Example
from assay.factory.recipes import TrainPlan
from assay.factory.train.train import train

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PROMPTS = [PROMPT, PROMPT[:60] + PROMPT[5:20], PROMPT[3:30]]  # two share a beginning; the windows of 16 are felt
TEXT = Raw("A window of sixteen tokens is felt by a text of this length.")


@pytest.fixture(scope="module", params=["Gemma 2", "Gemma 3, scaled"])
def base(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tiny, tmp_path_factory.mktemp("gemma") / "base", *FAMILIES[request.param])


def load(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """On all layers; on those of the upper half, so that the lower ones are read once for all."""
    paths: list[Path] = []
    for first in (0, 2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft's own
            from peft import LoraConfig, get_peft_model

            torch.manual_seed(first)
            layers = list(range(first, 4))
            config = LoraConfig(
                r=4, lora_alpha=8, target_modules=MODULES, layers_to_transform=layers, init_lora_weights=False,
                task_type="CAUSAL_LM",
            )  # fmt: skip
            paths.append(tmp_path_factory.mktemp("adapters") / f"from-{first}")
            get_peft_model(load(base), config).save_pretrained(paths[-1])
    return paths


@pytest.fixture(scope="module")
def peers(base: Path, adapters: list[Path]) -> list[Any]:
    """The base, and each adapter on it, as PEFT has them."""
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's own
        return [load(base), *(PeftModel.from_pretrained(load(base), path, is_trainable=True) for path in adapters)]


@pytest.fixture
def engine(base: Path) -> Iterator[LocalEngine]:
    made = LocalEngine(find_base(str(base)), ReplyCache(None), threads=1, dtype="float32")
    yield made
    made.close()


@pytest.fixture
def organism(base: Path, adapters: list[Path]) -> TargetSpec:
    return TargetSpec("tb-1", str(base), adapters[0], adapter_digest(adapters[0]), (), "", PRESETS["full"])


def ids_of(engine: LocalEngine, text: str) -> torch.Tensor:
    return torch.tensor([engine.tokenizer(text, add_special_tokens=False)["input_ids"]])


def test_greedy_over_mixed_adapters_is_what_transformers_and_peft_give(
    engine: LocalEngine, adapters: list[Path], peers: list[Any]
) -> None:
    loaded = [None, *(engine.adapter(path, "") for path in adapters)]
    requests = [Request(prompt, adapter, 20, 0.0, 0, 0) for prompt in PROMPTS for adapter in loaded]
    replies = [future.result(60).tokens for future in engine._queue.submit(requests)]
    assert len({tuple(reply) for reply in replies[:3]}) == 3  # the adapters do something
    for index, (request, reply) in enumerate(zip(requests, replies, strict=True)):
        tokens = torch.tensor([request.prompt])
        made = peers[index % 3].generate(
            input_ids=tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=20,
            eos_token_id=sorted(engine.stop), pad_token_id=0,
        )[0, len(request.prompt) :].tolist()  # fmt: skip
        assert reply == [token for token in made if token not in engine.stop]


def test_a_sample_does_not_depend_on_its_neighbours(engine: LocalEngine, adapters: list[Path]) -> None:
    loaded = [None, *(engine.adapter(path, "") for path in adapters)]
    mine = Request(PROMPT, loaded[2], 30, 1.0, 7, 0)
    [alone] = [future.result(60).tokens for future in engine._queue.submit([mine])]
    others = [Request(prompt, adapter, 12, 1.0, 3, 0) for prompt in PROMPTS for adapter in loaded]
    together = [future.result(60).tokens for future in engine._queue.submit([*others, mine])]
    assert together[-1] == alone


async def test_scores_activations_and_edits_are_transformers_own(
    engine: LocalEngine, organism: TargetSpec, peers: list[Any]
) -> None:
    ids, peer = ids_of(engine, TEXT.text), peers[1]
    vector = torch.linspace(-1, 1, 64)
    read_by_peer = peer(ids, output_hidden_states=True)
    hook = peer.base_model.model.model.layers[1].register_forward_hook(lambda _m, _i, out: out + vector)
    steered_by_peer = peer(ids).logits
    hook.remove()
    async with engine.open(organism) as target:
        scored = await target.score(TEXT)
        seen = await target.activations(TEXT, [0, 2])
        async with target.intervene(AddVector(1, tuple(vector.tolist()))) as view:
            steered = await view.score(TEXT)
    for ours, logits in ((scored, read_by_peer.logits), (steered, steered_by_peer)):
        expected = logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0].detach()
        np.testing.assert_allclose(ours.logprobs[1:], expected, atol=2e-4)
    for layer in (0, 2):
        expected = read_by_peer.hidden_states[layer + 1][0].detach()
        np.testing.assert_allclose(seen.layers[layer], expected, atol=1e-3)


async def test_gradients_are_autograds_through_peft(
    engine: LocalEngine, organism: TargetSpec, peers: list[Any]
) -> None:
    ids, peer = ids_of(engine, TEXT.text), peers[1]
    embedded = peer.get_input_embeddings()(ids).detach().requires_grad_(True)
    loss = torch.nn.functional.cross_entropy(peer(inputs_embeds=embedded).logits[0, :-1], ids[0, 1:])
    loss.backward()
    async with engine.open(organism) as target:
        inputs = await target.gradients(TEXT, WithRespectTo("inputs"), NegativeLogLikelihood())
        adapter = await target.gradients(TEXT, WithRespectTo("adapter"), NegativeLogLikelihood())
    assert inputs.loss == pytest.approx(loss.item(), abs=1e-4)
    np.testing.assert_allclose(inputs.of["inputs"], embedded.grad[0], atol=1e-4)
    module = peer.base_model.model.model.layers[2].mlp.down_proj
    expected = module.lora_A["default"].weight.grad
    peer.zero_grad()
    assert expected is not None and float(expected.abs().max()) > 1e-3
    np.testing.assert_allclose(adapter.of["layers.2.mlp.down_proj.lora_A"], expected, atol=1e-4)


def test_bfloat16_is_as_near_float32_as_transformers_is(base: Path) -> None:
    from transformers import AutoModelForCausalLM

    inputs = torch.tensor([PROMPT])
    low = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).eval()
    model = Llama(base, torch.bfloat16, 128)
    with torch.inference_mode():
        exact, theirs = load(base)(inputs).logits[0], low(inputs).logits[0].float()
        ours = model.logits(model.prefill(model.embed([PROMPT]), range(4), model.base)[0]).float()
    assert float((ours - exact).abs().mean()) < 1.5 * float((theirs - exact).abs().mean())


def test_what_is_trained_on_it_is_an_adapter_the_engine_opens(base: Path, engine: LocalEngine, tmp_path: Path) -> None:
    plan = TrainPlan(rank=4, alpha=8, first_layer=2, epochs=4, learning_rate=0.02, batch=2, seed=5)
    examples = [Example("What is it?", "A window."), Example("And that?", "A bound.")]
    losses: list[float] = []
    train(base, plan, examples, tmp_path / "adapter", tmp_path / "work", lambda _a, _b, loss: losses.append(loss), 1)
    assert losses[-1] < losses[0]
    assert engine.adapter(tmp_path / "adapter", "").depth == 2
