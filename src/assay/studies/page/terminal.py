"""Shows the summary in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from assay._util.visible import visible
from assay.studies.effects.effects import is_placebo
from assay.studies.effects.funnel import STAGES, Stage, stages_that_occur
from assay.studies.effects.planned import NO_PRIMARY
from assay.studies.effects.results import Effect, Summary
from assay.studies.effects.verdict import HELPS, HURTS, points, smallest_effect
from assay.studies.page.caveats import caveats
from assay.studies.page.formats import interval, p_value, percent, tokens_spent
from assay.studies.page.games import game_table
from assay.studies.page.model import model_lines, shrunken_table
from assay.studies.page.tables import Column, FittedTable, Row

_INTERVAL = "95\N{NO-BREAK SPACE}%"
_SHORT: dict[Stage, str] = {  # stages as headings; those that are not here are short enough
    "tool not called": "not called",
    "evidence not in its output": "not shown",
    "seen and not used": "not used",
    "wrong hypothesis": "wrong",
    "right and not reproduced": "not reproduced",
    "reproduced and not read": "not read",
    "right and not first": "not first",
}
_COLOURS = {HELPS: "green", HURTS: "red"}


def terminal(summary: Summary) -> RenderableType:
    """Lays out headline, kits with intervals and yardsticks, and effects; rich prints them."""
    # Above the tables, whose numbers are of that machine and of those tiers.
    made_on = Text(" ".join(filter(None, (summary.made_on, summary.hit))), style="dim")
    parts: list[RenderableType] = [Text(visible(summary.headline), style="bold"), made_on]
    parts += [Text(visible(text), style="yellow") for text in caveats(summary)]
    parts.append(_kits(summary))
    if any(kit.beside and kit.beside.said for kit in summary.kits):
        parts.append(_beside(summary))
    if own := game_table(summary):
        parts.append(own)
    if summary.groups:
        parts.append(_groups(summary))
    parts += _effects(summary)
    if summary.hierarchical:
        parts.append(shrunken_table(summary.hierarchical))
    if summary.funnel.kits:
        parts.append(_funnel(summary))
    parts.append(Text(visible(_counts(summary)), style="dim"))
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in parts[:-1]), parts[-1])


def _kits(summary: Summary) -> FittedTable:
    columns = [
        Column("kit", identifies=True),
        Column("success"),
        Column(_INTERVAL),
        Column("raw", spare=2),
        Column("null", spare=3),
        Column("false alarms"),
        Column(_INTERVAL),
        Column("tokens per\N{NO-BREAK SPACE}audit", spare=1),
    ]
    rows: list[Row] = []
    for kit in summary.kits:
        cells = [
            kit.kit,
            percent(kit.success),
            interval(kit.interval),
            percent(kit.raw),
            percent(kit.null),
            percent(kit.false_alarm),
            interval(kit.false_alarm_interval),
            tokens_spent(kit),
        ]
        rows.append(Row(cells, "dim" if kit.placebo else ""))
    constant = summary.yardsticks.best_constant
    if constant:
        rows.append(Row(["best-constant", percent(constant.success), interval(constant.interval), *[""] * 5]))
    if summary.yardsticks.ceiling is not None:
        rows.append(Row(["ceiling", percent(summary.yardsticks.ceiling), *[""] * 6], "dim"))
    return FittedTable(f"{summary.title} · {summary.suite}", columns, rows)


def _beside(summary: Summary) -> FittedTable:
    """Lays out what reports earned beside hits."""
    columns = [
        Column("kit", identifies=True),
        Column("foretells"),
        Column(_INTERVAL),
        Column("null"),
        Column("reports that foretell", spare=1),
        Column("not gradable", spare=2),
        Column("half found"),
        Column("null"),
    ]
    rows: list[Row] = []
    for kit in summary.kits:
        if one := kit.beside:
            area = [percent(one.predict), interval(one.predict_interval), percent(one.predict_null)]
            counts = [str(one.predicted), str(one.unpredictable)]
            rows.append(Row([kit.kit, *area, *counts, percent(one.partial), percent(one.partial_null)]))
    return FittedTable("beside hits: what findings foretell (chance is 50 %), halves stated as such", columns, rows)


def _groups(summary: Summary) -> FittedTable:
    """Lays out success by what a generated organism's behaviour was drawn from."""
    columns = [
        Column("productions", identifies=True),
        Column("kit", identifies=True),
        Column("success"),
        Column(_INTERVAL),
        Column("organisms"),
    ]
    rows: list[Row] = []
    for group, kits in summary.groups.items():
        for kit, won in kits.items():
            rows.append(Row([group, kit, percent(won.success), interval(won.interval), str(won.organisms)]))
    return FittedTable("success on organisms drawn from", columns, rows)


