"""Log-probabilities, activations, gradients, weights and edits are those transformers with PEFT would give."""

import asyncio
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.core.access import PRESETS
from assay.core.edit import AddVector, Contrast, Edit, Noise, ProjectOut, ScaleAdapter, WeightNoise
from assay.core.readouts import Along, NegativeLogLikelihood, Raw, Shift, WithRespectTo
from assay.core.target import Message, Target
from assay.core.testbed import TargetSpec
from assay.engine.local.engine import LocalEngine
from assay.engine.local.lora import adapter_digest
from assay.engine.local.queue import Request
from assay.engine.peft_layout import WEIGHTS
from assay.errors import InvalidInput, UnknownId

TEXT = Raw("The quick brown fox jumps over it.")
WIDTH = 64


@pytest.fixture
def peft_model(tiny: Path, adapters: list[Path]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from peft import PeftModel
        from transformers import LlamaForCausalLM

        model = LlamaForCausalLM.from_pretrained(tiny, dtype=torch.float32)
        return PeftModel.from_pretrained(model, adapters[0], is_trainable=True).eval()


@pytest.fixture
def organism(tiny: Path, adapters: list[Path]) -> TargetSpec:
    digest = adapter_digest(adapters[0])
    return TargetSpec("tb-11111111", str(tiny), adapters[0], digest, (), "", PRESETS["full"])


def ids_of(engine: LocalEngine, text: str) -> torch.Tensor:
    return torch.tensor([engine.tokenizer(text, add_special_tokens=False)["input_ids"]])


def layer_of(model: Any, index: int) -> Any:
    return model.base_model.model.model.layers[index]


async def test_scores_are_transformers_log_probabilities(
    engine: LocalEngine, organism: TargetSpec, peft_model: Any
) -> None:
    async with engine.open(organism) as target:
        read = await target.score(TEXT, top=3)
    ids = ids_of(engine, TEXT.text)
    expected = peft_model(ids).logits[0].log_softmax(-1)
    own = expected[:-1].gather(1, ids[0, 1:, None])[:, 0].tolist()
    np.testing.assert_allclose(read.logprobs, [0.0, *own], atol=2e-4)
    assert read.ids == tuple(ids[0].tolist()) and "".join(read.texts) == TEXT.text
    assert [tuple(a.id for a in row) for row in read.top] == [tuple(r) for r in expected.topk(3).indices.tolist()]
    assert read.total == pytest.approx(sum(own), abs=1e-2) and read.cost.tokens == len(read.ids)


async def test_a_conversation_scores_its_last_reply_alone(engine: LocalEngine, organism: TargetSpec) -> None:
    talk = [Message("user", "Hi"), Message("assistant", "Good day")]
    async with engine.open(organism) as target:
        read = await target.score(talk)
        [sampled] = (await target.chat(talk[:1], max_tokens=8, temperature=0)).texts
    assert "".join(read.texts[read.prompt :]) == "Good day" and read.total == pytest.approx(sum(read.logprobs[-8:]))
    assert read.texts[: read.prompt] != () and sampled is not None


async def test_divergence_is_kl_of_the_base_from_the_target_over_the_whole_vocabulary(
    engine: LocalEngine, organism: TargetSpec, peft_model: Any
) -> None:
    async with engine.open(organism) as target:
        read, whole = await target.divergence(TEXT), await target.score(TEXT)
        talk = [Message("user", "Hi"), Message("assistant", "Good day")]
        chat, asked = await target.divergence(talk), await target.divergence(talk[:1])
        assert target.reference is not None
        same = await target.reference.divergence(TEXT)
    ids = ids_of(engine, TEXT.text)
    own = peft_model(ids).logits[0].log_softmax(-1)
    with peft_model.disable_adapter():
        base = peft_model(ids).logits[0].log_softmax(-1)
    expected = (base.exp() * (base - own)).sum(-1).detach()
    assert expected.max() > 0.01
    np.testing.assert_allclose(read.nats, expected, atol=2e-4)
    assert read.ids == whole.ids and read.texts == whole.texts and read.cost.tokens == 2 * len(read.ids)
    assert read.mean == pytest.approx(float(expected[:-1].mean()), abs=2e-4)
    assert chat.mean == pytest.approx(sum(chat.nats[chat.prompt - 1 : -1]) / len("Good day"), abs=1e-6)
    assert asked.prompt == len(asked.ids) and asked.mean == asked.nats[-1]
    assert max(same.nats) == 0.0


async def test_activations_are_what_each_layer_gives(
    engine: LocalEngine, organism: TargetSpec, peft_model: Any
) -> None:
    async with engine.open(organism) as target:
        read = await target.activations(TEXT, [0, 2])
    expected = peft_model(ids_of(engine, TEXT.text), output_hidden_states=True).hidden_states
    for layer in (0, 2):
        np.testing.assert_allclose(read.layers[layer], expected[layer + 1][0].detach(), atol=1e-3)


def _nll(model: Any, ids: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:])


