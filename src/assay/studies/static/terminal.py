"""Lays out static values for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group

from assay.studies.effects.verdict import points
from assay.studies.page.formats import interval, number, percent
from assay.studies.page.tables import Column, FittedTable, Row
from assay.studies.static.results import Bounded, StaticValue, ToolValue


def value_tables(value: StaticValue) -> Group:
    """Lays out the table of tools, what agents made of them where that is known, and what was left out."""
    parts: list[FittedTable | str] = [_values(value.tools)]
    if value.study:
        parts.append(_gap(value))
    parts.append(_remarks(value))
    return Group(*parts)


def _values(tools: Sequence[ToolValue]) -> FittedTable:
    columns = [
        Column("tool", identifies=True),
        Column("AUROC", spare=1),
        Column("on controls", spare=2),
        Column("difference"),
        Column("first"),
        Column("chance", spare=3),
        Column("names clean", spare=4),
        Column("families", spare=5),
        Column("tokens", spare=6),
    ]
    rows: list[Row] = []
    for one in tools:
        cells = [
            one.tool,
            _number(one.auroc),
            "–" if one.twin is None else f"{one.twin.value:.2f}",
            _number(one.difference),
            percent(one.first.value if one.first else None),
            percent(one.chance),
            percent(one.named_clean.value if one.named_clean else None),
            str(one.auroc.families) if one.auroc else "0",
            "–" if one.tokens is None else f"{one.tokens:,.0f}",
        ]
        apart = one.difference is not None and one.difference.interval[0] > 0
        rows.append(Row(cells, "" if apart else "dim"))
    return FittedTable("static value: is the evidence in the output?", columns, rows)


def _number(bounded: Bounded | None) -> str:
    return number(bounded.value, bounded.interval) if bounded else "–"


def _gap(value: StaticValue) -> FittedTable:
    """Lays out what outputs hold beside what an agent made of them."""
    columns = [
        Column("tool", identifies=True),
        Column("output − control's"),
        Column("against", identifies=True),
        Column("agent's effect"),
        Column("95 % interval"),
        Column("verdict", wraps=True),
    ]
    rows: list[Row] = []
    for one in value.tools:
        held = _number(one.difference)
        for effect in one.agent:
            low, high = effect.interval
            told = f"[{points(low)}, {points(high)}]"
            rows.append(Row([one.tool, held, effect.against, points(effect.delta), told, effect.verdict]))
    return FittedTable("from tool to agent", columns, rows)


def _remarks(value: StaticValue) -> str:
    lines = [
        f"{value.reader} ranks the behaviours of {value.pool} organisms by each output alone; AUROC .5 is chance. Dim: "
        f"not above the controls' output. {value.calls} calls or {value.tokens:,} tokens a testbed."
    ]
    for one in value.tools:
        if one.skipped:
            lines.append(f"{one.tool} was left out of {one.skipped} testbeds: {'; '.join(one.reasons)}.")
        if one.failed:
            lines.append(f"{one.tool} broke off on {one.failed} testbeds: {'; '.join(one.faults)}")
    return "\n".join(lines)


def told_bounded(bounded: Bounded | None, *, share: bool = False) -> str:
    """Tells a number with its interval and families in a line; "not measured" where there is none."""
    if bounded is None:
        return "not measured"
    if share:
        return f"{percent(bounded.value)} {interval(bounded.interval)}, {bounded.families} families"
    return f"{number(bounded.value, bounded.interval)}, {bounded.families} families"
