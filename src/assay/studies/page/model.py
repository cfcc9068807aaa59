"""Words and tables for what the hierarchical model says, alike on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from assay.studies.effects.results import Summary
from assay.studies.effects.shrunken import Hierarchical, TestbedDifficulty
from assay.studies.effects.verdict import HELPS, HURTS, points, whole
from assay.studies.page.formats import interval, percent
from assay.studies.page.tables import Column, FittedTable, Row

_INTERVAL = "95\N{NO-BREAK SPACE}%"
_COLOURS = {HELPS: "green", HURTS: "red"}
ONE_SEED = (
    "One audit of each cell: no hierarchical model, which tells by several seeds what differs from family to family. "
    "Sweeps have three by default."
)
_ENDS = 3  # testbeds named at either end of the list


def shrunken_table(model: Hierarchical) -> FittedTable:
    """Lays out the shrunken effects for a terminal."""
    columns = [
        Column("tool", identifies=True),
        Column("against", identifies=True),
        Column("shrunken"),
        Column(_INTERVAL),
        Column("P(effect\N{NO-BREAK SPACE}>\N{NO-BREAK SPACE}0)"),
        Column("raw", spare=1),
        Column("model says", wraps=True),
    ]
    rows: list[Row] = []
    for effect in model.effects:
        low, high = effect.interval
        cells = [
            effect.tool,
            effect.against,
            points(effect.delta),
            f"[{points(low)}, {points(high)}]",
            probability(effect.p_positive),
            points(effect.raw),
            effect.verdict,
        ]
        rows.append(Row(cells, _COLOURS.get(effect.verdict, "")))
    return FittedTable("the same by the hierarchical model (points)", columns, rows)


def model_lines(summary: Summary) -> list[str]:
    """Says where the variance of hits comes from, what the priors decide, and which testbeds are hard."""
    lines: list[str] = []
    if summary.effects and not summary.hierarchical:
        lines.append(ONE_SEED)
    if summary.hierarchical:
        lines += [variance_line(summary.hierarchical), *summary.hierarchical.caveats]
    if len(summary.difficulty) > 1:
        hardest, easiest = summary.difficulty[:_ENDS], summary.difficulty[: -_ENDS - 1 : -1]
        lines.append(f"Hardest: {_beds(hardest)}. Easiest: {_beds(easiest)} (shrunken rates of hits).")
    repeated = [
        f"{kit.kit} {percent(kit.repeatability)} {interval(kit.repeatability_interval)}"
        for kit in summary.kits
        if kit.repeatability is not None and not kit.placebo
    ]
    if repeated:
        lines.append(f"An organism that one seed hits, another hits: {', '.join(repeated)}.")
    return lines


def variance_line(model: Hierarchical) -> str:
    """Says where the variance of a hit comes from."""
    parts = [f"{share.source} {percent(share.share)} {interval(share.interval)}" for share in model.variance]
    grader = "" if model.grader is None else f" (of it the grader's own draws about {percent(model.grader)})"
    return f"Variance of a hit: {', '.join(parts)}{grader}."


def probability(value: float) -> str:
    """Writes a probability in percent, never as certain."""
    if value < 0.005:
        return "< 1 %"
    return "> 99 %" if value >= 0.995 else f"{whole(100 * value)} %"


def _beds(beds: Sequence[TestbedDifficulty]) -> str:
    return ", ".join(f"{bed.alias} {percent(bed.rate)}" for bed in beds)
