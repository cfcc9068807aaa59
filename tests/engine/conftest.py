"""An engine on the tiny checkpoint, and adapters for it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from assay.core.access import PRESETS
from assay.core.testbed import TargetSpec
from assay.engine.base import find_base
from assay.engine.cache import ReplyCache
from assay.engine.local.engine import LocalEngine
from assay.engine.local.queue import Request


@pytest.fixture(scope="session")
def adapters(make_adapter) -> list[Path]:
    """On all linear layers; on those of the upper half of the model; on some of one layer."""
    return [
        make_adapter(1),
        make_adapter(2, first=2),
        make_adapter(3, ("q_proj", "v_proj", "up_proj"), rank=2, first=2),
    ]


@pytest.fixture
def engine(tiny: Path) -> Iterator[LocalEngine]:
    """Holds the tiny base and keeps no replies."""
    made = LocalEngine(find_base(str(tiny)), ReplyCache(None), threads=1, dtype="float32")
    yield made
    made.close()


@pytest.fixture
def spec(tiny: Path) -> TargetSpec:
    """The tiny base itself as a target."""
    return TargetSpec("tb-00000000", str(tiny), None, "", (), "", PRESETS["full"])


@pytest.fixture
def count_submitted(monkeypatch: pytest.MonkeyPatch) -> Callable[[LocalEngine], list[int]]:
    """Watches an engine; the list grows by how many requests each call handed to its workers."""

    def watch(engine: LocalEngine) -> list[int]:
        counts: list[int] = []
        submit = engine._queue.submit

        def counted(requests: Sequence[Request]) -> object:
            counts.append(len(requests))
            return submit(requests)

        monkeypatch.setattr(engine._queue, "submit", counted)
        return counts

    return watch
