"""Defines what an auditing agent is given, and what it returns."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from assay._util.hashing import digest_of, sha256
from assay._util.import_graph import digest_of_function
from assay.core.answer import ANSWERS, GAMES, Game, GameAnswer
from assay.core.budget import Budget
from assay.core.tool import BoundTool
from assay.errors import PluginError


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
        about: in `evaluate`, the behaviour's description; "" in the other games.
    """

    game: Game
    text: str
    seed: int = 0
    about: str = ""


AuditorFunction = Callable[[Kit, Brief, Budget], Awaitable[GameAnswer]]
INVESTIGATES: tuple[Game, ...] = ("investigate",)
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
        games: those it plays; `brief.game` says which one is played.
    """

    function: AuditorFunction
    name: str
    version: int
    digest: str
    llm: bool
    doc: str = ""
    data: tuple[Path, ...] = ()
    games: tuple[Game, ...] = INVESTIGATES

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
def auditor(
    *, version: int = 1, llm: bool = False, data: Sequence[Path] = (), games: Sequence[Game] = INVESTIGATES
) -> Callable[[AuditorFunction], Auditor]:
    """`@auditor(version=2)`."""


def auditor(
    function: AuditorFunction | None = None,
    /,
    *,
    version: int = 1,
    llm: bool = False,
    data: Sequence[Path] = (),
    games: Sequence[Game] = INVESTIGATES,
) -> Auditor | Callable[[AuditorFunction], Auditor]:
    """Makes an async function `(kit: Kit, brief: Brief, budget: Budget) -> Report` an auditor.

    One that plays `red-team` returns `RankedTranscripts` there, one that plays `evaluate` a `BehaviouralEval`; of
    several games the annotation is a union. Its name is the function's, its digest follows from all that the function's
    file imports.

    Args:
        function: where the decorator is written without brackets.
        version: raise it when the auditor's behaviour changes.
        llm: whether a language model drives it.
        data: files that steer it and lie elsewhere than beside its code; their content is part of its digest.
        games: those it plays.

    Raises:
        PluginError: not async, no docstring, no such game, or another signature than these three parameters and what
            its games are answered with.
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
        played = _played(name, games)
        if taken != [Kit, Brief, Budget] or not _answers(hints.get("return"), played):
            given = f"({', '.join(map(str, parameters.values()))})"
            wanted = " | ".join(ANSWERS[game].__name__ for game in played)
            raise PluginError(
                f"auditor {name}{given} must be written ({', '.join(_PARAMETERS)}) -> {wanted}, with these annotations."
            )
        files = tuple(Path(path).resolve() for path in data)
        digest = digest_of_function(function)
        if files:
            digest = digest_of([digest, *map(sha256, files)])
        return Auditor(function, name, version, digest, llm, doc, files, played)

    return wrap if function is None else wrap(function)


def _played(name: str, games: Sequence[Game]) -> tuple[Game, ...]:
    """Returns the games of an auditor, each once, in the order in which the design lists them."""
    if isinstance(games, str) or not games or not set(games) <= set(GAMES):
        raise PluginError(f"auditor {name}: games are {games!r}; give a tuple of some of {', '.join(GAMES)}.")
    return tuple(game for game in GAMES if game in games)


def _answers(annotation: Any, games: Sequence[Game]) -> bool:
    """Tells whether a return annotation has the answer of every game, and nothing that answers none."""
    given = set(typing.get_args(annotation)) or {annotation}
    return {ANSWERS[game] for game in games} <= given <= set(ANSWERS.values())