async def test_gradients_are_autograds_through_peft(engine: LocalEngine, organism: TargetSpec, peft_model: Any) -> None:
    ids = ids_of(engine, TEXT.text)
    embedded: list[torch.Tensor] = []
    seen: list[torch.Tensor] = []
    peft_model.get_input_embeddings().register_forward_hook(
        lambda _m, _i, out: (embedded.append(out.detach().requires_grad_(True)), embedded[-1])[1]
    )
    layer_of(peft_model, 1).register_forward_hook(lambda _m, _i, out: (out.retain_grad(), seen.append(out), None)[2])
    loss = _nll(peft_model, ids)
    loss.backward()
    async with engine.open(organism) as target:
        inputs = await target.gradients(TEXT, WithRespectTo("inputs"), NegativeLogLikelihood())
        residual = await target.gradients(TEXT, WithRespectTo("residual", (1,)), NegativeLogLikelihood())
        vector = await target.gradients(TEXT, WithRespectTo("vector", (1,)), NegativeLogLikelihood())
        adapter = await target.gradients(TEXT, WithRespectTo("adapter"), NegativeLogLikelihood())
    assert inputs.loss == pytest.approx(loss.item(), abs=1e-4) and inputs.cost.tokens == 3 * ids.shape[1]
    np.testing.assert_allclose(inputs.of["inputs"], embedded[0].grad[0], atol=1e-4)
    np.testing.assert_allclose(residual.of["residual.1"], seen[0].grad[0], atol=1e-4)
    np.testing.assert_allclose(vector.of["vector.1"], seen[0].grad[0].sum(0), atol=1e-3)
    module = layer_of(peft_model, 2).mlp.up_proj
    np.testing.assert_allclose(
        adapter.of["layers.2.mlp.up_proj.lora_A"], module.lora_A["default"].weight.grad, atol=1e-4
    )
    scale = module.scaling["default"]  # our B carries the scale
    np.testing.assert_allclose(
        adapter.of["layers.2.mlp.up_proj.lora_B"] * scale, module.lora_B["default"].weight.grad, atol=1e-4
    )


@pytest.mark.parametrize("loss", [Shift(3), Along(3, (1.0,) * WIDTH)])
async def test_activation_losses_have_the_slope_they_say(
    engine: LocalEngine, organism: TargetSpec, loss: Shift | Along
) -> None:
    """Against finite differences of the loss itself, at a steering vector."""
    rng = np.random.default_rng(1)
    here, direction = rng.standard_normal(WIDTH), rng.standard_normal(WIDTH)

    async def at(vector: np.ndarray) -> Any:
        async with engine.open(organism) as target, target.intervene(AddVector(1, tuple(vector))) as view:
            return await view.gradients(TEXT, WithRespectTo("vector", (1,)), loss)

    step = 1e-2
    slope = ((await at(here + step * direction)).loss - (await at(here - step * direction)).loss) / (2 * step)
    assert float((await at(here)).of["vector.1"] @ direction) == pytest.approx(slope, rel=0.03)


