"""Opens any testbed's target, on the engine that its base names or that a command chose for all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

from assay._util.openmp import bound_spinning
from assay.core.engine import Engine, EngineSettings, EngineSpec
from assay.core.target import Target
from assay.core.testbed import TargetSpec
from assay.engine.registry import make_engine
from assay.engine.wrappers import wrap
from assay.errors import engine_faults


class Targets:
    """Engines of one process, each made when it is first needed.

    Args:
        say: told of long steps.
        threads: torch may use on a CPU; the engine's default if None.
        replies: file of the kept replies, one of those that `assay.engine.cache` names; None: each reply is sampled
            anew, and none is kept.
        engine: words that choose the engine of all testbeds (`vllm:http://127.0.0.1:8000`), "" to let each testbed's
            base choose.

    Raises:
        InvalidInput: words that name no engine.
        UnknownId: no such engine.
        PluginError: an engine that cannot be loaded or made.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda _: None,
        threads: int | None = None,
        replies: Path | None = None,
        engine: str = "",
    ) -> None:
        bound_spinning()  # before an engine loads torch
        self._settings = EngineSettings(say, threads, replies)
        self._engines: dict[EngineSpec, Engine] = {}
        self._chosen = EngineSpec.parse(engine) if engine else None
        if self._chosen is not None:
            self._engine(self._chosen)  # a misspelt name is told before anything is opened

    def _engine(self, words: EngineSpec) -> Engine:
        # One engine for all testbeds that name it: a base in memory then serves all adapters on it.
        if words not in self._engines:
            self._engines[words] = make_engine(words, self._settings)
        return self._engines[words]

    def identity(self, spec: TargetSpec) -> str:
        """Names what a target's replies depend on besides its spec: a part of its run keys. Opens nothing.

        Raises:
            InvalidInput: its base cannot be found or used.
        """
        return self._engine(self._chosen or EngineSpec.of_base(spec.base)).identity(spec)

    def machine(self, spec: TargetSpec) -> str:
        """Describes what this process makes a target's replies with. Opens nothing."""
        return self._engine(self._chosen or EngineSpec.of_base(spec.base)).machine(spec)

    @asynccontextmanager
    async def open(self, spec: TargetSpec) -> AsyncIterator[Target]:
        """Opens a testbed's target; an `OpenTarget`.

        Raises:
            CorruptArtifact: weights or hidden prompt are not the recorded ones.
            EngineFailed: the engine cannot start, or broke off.
            InvalidInput: the base or model cannot be had, or the engine cannot serve the testbed.
            UnknownId: the base names an engine that is not there.
        """
        async with AsyncExitStack() as stack:
            with engine_faults():
                engine = self._engine(self._chosen or EngineSpec.of_base(spec.base))
                target = await stack.enter_async_context(engine.open(spec))
            yield wrap(target, spec)

    def close(self) -> None:
        """Stops all engines."""
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()


class EnginePool:
    """The targets of a process that serves job after job: each choice of an engine is made once, and kept.

    Args:
        say: told of long steps.
        replies: file of the kept replies, as `Targets` has it.
    """

    def __init__(self, say: Callable[[str], None], replies: Path | None) -> None:
        self._say, self._replies = say, replies
        self._chosen: dict[str, Targets] = {}

    def chosen(self, engine: str) -> Targets:
        """Returns targets on the engine that some words choose; raises as `Targets`."""
        if engine not in self._chosen:
            self._chosen[engine] = Targets(self._say, replies=self._replies, engine=engine)
        return self._chosen[engine]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stops all engines."""
        for targets in self._chosen.values():
            targets.close()