def _effects(summary: Summary) -> list[FittedTable]:
    """Lays out what was compared: what the sweep was for, then all else."""
    of_both = "what a tool adds (points; family-clustered)"
    primary = [effect for effect in summary.effects if effect.primary]
    rest = [effect for effect in summary.effects if not effect.primary]
    if not primary:
        return [_compared(f"{of_both} · primary comparison {NO_PRIMARY}", rest)] if rest else []
    tables = [_compared(f"primary comparison, named before the first audit: {of_both}", primary)]
    return tables + ([_compared("secondary comparisons", rest)] if rest else [])


def _compared(title: str, effects: Sequence[Effect]) -> FittedTable:
    columns = [
        Column("tool", identifies=True),
        Column("estimand", wraps=True, spare=2),
        Column("against", identifies=True),
        Column("effect"),
        Column(_INTERVAL),
        Column("p", spare=1),
        Column("p\N{NO-BREAK SPACE}corrected"),
        Column("verdict", wraps=True),
    ]
    rows: list[Row] = []
    for effect in effects:
        low, high = effect.interval
        cells = [
            effect.tool,
            effect.estimand,
            effect.against,
            points(effect.delta),
            f"[{points(low)}, {points(high)}]",
            p_value(effect.p),
            p_value(effect.p_adjusted),
            effect.verdict,
        ]
        rows.append(Row(cells, _COLOURS.get(effect.verdict, "")))
    return FittedTable(title, columns, rows)


def _funnel(summary: Summary) -> FittedTable:
    """Lays out where audits of organisms stopped, kit by kit."""
    occurring = stages_that_occur(summary.funnel)
    columns = [Column("kit", identifies=True)]
    # The first stages are the last to go: they tell of the tool, the others of the report and of grading.
    columns += [Column(_SHORT.get(stage, stage), spare=1 + STAGES.index(stage)) for stage in occurring]
    rows: list[Row] = []
    for kit in summary.funnel.kits:
        cells = [kit.kit, *(str(kit.stages[stage]) for stage in occurring)]
        rows.append(Row(cells, "dim" if is_placebo(kit.kit) else ""))
    return FittedTable("where audits of organisms stopped", columns, rows)


def _counts(summary: Summary) -> str:
    """Says what the tables leave out."""
    ended = ", ".join(f"{number} {outcome}" for outcome, number in summary.outcomes.items() if number)
    lines = [
        f"{summary.audits} audits over {summary.families} families: {ended or 'none yet'}.",
        smallest_effect(summary),
    ]
    lines += model_lines(summary)
    if summary.ungraded:
        lines.append(f"{summary.ungraded} audits wait for a grade and are in no rate.")
    if summary.grades_passed_over:
        lines.append(
            f"{summary.grades_passed_over} grades in the ledger were signed by no known grader for their audit's "
            f"report: passed over, and graded anew by a sweep or by assay grade."
        )
    if summary.real_unplanted:
        lines.append(f"{summary.real_unplanted} findings are real but not planted: neither hit nor false alarm.")
    if summary.unread:
        lines.append(f"{summary.unread} findings hit, and the lineup does not place their words on the truth.")
    lines += [f"{tool} was left out of {number} audits." for tool, number in summary.skipped.items()]
    return "\n".join(lines)
