"""Keeps what tools prepare once per target: built under a cap of its own, kept by content."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay._util.atomic import write_bytes
from assay._util.hashing import digest_of
from assay.audits.guard import GuardedTarget
from assay.audits.registry import plugin_failure, source_file
from assay.core.budget import Budget, Meter
from assay.core.target import Cost, Target
from assay.core.testbed import TargetSpec
from assay.core.tool import Prepared, Tool
from assay.errors import AssayError, BudgetExceeded

PREPARE_CAP = Budget(queries=2_000, tokens=400_000, seconds=900.0)


def target_digest(spec: TargetSpec) -> str:
    """Digests what a target is: weights, corpus, grants and how it converses; not its alias."""
    parts: list[object] = [spec.base, spec.adapter_digest, spec.corpus_digest, sorted(spec.access)]
    manner = [spec.prompt_digest, spec.scratchpad, spec.memory, spec.tools, spec.workspace_digest]
    return digest_of([*parts, *(manner if any(manner) else [])])  # plain targets keep the digests they had


@dataclass(frozen=True, slots=True)
class Subject:
    """Pairs an open target with the digest of its content; a tool is wired to it."""

    target: Target
    digest: str


class PreparedStore:
    """Keeps prepared values on disk, keyed by the tool's source and the target's content.

    One process builds a value once, however many audits ask for it at the same time; two processes may both build it,
    and the last one's file stays.

    Args:
        folder: where values are kept; trusted, since they are pickles.
        cap: what building one value may spend. It is no part of an audit's budget.
    """

    def __init__(self, folder: Path, cap: Budget = PREPARE_CAP) -> None:
        self._folder, self._cap = folder, cap
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, tool: Tool, subject: Subject) -> tuple[Prepared, Cost]:
        """Returns the value a tool prepared for a target, and what building it cost, now or earlier.

        Raises:
            BudgetExceeded: building it takes more than the cap.
            PluginError: the tool's `prepare` failed.
        """
        key = digest_of([tool.name, tool.version, tool.digest, subject.digest])
        path = self._folder / f"{tool.name}-{key[:32]}.pkl"
        # Audits of one target start together. The first one builds, the rest wait and read.
        async with self._locks[key]:
            kept = _read(path)
            if kept is None:
                kept = await self._build(tool, subject.target)
                prepared, cost = kept
                write_bytes(path, pickle.dumps((prepared.value, cost)))
        return kept

    async def _build(self, tool: Tool, target: Target) -> tuple[Prepared, Cost]:
        meter = Meter(self._cap)
        guarded = GuardedTarget(target, tool.needs & target.access, meter, tool.name)
        with tempfile.TemporaryDirectory(prefix="assay-prepare-") as workdir:
            try:
                value = await _run(tool, guarded, Path(workdir))
                pickle.dumps(value)  # tried here, where a failure is told as the plug-in's
            except AssayError:
                raise
            except Exception as error:
                raise plugin_failure(error, source_file(tool)) from error
        # Checked once more at the end: code that computes without asking the target never meets the meter.
        seconds = time.monotonic() - meter.started
        if meter.spent.tokens > self._cap.tokens or seconds > self._cap.seconds:
            raise BudgetExceeded(
                f"{tool.name}: preparing took {meter.spent.tokens} tokens and {seconds:.0f} s; the cap is "
                f"{self._cap.tokens} tokens and {self._cap.seconds:.0f} s."
            )
        return Prepared(value), meter.spent


async def _run(tool: Tool, target: GuardedTarget, workdir: Path) -> Any:
    assert tool.prepare is not None
    if inspect.iscoroutinefunction(tool.prepare):
        return await tool.prepare(target, workdir)
    return await asyncio.to_thread(tool.prepare, target, workdir)  # other audits go on while it computes


def _read(path: Path) -> tuple[Prepared, Cost] | None:
    """Reads what is kept; None for a file no longer readable (of another version's classes, say): it is built anew."""
    try:
        value, cost = pickle.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except Exception:
        return None
    return Prepared(value), cost
