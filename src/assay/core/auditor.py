"""Defines what an auditing agent is given, and what it returns."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, overload

from assay._util.hashing import digest_of, sha256
from assay._util.import_graph import digest_of_function
from assay.core.answer import ANSWERS, GAMES, Game, GameAnswer
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel
from assay.core.tool import BoundTool
from assay.errors import InvalidInput, PluginError


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


AuditorFunction = Callable[..., Awaitable[GameAnswer]]  # (kit, brief, budget), and the language model if it wants one
AUDITOR_NAME = r"[^\W\d]\w*(/[^\W\d][\w-]*)?"  # `investigator`, or with a variant `investigator/breadth-first`
INVESTIGATES: tuple[Game, ...] = ("investigate",)
_PARAMETERS = ("kit: Kit", "brief: Brief", "budget: Budget")
_GIVEN = [Kit, Brief, Budget]


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
        takes_model: it is handed a language model, which the person who starts an audit chooses.
        requires: packages, by the names they are imported by, that Assay does without → what brings them.
    """

    function: AuditorFunction
    name: str
    version: int
    digest: str
    llm: bool
    doc: str = ""
    data: tuple[Path, ...] = ()
    games: tuple[Game, ...] = INVESTIGATES
    takes_model: bool = False
    requires: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """Tells why it cannot play here, "" if it can."""
        absent = [f"{name} ({brings})" for name, brings in self.requires.items() if find_spec(name) is None]
        return f"needs {', '.join(absent)}, which is not installed" if absent else ""

    @property
    def title(self) -> str:
        """Returns who earned a number, as it is printed beside it."""
        return auditor_title(self.name, self.version, self.llm)

    async def audit(self, kit: Kit, brief: Brief, budget: Budget, model: LanguageModel | None = None) -> GameAnswer:
        """Plays one audit.

        Args:
            kit: its tools.
            brief: what it is asked to do.
            budget: of the audit, for it to know; it is enforced outside.
            model: its language model, if it takes one.

        Raises:
            InvalidInput: it takes a language model and there is none, or it lacks a package.
        """
        if why := self.missing:
            raise InvalidInput(f"auditor {self.name} {why}.")
        if not self.takes_model:
            return await self.function(kit, brief, budget)
        if model is None:
            raise InvalidInput(
                f"auditor {self.name} thinks with a language model: give one with --model PROVIDER/NAME."
            )
        return await self.function(kit, brief, budget, model)


def auditor_title(name: str, version: int, llm: bool, model: str = "") -> str:
    """Writes who earned a number: `explorer@3 (no LLM)`, `investigator@1 (openai/gpt-…)`."""
    by = model if llm else "no LLM"
    return f"{name}@{version}" + (f" ({by})" if by else "")


@overload
def auditor(function: AuditorFunction, /) -> Auditor:
    """`@auditor`, without brackets."""


@overload
def auditor(
    *,
    name: str = "",
    version: int = 1,
    llm: bool = False,
    data: Sequence[Path] = (),
    games: Sequence[Game] = INVESTIGATES,
    requires: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[AuditorFunction], Auditor]:
    """`@auditor(version=2)`."""


def auditor(
    function: AuditorFunction | None = None,
    /,
    *,
    name: str = "",
    version: int = 1,
    llm: bool = False,
    data: Sequence[Path] = (),
    games: Sequence[Game] = INVESTIGATES,
    requires: Mapping[str, str] = MappingProxyType({}),
) -> Auditor | Callable[[AuditorFunction], Auditor]:
    """Makes an async function `(kit: Kit, brief: Brief, budget: Budget) -> Report` an auditor.

    A fourth parameter, annotated `LanguageModel`, is handed the model that the audit was started with (`--model`),
    metered. One that plays `red-team` returns `RankedTranscripts` there, one that plays `evaluate` a `BehaviouralEval`;
    of several games the annotation is a union. Its digest follows from all that the function's file imports.

    Args:
        function: where the decorator is written without brackets.
        name: `NAME` or `NAME/VARIANT`; the function's if none is given.
        version: raise it when the auditor's behaviour changes.
        llm: whether a language model drives it; one that is handed a model says so by that.
        data: files that steer it and lie elsewhere than beside its code; their content is part of its digest.
        games: those it plays.
        requires: packages that may be missing, by the names they are imported by → what brings them.

    Raises:
        PluginError: not async, no docstring, no such name or game, or another signature than these parameters and what
            its games are answered with.
    """
    given = name

    def wrap(function: AuditorFunction) -> Auditor:
        name = given or function.__name__
        if not re.fullmatch(AUDITOR_NAME, name):
            raise PluginError(f"an auditor cannot be named {name!r}; allowed: NAME or NAME/VARIANT, words and dashes.")
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
        if taken not in (_GIVEN, [*_GIVEN, LanguageModel]) or not _answers(hints.get("return"), played):
            written = f"({', '.join(map(str, parameters.values()))})"
            wanted = " | ".join(ANSWERS[game].__name__ for game in played)
            raise PluginError(
                f"auditor {name}{written} must be written ({', '.join(_PARAMETERS)}) -> {wanted}, with these "
                f"annotations and, if it thinks with one, model: LanguageModel as the fourth."
            )
        takes_model = len(taken) > len(_GIVEN)
        files = tuple(Path(path).resolve() for path in data)
        digest = digest_of_function(function)
        if files:
            digest = digest_of([digest, *map(sha256, files)])
        return Auditor(function, name, version, digest, llm or takes_model, doc, files, played, takes_model, requires)

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
