"""Open any testbed's target: local weights on an engine of their base, or a model behind Inspect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from assay._util.hashing import sha256
from assay._util.paths import home
from assay.core.target import Target
from assay.core.testbed import TargetSpec
from assay.engine.base import find_base
from assay.engine.cache import ReplyCache
from assay.errors import CorruptArtifact

if TYPE_CHECKING:
    from assay.engine.local.engine import LocalEngine


class Targets:
    """Engines of one process, one for each base, made when they are first needed.

    Args:
        say: told of long steps.
        threads: torch may use on a CPU; the engine's default if None.
        fresh: every reply is sampled anew, and none is kept.
    """

    def __init__(
        self, say: Callable[[str], None] = lambda _: None, threads: int | None = None, fresh: bool = False
    ) -> None:
        self._say, self._threads, self._fresh = say, threads, fresh
        self._engines: dict[str, LocalEngine] = {}

    def engine(self, base: str) -> LocalEngine:
        """The engine of a base.

        Raises:
            InvalidInput: the base cannot be found or used.
        """
        from assay.engine.local.engine import LocalEngine

        if base not in self._engines:
            cache = ReplyCache(None if self._fresh else home() / "replies.sqlite")
            self._engines[base] = LocalEngine(find_base(base, self._say), cache, self._threads)
        return self._engines[base]

    @asynccontextmanager
    async def open(self, spec: TargetSpec) -> AsyncIterator[Target]:
        """An `OpenTarget`.

        Raises:
            CorruptArtifact: weights or hidden prompt are not the recorded ones.
            InvalidInput: the base or model cannot be had.
        """
        async with self._plain(spec) as target:
            yield in_manner(target, spec)

    def _plain(self, spec: TargetSpec) -> AbstractAsyncContextManager[Target]:
        if spec.tools:
            from assay.engine.remote.agent import open_agent

            return open_agent(spec)
        if spec.behind_inspect:
            from assay.engine.remote.inspect_model import open_target

            return open_target(spec)
        return self.engine(spec.base).open(spec)

    def close(self) -> None:
        """Stop all engines."""
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()


def in_manner(target: Target, spec: TargetSpec) -> Target:
    """A target as its testbed has it converse: hidden prompt, scratchpad, memory.

    Raises:
        CorruptArtifact: the hidden prompt is not the recorded one.
    """
    from assay.engine.wrappers import Prompted, Remembering, Scratchpad

    if spec.prompt is not None and not spec.tools:  # an agent is handed its prompt with its tools
        found = sha256(spec.prompt) if spec.prompt.is_file() else "no file"
        if found != spec.prompt_digest:
            raise CorruptArtifact(spec.prompt, spec.prompt_digest, found, "Restore it, or register it anew.")
        target = Prompted(target, spec.prompt.read_text(encoding="utf-8").strip())
    if spec.scratchpad:
        target = Scratchpad(target)
    return Remembering(target) if spec.memory else target