async def test_weights_are_copies_adapter_included(engine: LocalEngine, organism: TargetSpec, peft_model: Any) -> None:
    async with engine.open(organism) as target:
        read = await target.weights(["layers.1.mlp.down_proj.weight", "layers.*.self_attn.k_proj.lora_A"])
        assert target.reference is not None
        base = await target.reference.weights(["layers.1.mlp.down_proj.weight"])
        with pytest.raises(UnknownId, match="close to it"):
            await target.weights(["layers.1.mlp.down_prj.weight"])
        before = await target.score(TEXT)
        read.of["layers.1.mlp.down_proj.weight"][:] = 0
        assert await target.score(TEXT) == before
    name = "layers.1.mlp.down_proj.weight"
    module = layer_of(peft_model, 1).mlp.down_proj
    np.testing.assert_allclose(base.of[name], module.base_layer.weight.detach(), atol=1e-6)
    async with engine.open(organism) as target:
        again = await target.weights([name])
    np.testing.assert_allclose(again.of[name] - base.of[name], module.get_delta_weight("default").detach(), atol=1e-5)
    assert len(read.of) == 1 + 4


async def score_with(target: Target, *edits: Edit) -> np.ndarray:
    async with target.intervene(*edits) as view:
        return np.array((await view.score(TEXT)).logprobs)


async def test_steering_and_ablation_do_what_a_hook_would(
    engine: LocalEngine, organism: TargetSpec, peft_model: Any
) -> None:
    vector = torch.linspace(-1, 1, WIDTH)
    unit = vector / vector.norm()
    hooks: list[tuple[Edit, Callable[[torch.Tensor], torch.Tensor]]] = [
        (AddVector(1, tuple(vector.tolist()), 2.0), lambda h: h + 2 * vector),
        (ProjectOut(1, tuple(vector.tolist())), lambda h: h - (h @ unit)[..., None] * unit),
        (
            AddVector(1, tuple(vector.tolist()), start=3, stop=6),
            lambda h: torch.cat((h[:, :3], h[:, 3:6] + vector, h[:, 6:]), dim=1),
        ),
    ]
    ids = ids_of(engine, TEXT.text)
    async with engine.open(organism) as target:
        for edit, change in hooks:
            hook = layer_of(peft_model, 1).register_forward_hook(lambda _m, _i, out, change=change: change(out))
            expected = peft_model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
            hook.remove()
            np.testing.assert_allclose((await score_with(target, edit))[1:], expected.detach(), atol=2e-3)


async def test_a_steered_reply_is_what_hooks_give_token_by_token(
    engine: LocalEngine, organism: TargetSpec, peft_model: Any
) -> None:
    vector = torch.sin(torch.arange(WIDTH).float())
    ids = ids_of(engine, TEXT.text)
    prompt = ids.shape[1]
    layer_of(peft_model, 2).register_forward_hook(
        lambda _m, _i, out: torch.cat((out[:, : prompt - 1], out[:, prompt - 1 :] + 3 * vector), dim=1)
    )
    for _ in range(8):
        ids = torch.cat((ids, peft_model(ids).logits[:, -1:].argmax(-1)), dim=1)
    async with engine.open(organism) as target:
        async with target.intervene(AddVector(2, tuple(vector.tolist()), 3.0, start=-1)) as view:
            [steered] = (await view.complete(TEXT.text, max_tokens=8, temperature=0)).texts
        [plain] = (await target.complete(TEXT.text, max_tokens=8, temperature=0)).texts
    assert steered == engine.tokenizer.decode(ids[0, prompt:].tolist(), skip_special_tokens=True) != plain


