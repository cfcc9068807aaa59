"""The decode loop gives each request what it would get alone: the right tokens, whoever else is in the batch."""

import asyncio
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from assay.core.edit import Noise
from assay.core.testbed import TargetSpec
from assay.engine.local.edits import ActiveEdit
from assay.engine.local.engine import MAX_LENGTH, LocalEngine
from assay.engine.local.lora import LoraAdapter
from assay.engine.local.queue import Request
from assay.engine.local.sampling import sample
from assay.errors import InvalidInput

HELLO = tuple(b"Hello, what is this?")
WORLD = tuple(b"The world is")


def ask(engine: LocalEngine, *requests: Request) -> list[list[int]]:
    return [future.result(60).tokens for future in engine._queue.submit(requests)]


def busy(engine: LocalEngine) -> bool:
    return any(worker.busy for worker in engine._workers)


def load(engine: LocalEngine, paths: Sequence[Path]) -> list[LoraAdapter | None]:
    return [None, *(engine.adapter(path, "") for path in paths)]


def greedy(prompt: Sequence[int], adapter: LoraAdapter | None = None, tokens: int = 16, *edits: Noise) -> Request:
    return Request(tuple(prompt), adapter, tokens, 0.0, 0, 0, edits)


def by_transformers(tiny: Path, adapter: Path | None, request: Request, stop: set[int]) -> list[int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's and transformers' own
        from peft import PeftModel
        from transformers import LlamaForCausalLM

        model = LlamaForCausalLM.from_pretrained(tiny, dtype=torch.float32)
        if adapter is not None:
            model = PeftModel.from_pretrained(model, adapter)
        tokens = torch.tensor([request.prompt])
        made = model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            max_new_tokens=request.max_tokens,
            eos_token_id=sorted(stop),
            pad_token_id=0,
        )
    reply = made[0, len(request.prompt) :].tolist()
    return reply[:-1] if reply[-1] in stop else reply


def test_greedy_over_mixed_adapters_is_what_transformers_and_peft_give(
    engine: LocalEngine, tiny: Path, adapters: list[Path]
) -> None:
    loaded = load(engine, adapters)
    paths = [None, *adapters]
    requests = [
        greedy(prompt, loaded[which], 12 + which) for prompt in (HELLO, WORLD, tuple(b"x" * 50)) for which in range(4)
    ]
    replies = ask(engine, *requests)
    stop = set(engine.stop)
    assert len({tuple(reply) for reply in replies[:4]}) == 4  # the adapters do something
    for index, (request, reply) in enumerate(zip(requests, replies, strict=True)):
        assert reply == by_transformers(tiny, paths[index % 4], request, stop)


def test_a_sample_does_not_depend_on_its_neighbours(engine: LocalEngine, adapters: list[Path]) -> None:
    loaded = load(engine, adapters)
    mine = Request(HELLO, loaded[1], 40, 1.0, 7, 0)
    [alone] = ask(engine, mine)
    others = [Request(WORLD, adapter, 5 + seed, 1.0, seed, 0) for seed in range(6) for adapter in loaded]
    shared = [Request(HELLO, loaded[1], 20, 0.8, seed, 1) for seed in range(4)]
    assert ask(engine, *others, mine, *shared)[len(others)] == alone


async def test_samples_differ_and_are_reproducible(engine: LocalEngine, spec: TargetSpec) -> None:
    async with engine.open(spec) as target:
        first = await target.chat("Hello", n=6, max_tokens=20, seed=1)
        assert len(set(first.texts)) == 6
        assert (await target.chat("Hello", n=6, max_tokens=20, seed=1)).texts == first.texts
        assert (await target.chat("Hello", n=2, max_tokens=20, seed=1)).texts == first.texts[:2]
        assert not set((await target.chat("Hello", n=6, max_tokens=20, seed=2)).texts) & set(first.texts)


async def test_cancelled_requests_free_their_rows(engine: LocalEngine, spec: TargetSpec) -> None:
    [alone] = ask(engine, greedy(WORLD, tokens=60))
    async with engine.open(spec) as target:
        running = asyncio.create_task(target.complete("a long story", n=8, max_tokens=1_900))
        await asyncio.sleep(0.1)
        [future] = engine._queue.submit([greedy(WORLD, tokens=60)])
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert future.result(60).tokens == alone
    until = time.monotonic() + 20
    while busy(engine) and time.monotonic() < until:
        await asyncio.sleep(0.02)
    assert not busy(engine)


async def test_too_long_a_prompt_is_told(engine: LocalEngine, spec: TargetSpec) -> None:
    async with engine.open(spec) as target:
        with pytest.raises(InvalidInput, match=f"longer than {MAX_LENGTH} tokens"):
            await target.complete("x" * MAX_LENGTH, max_tokens=1)
        for wrong in ({"n": 0}, {"max_tokens": 0}, {"temperature": -1.0}):
            with pytest.raises(InvalidInput, match=r"give a (whole )?number"):
                await target.complete("x", **wrong)


