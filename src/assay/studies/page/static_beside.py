"""Puts a tool's static value beside what it adds to an agent: whether the evidence is there, and whether it is used."""

from __future__ import annotations

from dataclasses import dataclass

from assay.studies.effects.results import Effect, Summary
from assay.studies.static.files import values_on_file
from assay.studies.static.results import StaticValue, ToolValue


@dataclass(frozen=True, slots=True)
class StaticBeside:
    """One tool, by both measures.

    Attributes:
        effect: what it adds to a base kit.
        value: its static value.
        measured: the file of values that has it: reader, date, machine.
    """

    effect: Effect
    value: ToolValue
    measured: StaticValue


def static_beside(summary: Summary) -> list[StaticBeside]:
    """Finds the static value of every tool that was added to a base kit, as last measured on this machine.

    Tools of which none is on file are left out.
    """
    newest: dict[str, tuple[ToolValue, StaticValue]] = {}
    for _, measured in values_on_file():
        for value in measured.tools:
            newest.setdefault(value.tool, (value, measured))
    found: list[StaticBeside] = []
    for effect in summary.effects:
        if effect.estimand == "alone" and not effect.against_placebo and effect.tool in newest:
            found.append(StaticBeside(effect, *newest[effect.tool]))
    return found