async def test_scaling_the_adapter_meets_base_and_target(engine: LocalEngine, organism: TargetSpec) -> None:
    async with engine.open(organism) as target:
        assert target.reference is not None
        own = np.array((await target.score(TEXT)).logprobs)
        base = np.array((await target.reference.score(TEXT)).logprobs)
        np.testing.assert_allclose(await score_with(target, ScaleAdapter(1.0)), own, atol=1e-4)
        np.testing.assert_allclose(await score_with(target, ScaleAdapter(0.0)), base, atol=1e-4)
        np.testing.assert_allclose(await score_with(target, ScaleAdapter(3.0), ScaleAdapter(1 / 3)), own, atol=1e-3)
        half = await score_with(target, ScaleAdapter(0.0, (0, 1)))
        assert np.abs(half - own).max() > 1e-2 and np.abs(half - base).max() > 1e-2
        async with target.intervene(ScaleAdapter(0.0)) as view:
            greedy = await view.complete(TEXT.text, max_tokens=12, temperature=0)
        assert greedy.texts == (await target.reference.complete(TEXT.text, max_tokens=12, temperature=0)).texts


async def test_a_contrast_is_arithmetic_on_logits(engine: LocalEngine, organism: TargetSpec, peft_model: Any) -> None:
    ids = ids_of(engine, TEXT.text)
    own = peft_model(ids).logits[0]
    with peft_model.disable_adapter():
        base = peft_model(ids).logits[0]
    mixed = (own + 1.5 * (own - base)).log_softmax(-1)
    async with engine.open(organism) as target:
        np.testing.assert_allclose(
            (await score_with(target, Contrast(1.5)))[1:],
            mixed[:-1].gather(1, ids[0, 1:, None])[:, 0].detach(),
            atol=2e-3,
        )
        async with target.intervene(Contrast(1.5)) as view:
            [reply] = (await view.complete(TEXT.text, max_tokens=1, temperature=0)).texts
            longer, _ = await asyncio.gather(
                view.complete(TEXT.text, n=3, max_tokens=20, seed=4), target.complete("x", n=5, max_tokens=30)
            )
            alone = await view.complete(TEXT.text, n=3, max_tokens=20, seed=4)
        async with target.intervene(Contrast(0.0)) as view:
            same = await view.complete(TEXT.text, max_tokens=12, temperature=0)
        assert same.texts == (await target.complete(TEXT.text, max_tokens=12, temperature=0)).texts
    assert reply == engine.tokenizer.decode([int(mixed[-1].argmax())], skip_special_tokens=True)
    assert longer == alone


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ((AddVector(0, (1.0,)),), "64 wide"),
        ((ScaleAdapter(2.0, (9,)),), "from 0 to 3"),
        ((Contrast(1.0), Contrast(2.0)), "one Contrast"),
        (("noise",), "is no edit"),
    ],
)
async def test_edits_that_do_not_fit_are_told(
    engine: LocalEngine, organism: TargetSpec, edits: tuple[Any, ...], message: str
) -> None:
    async with engine.open(organism) as target:
        with pytest.raises(InvalidInput, match=message):
            async with target.intervene(*edits):
                pass


async def test_questions_that_make_no_sense_are_told(engine: LocalEngine, organism: TargetSpec) -> None:
    async with engine.open(organism) as target:
        assert target.reference is not None
        for question, message in (
            (target.score(Raw("")), "empty"),
            (target.score(TEXT, top=-1), "top=-1"),
            (target.activations(TEXT, [7]), "layer 7"),
            (target.gradients("Hi", WithRespectTo("inputs"), NegativeLogLikelihood()), "something to score"),
            (target.reference.gradients(TEXT, WithRespectTo("adapter"), NegativeLogLikelihood()), "no adapter"),
        ):
            with pytest.raises(InvalidInput, match=message):
                await question
    for wrong in (
        lambda: WithRespectTo("vector"),
        lambda: WithRespectTo("inputs", (1,)),
        lambda: ProjectOut(0, (0.0, 0.0)),
    ):
        with pytest.raises(InvalidInput):
            wrong()


