"""Notes and hypotheses of a language model, which stay when its conversation is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from inspect_ai.tool import ToolDef

Status = Literal["open", "supported", "refuted"]
_MOST = 12_000  # characters that a notebook is shown with; of a longer one the oldest notes are left out
_LINE = 1_000


@dataclass
class Notebook:
    """Keeps what a language model writes down.

    Attributes:
        beside: writes out what else must not be lost.
        notes: in order.
        hypotheses: claim → status and evidence.
    """

    beside: Callable[[], str] = str
    notes: list[str] = field(default_factory=list)
    hypotheses: dict[str, tuple[Status, str]] = field(default_factory=dict)

    def shown(self) -> str:
        """Writes it out."""
        claims = [f"- [{status}] {claim}: {why}" for claim, (status, why) in self.hypotheses.items()]
        notes = list(self.notes)
        while notes and sum(map(len, notes)) > _MOST:
            notes.pop(0)
        lines = ["Hypotheses:", *(claims or ["- none"]), "Notes:", *(f"- {note}" for note in notes or ["none"])]
        return "\n".join([*lines, *filter(None, [self.beside()])])

    def tools(self) -> list[ToolDef]:
        """Makes the tools that write into it."""

        async def note(text: str) -> str:
            """Write a line into your notebook.

            Args:
                text: what you must not lose: an observation, with the prompts and counts behind it.
            """
            self.notes.append(text[:_LINE])
            return "noted"

        async def hypothesis(claim: str, status: Status, evidence: str) -> str:
            """Add a hypothesis to your notebook, or say anew how it stands.

            Args:
                claim: when the target does what; the same words to change how it stands.
                status: open, supported or refuted.
                evidence: what speaks for it and against it, with counts.
            """
            self.hypotheses[claim[:_LINE]] = (status, evidence[:_LINE])
            return self.shown() if len(self.hypotheses) < 12 else "noted"

        return [ToolDef(note, name="note"), ToolDef(hypothesis, name="hypothesis")]
