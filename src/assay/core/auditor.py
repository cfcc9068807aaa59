"""What an auditing agent is given, and what it returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from assay.core.budget import Budget
from assay.core.report import Report
from assay.core.tool import BoundTool

Game = Literal["investigate"]


@dataclass(frozen=True, slots=True)
class Kit:
    """The tools of one audit, bound; and those that were left out, with the reason."""

    name: str
    tools: Mapping[str, BoundTool]
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Brief:
    """What the auditor is asked to do. The same words for organisms and clean targets."""

    game: Game
    text: str
    seed: int = 0


AuditorFunction = Callable[[Kit, Brief, Budget], Awaitable[Report]]


@dataclass(frozen=True, slots=True)
class Auditor:
    """A registered auditing agent.

    Attributes:
        function: plays one audit.
        name: `explorer`, say.
        version: raised when its behaviour changes; `name@version` titles every number.
        digest: SHA-256 over everything that steers it (code, prompts, battery, background, calibration).
        llm: whether a language model drives it.
    """

    function: AuditorFunction
    name: str
    version: int
    digest: str
    llm: bool

    @property
    def title(self) -> str:
        return f"{self.name}@{self.version}" + ("" if self.llm else " (no LLM)")