EDITS = st.one_of(
    st.builds(Noise, st.integers(0, 3), st.just(0.5), st.integers(0, 2)),
    st.builds(lambda layer, at: AddVector(layer, (0.5,) * WIDTH, start=at), st.integers(0, 3), st.integers(-3, 3)),
    st.builds(lambda layer: ProjectOut(layer, tuple(np.cos(np.arange(WIDTH)))), st.integers(0, 3)),
    st.builds(ScaleAdapter, st.sampled_from([0.0, 0.5, 2.0]), st.sampled_from([None, (1,), (2, 3)])),
    st.builds(WeightNoise, st.just(0.2), st.integers(0, 2), st.sampled_from([None, (1,), (2, 3)])),
    st.builds(Contrast, st.sampled_from([0.5, 1.0])),
)
MIX = st.lists(
    st.tuples(
        st.lists(st.integers(0, 255), min_size=1, max_size=90),
        st.integers(0, 4),
        st.integers(1, 24),
        st.lists(EDITS, max_size=2, unique_by=lambda edit: isinstance(edit, Contrast)),
        st.booleans(),
    ),
    min_size=2,
    max_size=12,
)


NEAR_TIE = 1e-4  # of the two largest logits: in other company, sums are taken in another order


def _alone(engine: LocalEngine, request: Request) -> tuple[Any, list[float]]:
    """A request's tokens by itself, and by how much each one won."""
    from assay.engine.local import decode

    gaps: list[float] = []
    sample = decode.sample

    def noted(logits: torch.Tensor, *rest: Any) -> torch.Tensor:
        first, second = logits[-1].float().topk(2).values.tolist()
        gaps.append(first - second)
        return sample(logits, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "sample", noted)
        [future] = engine._queue.submit([request])
        return future.result(60).tokens, gaps


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mix=MIX)
def test_any_mix_of_edits_adapters_and_cancellations_equals_its_parts(
    engine: LocalEngine, adapters: list[Path], mix: list[Any]
) -> None:
    loaded = [None, *(engine.adapter(path, "") for path in adapters)]
    loaded.append(engine.truncated(engine.adapter(adapters[0], ""), 1))
    requests = [
        Request(tuple(prompt), loaded[which], tokens, 0.0, index, 0, tuple(edits))
        for index, (prompt, which, tokens, edits, _) in enumerate(mix)
    ]
    futures = engine._queue.submit(requests)
    for future, (*_, leaves) in zip(futures, mix, strict=True):
        if leaves:
            future.cancel()
    stayed = [(r, f.result(60).tokens) for r, f in zip(requests, futures, strict=True) if not f.cancelled()]
    for request, tokens in stayed:
        alone, gaps = _alone(engine, request)
        differ = next((step for step, pair in enumerate(zip(alone, tokens, strict=False)) if len(set(pair)) > 1), None)
        assert len(alone) == len(tokens) if differ is None else gaps[differ] < NEAR_TIE
    until = time.monotonic() + 20
    while engine._workers[0].busy and time.monotonic() < until:  # a reply is told just before its row is freed
        time.sleep(0.001)
    assert not engine._workers[0].busy


def test_exact_mode_is_the_same_bit_for_bit(tiny: Path, adapters: list[Path]) -> None:
    """Log-probabilities, which would show the last bit, alone and in company."""
    from assay.engine.base import find_base
    from assay.engine.cache import ReplyCache
    from assay.engine.local.queue import Probe

    engine = LocalEngine(find_base(str(tiny)), ReplyCache(None), threads=1, exact=True)
    try:
        loaded = [engine.adapter(path, "") for path in adapters]
        mine = Request(tuple(b"Hello, what is this?"), loaded[0], 0, 0.0, 0, 0, (), Probe(top=0))
        sampled = Request(tuple(b"Hello, what is this?"), loaded[1], 30, 1.0, 3, 0)
        first, reply = (future.result(60) for future in engine._queue.submit([mine, sampled]))
        others = [Request(tuple(b"Hello, what else"), a, 20, 1.0, s, 0) for a in loaded for s in range(3)]
        crowd = engine._queue.submit([*others, mine, sampled, *others])
        again, replied = crowd[len(others)].result(60), crowd[len(others) + 1].result(60)
        assert np.array_equal(first.logprobs, again.logprobs) and reply == replied
    finally:
        engine.close()


