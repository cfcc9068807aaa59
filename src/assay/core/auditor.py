"""Defines what an auditing agent is given, and what it returns."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, overload

from assay._util.hashing import digest_of, sha256
from assay._util.import_graph import digest_of_function
from assay.core.budget import Budget
from assay.core.report import Report
from assay.core.tool import BoundTool
from assay.errors import PluginError

Game = Literal["investigate"]


@dataclass(frozen=True, slots=True)
class Kit:
    """The tools of one audit.

    Attributes:
        name: of the kit, as the user wrote it.
        tools: name → tool, bound to the target and metered.
        skipped: name → why the tool was left out.
    """

    name: str
    tools: Mapping[str, BoundTool]
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Brief:
    """What the auditor is asked to do. The same words for organisms and clean targets.

    Attributes:
        game: which of the games is played.
        text: of the task, for an auditor that reads.
        seed: of the audit; whatever the auditor draws follows from it.
    """

    game: Game
    text: str
    seed: int = 0


AuditorFunction = Callable[[Kit, Brief, Budget], Awaitable[Report]]
_PARAMETERS = ("kit: Kit", "brief: Brief", "budget: Budget")


@dataclass(frozen=True, slots=True)
class Auditor:
    """A registered auditing agent; `@auditor` makes one.

    Attributes:
        function: plays one audit.
        name: `explorer`, say.
        version: raised when its behaviour changes; `name@version` titles every number.
        digest: SHA-256 over everything that steers it: its file and all that it imports, with the data of its package.
        llm: whether a language model drives it.
        doc: what it does, for a person.
        data: files that steer it and lie elsewhere than beside its code.
    """

    function: AuditorFunction
    name: str
    version: int
    digest: str
    llm: bool
    doc: str = ""
    data: tuple[Path, ...] = ()

    @property
    def title(self) -> str:
        """Returns who earned a number, as it is printed beside it."""
        return auditor_title(self.name, self.version, self.llm)


def auditor_title(name: str, version: int, llm: bool) -> str:
    """Writes who earned a number: `explorer@3 (no LLM)`."""
    return f"{name}@{version}" + ("" if llm else " (no LLM)")


@overload
def auditor(function: AuditorFunction, /) -> Auditor:
    """`@auditor`, without brackets."""


@overload
def auditor(*, version: int = 1, llm: bool = False, data: Sequence[Path] = ()) -> Callable[[AuditorFunction], Auditor]:
    """`@auditor(version=2)`."""


def auditor(
    function: AuditorFunction | None = None, /, *, version: int = 1, llm: bool = False, data: Sequence[Path] = ()
) -> Auditor | Callable[[AuditorFunction], Auditor]:
    """Makes an async function `(kit: Kit, brief: Brief, budget: Budget) -> Report` an auditor.

    Its name is the function's, its digest follows from all that the function's file imports.

    Args:
        function: where the decorator is written without brackets.
        version: raise it when the auditor's behaviour changes.
        llm: whether a language model drives it.
        data: files that steer it and lie elsewhere than beside its code; their content is part of its digest.

    Raises:
        PluginError: not async, no docstring, or other parameters than these three.
    """

    def wrap(function: AuditorFunction) -> Auditor:
        name = function.__name__
        if not inspect.iscoroutinefunction(function):
            raise PluginError(f"auditor {name} must be an async function.")
        doc = inspect.getdoc(function)
        if not doc:
            raise PluginError(f"auditor {name} has no docstring: it is what a person chooses it by.")
        # Resolved hints, since a plug-in with `from __future__ import annotations` has strings in their place.
        hints = typing.get_type_hints(function)
        parameters = inspect.signature(function).parameters
        taken = [hints.get(key) for key in parameters]
        if taken != [Kit, Brief, Budget] or hints.get("return") is not Report:
            given = f"({', '.join(map(str, parameters.values()))})"
            raise PluginError(
                f"auditor {name}{given} must be written ({', '.join(_PARAMETERS)}) -> Report, with these annotations."
            )
        files = tuple(Path(path).resolve() for path in data)
        digest = digest_of_function(function)
        if files:
            digest = digest_of([digest, *map(sha256, files)])
        return Auditor(function, name, version, digest, llm, doc, files)

    return wrap if function is None else wrap(function)
