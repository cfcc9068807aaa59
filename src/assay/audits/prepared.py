"""Keeps what tools prepare once per target: built under a cap of its own, kept by content."""

from __future__ import annotations

import asyncio
import inspect
import sys
import tempfile
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from types import FunctionType
from typing import Any

from assay._util.atomic import new_file
from assay._util.file_lock import held
from assay._util.hashing import digest_of
from assay._util.import_graph import digest_of_function
from assay.audits.guard import GuardedTarget
from assay.audits.plugin_file import plugin_failure, source_file
from assay.audits.prepared_file import Checked, PackedValue, checked, pack
from assay.core.budget import Budget, Meter
from assay.core.record import Preparation
from assay.core.target import Target
from assay.core.testbed import TargetSpec
from assay.core.tool import Prepared, Tool
from assay.errors import AssayError, BudgetExceeded, NotWritten

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
    """Keeps prepared values on disk, keyed by the source of what prepares them, its access and the target's content.

    A value is built once, however many audits, tools and processes ask for it at the same time: who builds it has the
    lock on a file beside it, which ends with its process. A file whose digest is not the recorded one is built anew. A
    digest shows damage, not forgery: whoever may write here can write both, which is why an audit's row has it.

    Files are mapped into memory: audits and processes that use one share its arrays, which none of them can change.
    Lists and mappings are made anew for each audit, so that nothing is carried from one to the next.

    Args:
        folder: where values are kept, as plain data (`prepared_file`).
        cap: what building one value may spend. It is no part of what an audit spends, and goes into its row beside it.
    """

    def __init__(self, folder: Path, cap: Budget = PREPARE_CAP) -> None:
        self._folder, self._cap = folder, cap
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._files: dict[Path, tuple[tuple[int, ...], Checked]] = {}

    async def get(self, tool: Tool, subject: Subject, budget: Budget | None = None) -> tuple[Prepared, Preparation]:
        """Returns the value a tool prepared for a target, and what building it cost, now or earlier.

        Args:
            tool: that prepares.
            subject: the target it prepares for.
            budget: of the audit; preparing may spend no more, however large the store's cap.

        Raises:
            BudgetExceeded: building it takes more than the cap.
            PluginError: the tool's `prepare` failed, or what it returned is no plain data.
        """
        cap = self._cap.within(budget) if budget else self._cap
        what = _prepared_by(tool)
        # With the access it has: what one tool was granted to read must not reach another by what it prepared.
        key = digest_of([*what, sorted(tool.needs & subject.target.access), subject.digest])
        path = self._folder / f"{what[0]}-{key[:32]}.prepared"
        # Audits of one target start together. The first one builds, the rest wait and read.
        async with self._locks[key]:
            value, made = self._read(path) or await self._made(tool, subject.target, cap, path)
        if made.cost.queries > cap.queries or made.cost.tokens > cap.tokens:  # kept for an audit that may spend more
            raise _beyond(tool, cap, f"it took {made.cost.queries} queries, {made.cost.tokens} tokens")
        return Prepared(value), made

    async def _made(self, tool: Tool, target: Target, cap: Budget, path: Path) -> tuple[Any, Preparation]:
        """Builds a value and keeps it, unless another process has done so meanwhile."""
        async with held(path.with_suffix(".lock")):
            if kept := self._read(path):
                return kept
            built = await _build(tool, target, cap)
            with suppress(NotWritten):  # a full disk costs the next audit another build, and this one nothing
                _write(path, built)
        # as a later audit will read it: a tuple is a list from the first time on
        return self._read(path) or checked(b"".join(built.parts())).read()

    def _read(self, path: Path) -> tuple[Any, Preparation] | None:
        """Reads what is kept; None for nothing: a file that is damaged, or another version's, is built anew."""
        try:
            found = path.stat()
            state = (found.st_ino, found.st_size, found.st_mtime_ns)
            known = self._files.get(path)
            # A large file's digest takes a second: it is looked at once for each state of the file.
            if known is None or known[0] != state:
                known = self._files[path] = state, _mapped(path)
            return known[1].read()
        except (OSError, ValueError):
            return None


def _prepared_by(tool: Tool) -> tuple[str, ...]:
    """Names what prepares a tool's values: one function of a module is the same for all tools that name it.

    What is not found under its name (made by another function, of a session) may differ from its like, and is the
    tool's own.
    """
    prepare = tool.prepare
    if inspect.isfunction(prepare) and _under_its_name(prepare):
        return (prepare.__name__, digest_of_function(prepare))
    return (tool.name, str(tool.version), tool.digest)


def _under_its_name(function: FunctionType) -> bool:
    """Tells whether a function is what its module has under its name."""
    return getattr(sys.modules.get(function.__module__), function.__name__, None) is function


async def _build(tool: Tool, target: Target, cap: Budget) -> PackedValue:
    """Runs `prepare`, and returns its value as a file's content.

    Time ends a `prepare` that awaits. One that blocks in a thread of its own cannot be stopped: it is waited for no
    longer, and can ask no more models.
    """
    meter = Meter(cap)
    guarded = GuardedTarget(target, tool.needs & target.access, meter, tool.name)
    limit = asyncio.timeout(cap.seconds)
    with tempfile.TemporaryDirectory(prefix="assay-prepare-", ignore_cleanup_errors=True) as workdir:
        try:
            async with limit:
                value = await _run(tool, guarded, Path(workdir))
        except BudgetExceeded as error:
            raise _beyond(tool, cap, str(error)) from error
        except AssayError:
            raise
        except (Exception, SystemExit) as error:
            if limit.expired():
                raise _beyond(tool, cap, "its time is up") from None
            raise plugin_failure(error, source_file(tool)) from error
        finally:
            meter.close()
    # Checked once more at the end: code that computes without asking the target never meets the meter.
    if meter.exceeded:
        raise _beyond(tool, cap, f"it took {meter.spent.tokens} tokens and {meter.seconds:.0f} s, or asked for more")
    return pack(value, meter.spent, f"tool {tool.name}")


def _beyond(tool: Tool, cap: Budget, why: str) -> BudgetExceeded:
    return BudgetExceeded(
        f"{tool.name}: preparing is too dear ({why}); the cap is {cap.tokens} tokens, {cap.queries} queries and "
        f"{cap.seconds:.0f} s."
    )


async def _run(tool: Tool, target: GuardedTarget, workdir: Path) -> Any:
    assert tool.prepare is not None
    if inspect.iscoroutinefunction(tool.prepare):
        return await tool.prepare(target, workdir)
    return await asyncio.to_thread(tool.prepare, target, workdir)  # other audits go on while it computes


def _write(path: Path, made: PackedValue) -> None:
    with new_file(path) as scratch, scratch.open("wb") as file:
        for part in made.parts():
            file.write(part)


def _mapped(path: Path) -> Checked:
    """Maps a file into memory.

    Raises:
        OSError: it cannot be read.
        ValueError: its content is not what was written.
    """
    with path.open("rb") as file:
        return checked(mmap(file.fileno(), 0, access=ACCESS_READ))
