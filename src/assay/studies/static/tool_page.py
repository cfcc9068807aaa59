"""A tool's page: what it does, its source and cost, what its output holds, what agents made of it, when it hurts.

All numbers are measured and on file: static values (`files.values_on_file`), the kept result of `bench/tools.py`, and
sweeps. Where there are none the page says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from assay._util.strict_json import read_json_object
from assay._util.yaml_models import Data
from assay.audits.described import ToolInfo
from assay.audits.named_kits import NAMED_KITS
from assay.errors import InvalidInput
from assay.studies.effects.numbers import Number
from assay.studies.effects.verdict import HURTS, points
from assay.studies.page.formats import percent
from assay.studies.static.agents import agent_effects
from assay.studies.static.files import results_of_benchmarks, values_on_file
from assay.studies.static.results import AgentEffect, ToolValue
from assay.studies.static.terminal import told_bounded

_CLEAN = 0.1  # share of clean targets on which a reader may name something before it is said to hurt


class ToolCost(Data):
    """Tells what a default call takes, as `bench/tools.py` measured it on one organism.

    Attributes:
        tool: its name.
        seconds, tokens, queries: of one call.
        prepare_seconds, prepare_tokens: of preparing, 0 where nothing is prepared.
        at_once_seconds, requests: of several calls at once; None where no reply is sampled.
        naive_seconds: the same requests one after another by a plain library, and `faster` how many times as long.
    """

    tool: str
    seconds: Number
    tokens: int
    queries: int
    prepare_seconds: Number = 0.0
    prepare_tokens: int = 0
    at_once_seconds: Number | None = None
    requests: int | None = None
    naive_seconds: Number | None = None
    faster: Number | None = None


class FiledValue(Data):
    """Holds a static value that is on file, with its place, date and machine."""

    place: str
    date: str
    machine: str
    value: ToolValue


class FiledEffect(Data):
    """Holds an effect that a sweep measured, with the sweep's folder."""

    study: str
    effect: AgentEffect


class ToolPage(Data):
    """Holds all that is known of a tool.

    Attributes:
        tool: as it says of itself.
        kits: named kits that it is in.
        cost: measured; None where no result is on file.
        values: static values on file, the newest first; of other versions of the tool none.
        effects: of sweeps that were named.
        hurts: when it does, by these numbers.
    """

    tool: ToolInfo
    kits: tuple[str, ...]
    cost: ToolCost | None
    values: tuple[FiledValue, ...]
    effects: tuple[FiledEffect, ...]
    hurts: tuple[str, ...]


def tool_page(tool: ToolInfo, studies: Sequence[Path]) -> ToolPage:
    """Gathers what is on file of a tool.

    Args:
        tool: as it says of itself.
        studies: folders of sweeps.

    Raises:
        InvalidInput: a folder holds no sweep that can be read.
    """
    values: list[FiledValue] = []
    for path, found in values_on_file():
        for one in found.tools:
            if one.tool == tool.name and one.version == tool.version and one.organisms + one.clean:
                values.append(FiledValue(place=path.name, date=found.date, machine=found.machine, value=one))
    effects: list[FiledEffect] = []
    for study in studies:
        effects += [FiledEffect(study=str(study), effect=one) for one in agent_effects(study).get(tool.name, ())]
    kits = tuple(name for name, tools in NAMED_KITS.items() if tool.name in tools)
    newest = values[0].value if values else None
    return ToolPage(
        tool=tool,
        kits=kits,
        cost=_cost(tool.name),
        values=tuple(values),
        effects=tuple(effects),
        hurts=(*(_hurts_alone(newest) if newest else ()), *_hurts_agents(effects)),
    )


def _cost(name: str) -> ToolCost | None:
    """Finds the newest kept measurement of a tool; what cannot be read is passed over."""
    folder = results_of_benchmarks()
    for path in sorted(folder.glob("tools-*.json"), reverse=True) if folder else ():
        try:
            measured = [ToolCost.model_validate(one) for one in read_json_object(path).get("tools", [])]
        except (InvalidInput, ValidationError):
            continue
        for one in measured:
            if one.tool == name:
                return one
    return None


