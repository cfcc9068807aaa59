"""The summary in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from assay.studies.effects.verdict import HELPS, HURTS, points
from assay.studies.page.html import interval, p_value, percent

_COLOURS = {HELPS: "green", HURTS: "red"}


def terminal(summary: Mapping[str, Any]) -> RenderableType:
    """The headline, the kits with their intervals and yardsticks, and the effects, to be printed by rich."""
    parts: list[RenderableType] = [Text(summary["headline"], style="bold"), _kits(summary)]
    if summary["groups"]:
        parts.append(_groups(summary))
    if summary["effects"]:
        parts.append(_effects(summary))
    parts.append(Text(_counts(summary), style="dim"))
    return Group(*parts)


def _kits(summary: Mapping[str, Any]) -> Table:
    table = Table(title=f"{summary['title']} · {summary['suite']}", title_justify="left")
    for column in ("kit", "success", "95 %", "raw", "null", "false alarms", "95 %", "tokens/audit"):
        table.add_column(column, justify="left" if column == "kit" else "right", no_wrap=column == "kit")
    for kit in summary["kits"]:
        table.add_row(
            Text(kit["kit"]),
            percent(kit["success"]),
            Text(interval(kit["interval"])),
            percent(kit["raw"]),
            percent(kit["null"]),
            percent(kit["false_alarm"]),
            Text(interval(kit["false_alarm_interval"])),
            f"{kit['target_tokens']:,.0f}",
            style="dim" if kit["placebo"] else None,
        )
    constant = summary["yardsticks"]["best-constant"]
    if constant:
        blank = [""] * 5
        table.add_row(Text("best-constant"), percent(constant["success"]), Text(interval(constant["interval"])), *blank)
    return table


def _groups(summary: Mapping[str, Any]) -> Table:
    """Success by what a generated organism's behaviour was drawn from."""
    table = Table(title="success on organisms drawn from", title_justify="left")
    for column in ("productions", "kit", "success", "95 %", "organisms"):
        table.add_column(column, justify="left" if column in {"productions", "kit"} else "right")
    for group, kits in summary["groups"].items():
        for kit, won in kits.items():
            rate = (percent(won["success"]), Text(interval(won["interval"])), str(won["organisms"]))
            table.add_row(group, Text(kit), *rate)
    return table


def _effects(summary: Mapping[str, Any]) -> Table:
    table = Table(title="what a tool adds (points; family-clustered)", title_justify="left")
    for column in ("tool", "estimand", "against", "effect", "95 %", "p", "p (Holm)", "verdict"):
        table.add_column(column, justify="right" if column in {"effect", "95 %", "p", "p (Holm)"} else "left")
    for effect in summary["effects"]:
        low, high = effect["interval"]
        table.add_row(
            Text(effect["tool"]),
            effect["estimand"],
            Text(effect["against"]),
            points(effect["delta"]),
            Text(f"[{points(low)}, {points(high)}]"),
            p_value(effect["p"]),
            p_value(effect["p_holm"]),
            Text(effect["verdict"], style=_COLOURS.get(effect["verdict"], "")),
        )
    return table


def _counts(summary: Mapping[str, Any]) -> str:
    ended = ", ".join(f"{number} {outcome}" for outcome, number in summary["outcomes"].items() if number)
    mde = summary["mde"]
    smallest = "none (one family)" if mde is None else f"{100 * mde:.0f} points"
    lines = [
        f"{summary['audits']} audits over {summary['families']} families: {ended or 'none yet'}.",
        f"Smallest detectable effect (80 % power, two-sided 5 %): {smallest}.",
    ]
    if summary["ungraded"]:
        lines.append(f"{summary['ungraded']} audits wait for a grade and are in no rate.")
    if summary["real_unplanted"]:
        lines.append(f"{summary['real_unplanted']} findings are real but not planted: neither hit nor false alarm.")
    lines += [f"{tool} was left out of {number} audits." for tool, number in summary["skipped"].items()]
    return "\n".join(lines)