def test_noise_changes_its_own_request_and_no_other(engine: LocalEngine, adapters: list[Path]) -> None:
    adapter = load(engine, adapters)[1]
    plain = greedy(HELLO, adapter)
    noisy = greedy(HELLO, adapter, 16, Noise(1, 1.0))
    [alone], [disturbed] = ask(engine, plain), ask(engine, noisy)
    assert disturbed != alone
    assert ask(engine, plain, noisy, greedy(WORLD, adapter, 16, Noise(2, 3.0, 5)), plain) == [
        alone,
        disturbed,
        ask(engine, greedy(WORLD, adapter, 16, Noise(2, 3.0, 5)))[0],
        alone,
    ]
    assert ask(engine, greedy(HELLO, adapter, 16, Noise(1, 0.0))) == [alone]


def test_each_noisy_sample_has_noise_of_its_own(engine: LocalEngine) -> None:
    """Not shared with other samples of its prompt, and not drawn from by the padding of a longer prompt."""
    samples = [Request(HELLO, None, 12, 0.0, 3, index, (Noise(1, 1.0),)) for index in range(4)]
    longer = greedy(HELLO * 4, None, 12, Noise(1, 1.0))
    alone = [ask(engine, request)[0] for request in samples]
    assert len({tuple(reply) for reply in alone}) > 1
    assert ask(engine, *samples, longer, samples[0])[:4] == alone
    assert ask(engine, longer, *samples[1:])[1:] == alone[1:]
    assert ask(engine, samples[0], samples[0]) == [alone[0], alone[0]]


def test_a_failing_or_cancelled_edit_never_reaches_its_neighbours(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = greedy(HELLO, tokens=150)
    [alone] = ask(engine, plain)
    apply = ActiveEdit.apply

    def broken(active: ActiveEdit, h: torch.Tensor, first: int) -> torch.Tensor:
        if isinstance(active.edit, Noise) and active.edit.seed == 666:
            raise ArithmeticError("broken edit")
        return apply(active, h, first)

    monkeypatch.setattr(ActiveEdit, "apply", broken)
    [running] = engine._queue.submit([plain])
    while not busy(engine) and not running.done():
        time.sleep(0.001)
    failing, beside = engine._queue.submit([greedy(WORLD, None, 16, Noise(1, 1.0, 666)), plain])
    with pytest.raises(ArithmeticError, match="broken edit"):
        failing.result(60)
    [cancelled] = engine._queue.submit([greedy(WORLD, None, 1_000, Noise(1, 1.0, 1))])
    cancelled.cancel()
    with pytest.raises(CancelledError):
        cancelled.result(60)
    assert running.result(60).tokens == beside.result(60).tokens == alone
    assert ask(engine, plain) == [alone]


async def test_edits_on_layers_that_do_not_exist_are_refused(engine: LocalEngine, spec: TargetSpec) -> None:
    async with engine.open(spec) as target:
        with pytest.raises(InvalidInput, match="from 0 to 3"):
            async with target.intervene(Noise(4, 1.0)):
                pass


async def test_closing_cancels_what_is_unfinished(tiny: Path, engine: LocalEngine) -> None:
    futures = engine._queue.submit([greedy(HELLO, tokens=1_900) for _ in range(200)])
    engine.close()
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="closed"):
        engine._queue.submit([greedy(HELLO)])


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_follow_the_softmax(temperature: float) -> None:
    draws = 20_000
    logits = torch.randn(600, generator=torch.Generator().manual_seed(1)) * 2
    uniform = torch.rand(draws, generator=torch.Generator().manual_seed(2))
    tokens = sample(logits.repeat(draws, 1), torch.full((draws,), temperature), uniform)
    expected = torch.softmax(logits.double() / temperature, 0).numpy() * draws
    counts = np.bincount(tokens.numpy(), minlength=600)
    common = expected >= 5
    observed = [*counts[common], counts[~common].sum()]
    assert chisquare(observed, [*expected[common], expected[~common].sum()]).pvalue > 1e-3


def test_temperature_zero_is_greedy_and_rows_do_not_mix() -> None:
    logits = torch.randn(8, 300, generator=torch.Generator().manual_seed(3))
    best = logits.argmax(-1)
    assert torch.equal(sample(logits.clone(), torch.zeros(8), torch.rand(8)), best)
    mixed = sample(logits.clone(), torch.tensor([0.0, 1.0] * 4), torch.full((8,), 0.5))
    assert torch.equal(mixed[::2], best[::2])
    assert torch.equal(sample(logits.clone(), torch.full((8,), 1e-3), torch.full((8,), 0.99)), best)


Mix = tuple[list[int], int, int, int]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mix=st.lists(
        st.tuples(
            st.lists(st.integers(0, 255), min_size=1, max_size=40),
            st.integers(0, 3),
            st.integers(1, 20),
            st.integers(0, 2),
        ),
        min_size=2,
        max_size=10,
    )
)
def test_any_mix_equals_its_parts(engine: LocalEngine, adapters: list[Path], mix: list[Mix]) -> None:
    loaded = load(engine, adapters)
    requests = [
        greedy(prompt, loaded[which], tokens, *(Noise(layer, 0.5, layer) for layer in range(edits)))
        for prompt, which, tokens, edits in mix
    ]
    assert ask(engine, *requests) == [ask(engine, request)[0] for request in requests]