def _hurts_alone(value: ToolValue) -> list[str]:
    """Says where a tool's output tells no more than its control's, and how often it leads a reader astray."""
    found: list[str] = []
    for part in value.by_method:
        if part.twin is not None and part.auroc <= part.twin:
            found.append(
                f"on {part.method} organisms ({part.organisms}) its output holds no more of the truth than its "
                f"control's: AUROC {part.auroc:.2f} against {part.twin:.2f}"
            )
    if value.named_clean and value.named_clean.value > _CLEAN:
        found.append(f"on {percent(value.named_clean.value)} of clean targets a reader of its output names something")
    if value.failed:
        found.append(f"it broke off on {value.failed} testbeds: {'; '.join(value.faults)}")
    return found


def _hurts_agents(effects: Sequence[FiledEffect]) -> list[str]:
    found: list[str] = []
    for one in effects:
        effect = one.effect
        low, high = effect.interval
        if effect.verdict == HURTS or high < 0:
            found.append(
                f"agents with it did worse: {points(effect.delta)} [{points(low)}, {points(high)}], {one.study}"
            )
    return found


def told_page(page: ToolPage) -> str:
    """Writes a page for a terminal."""
    tool = page.tool
    lines = [f"{tool.name} (version {tool.version}{', ' + tool.plugin.label if tool.plugin else ''})", "", tool.doc, ""]
    lines += [
        f"source    {tool.source or 'none given'}",
        f"access    {', '.join(tool.needs) or 'nothing'}",
        f"families  {', '.join(tool.families)}",
        f"kits      {', '.join(page.kits) or 'none that has a name'}",
        f"weight    {tool.weight}",
        f"cost      {_told_cost(page.cost)}",
        "",
        "Static value: is the evidence in its output?",
    ]
    for one in page.values:
        value = one.value
        chance = f"by chance {percent(value.chance)}"
        lines += [
            f"  {one.date}, {one.place}: {value.organisms} organisms, {value.clean} clean targets",
            f"    AUROC of the truth's rank  {told_bounded(value.auroc)}",
            f"    on the controls            {told_bounded(value.twin)}",
            f"    difference                 {told_bounded(value.difference)}",
            f"    the truth comes first      {told_bounded(value.first, share=True)}; {chance}",
            f"    names on clean targets     {told_bounded(value.named_clean, share=True)}",
        ]
        recipes = [f"{part.method} {part.auroc:.2f} ({part.organisms})" for part in value.by_method]
        lines.append(f"    by recipe                  {', '.join(recipes) or 'not measured'}")
    if not page.values:
        lines.append(f"  not measured. Run: assay tools score --tools {tool.name}")
    lines += ["", "Effects on agents"]
    for measured in page.effects:
        effect = measured.effect
        low, high = effect.interval
        bounds = f"[{points(low)}, {points(high)}]"
        lines.append(f"  against {effect.against}: {points(effect.delta)} {bounds}, {effect.verdict}; {measured.study}")
    if not page.effects:
        lines.append("  none on file. Name sweeps with --study")
    known = page.values or page.effects
    lines += ["", "When it hurts"]
    lines += [f"  - {one}" for one in page.hurts] or ["  nowhere that was measured" if known else "  not measured"]
    return "\n".join(lines)


def _told_cost(cost: ToolCost | None) -> str:
    if cost is None:
        return "not measured"
    told = f"{cost.seconds:.1f} s and {cost.tokens:,} tokens a default call"
    if cost.prepare_tokens or cost.prepare_seconds:
        told += f"; preparing {cost.prepare_seconds:.0f} s and {cost.prepare_tokens:,} tokens, once a testbed"
    if cost.faster is not None:
        told += f"; {cost.faster:.1f} × as fast as one request after another"
    return told