def test_exact_mode_is_float32(tiny: Path) -> None:
    from assay.engine.base import find_base
    from assay.engine.cache import ReplyCache

    for wrong, message in (({"exact": True, "dtype": "bfloat16"}, "float32"), ({"dtype": "int8"}, "int8")):
        with pytest.raises(InvalidInput, match=message):
            LocalEngine(find_base(str(tiny)), ReplyCache(None), **wrong)


async def test_two_devices_share_the_work(tiny: Path, organism: TargetSpec) -> None:
    """Two CPU devices stand in for two GPUs: each has weights and a worker of its own, results are the same."""
    from assay.engine.base import find_base
    from assay.engine.cache import ReplyCache

    engine = LocalEngine(find_base(str(tiny)), ReplyCache(None), threads=1, dtype="float32", devices=["cpu", "cpu"])
    try:
        async with engine.open(organism) as target:
            replies = await asyncio.gather(*(target.complete("Once", seed=seed, max_tokens=60) for seed in range(40)))
            again = [await target.complete("Once", seed=seed, max_tokens=60) for seed in (0, 7)]
        assert [replies[0], replies[7]] == again
    finally:
        engine.close()


async def test_unlike_looks_at_one_prompt_at_once_each_get_their_own(engine: LocalEngine, organism: TargetSpec) -> None:
    async with engine.open(organism) as target:
        asked = (
            lambda: target.score(TEXT, top=2),
            lambda: target.gradients(TEXT, WithRespectTo("inputs"), NegativeLogLikelihood()),
            lambda: target.activations(TEXT, [1]),
            lambda: target.score(TEXT),
        )
        score, gradients, activations, bare = await asyncio.gather(*(ask() for ask in asked))
        assert score == await target.score(TEXT, top=2) and bare.logprobs == score.logprobs and not bare.top
        again = await target.gradients(TEXT, WithRespectTo("inputs"), NegativeLogLikelihood())
        np.testing.assert_allclose(gradients.of["inputs"], again.of["inputs"], atol=1e-6)
        np.testing.assert_allclose(activations.layers[1], (await target.activations(TEXT, [1])).layers[1], atol=1e-5)


async def test_the_passes_of_the_reference_are_paid_for(engine: LocalEngine, organism: TargetSpec) -> None:
    async with engine.open(organism) as target:
        plain = await target.complete(TEXT.text, n=2, max_tokens=5, temperature=0)
        length = (await target.score(TEXT)).cost.tokens
        shift = await target.gradients(TEXT, WithRespectTo("vector", (1,)), Shift(3))
        async with target.intervene(Contrast(0.0)) as view:  # the same replies, with a reference beside them
            contrasted = await view.complete(TEXT.text, n=2, max_tokens=5, temperature=0)
            assert (await view.score(TEXT)).cost.tokens == 2 * length
            with pytest.raises(InvalidInput, match="Contrast"):
                await view.gradients(TEXT, WithRespectTo("inputs"), NegativeLogLikelihood())
    assert contrasted.texts == plain.texts and contrasted.cost.tokens == 2 * plain.cost.tokens
    assert shift.cost.tokens == 4 * length  # forward, backward for two, and the unedited stream


async def test_an_adapter_that_breaks_in_use_harms_no_neighbour(
    engine: LocalEngine, organism: TargetSpec, adapters: list[Path], tmp_path: Path
) -> None:
    path = shutil.copytree(adapters[1], tmp_path / "adapter")
    broken = engine.adapter(path, "")
    (path / WEIGHTS).unlink()
    mine = [engine.adapter(adapters[0], ""), engine.adapter(adapters[2], "")]
    requests = [Request(tuple(b"Hello, what is this?"), adapter, 300, 1.0, 1, 0) for adapter in mine]
    alone = [future.result(60).tokens for future in engine._queue.submit(requests)]
    running = engine._queue.submit(requests)
    while not engine._workers[0].busy and not running[0].done():
        time.sleep(0.001)
    [failing] = engine._queue.submit([Request(tuple(b"Hi"), broken, 5, 0.0, 0, 0)])
    with pytest.raises(InvalidInput, match="no adapter_model"):
        failing.result(60)
    assert [future.result(60).tokens for future in running] == alone
