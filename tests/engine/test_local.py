"""Requests that are the same at the same time."""

import asyncio
from collections.abc import Callable

import pytest

from assay.core.testbed import TargetSpec
from assay.engine.local.engine import LocalEngine
from assay.errors import EngineFailed


@pytest.fixture
def submitted(engine: LocalEngine, count_submitted: Callable[[LocalEngine], list[int]]) -> list[int]:
    return count_submitted(engine)


async def test_the_same_request_at_the_same_time_is_sampled_once(
    engine: LocalEngine, spec: TargetSpec, submitted: list[int]
) -> None:
    async with engine.open(spec) as target, engine.open(spec) as other:
        one, two, more = await asyncio.gather(
            target.chat("Hello", max_tokens=8),
            other.chat("Hello", max_tokens=8),
            other.chat("Hello", n=3, max_tokens=8),
        )
    assert one == two and more.texts[0] == one.texts[0]
    assert sum(submitted) == 3
    assert not engine._pending


async def test_who_leaves_does_not_take_the_others_along(engine: LocalEngine, spec: TargetSpec) -> None:
    async with engine.open(spec) as target:
        leaving = asyncio.create_task(target.complete("a long story", max_tokens=400))
        staying = asyncio.create_task(target.complete("a long story", max_tokens=400))
        await asyncio.sleep(0.05)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert (await staying).texts[0]
        assert not engine._pending


async def test_a_failed_request_is_not_remembered(
    engine: LocalEngine, spec: TargetSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(engine.model, "prefill", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("broken")))
        async with engine.open(spec) as target:
            tries = [target.complete("Hello there", max_tokens=4) for _ in range(2)]
            failed = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(error) for error in failed] == [EngineFailed] * 2
    assert not engine._pending
    async with engine.open(spec) as target:
        assert (await target.complete("Hello there", max_tokens=4)).texts
