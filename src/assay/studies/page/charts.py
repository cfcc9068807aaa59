"""Draws the page's charts, as Vega-Lite specifications. Colours that depend on light or dark are set by the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from assay.studies.effects.results import Effect, Summary, TargetResult

Drawn = alt.Chart | alt.LayerChart | alt.FacetChart
BLUE, ORANGE, GREY = "#3b7dd8", "#d9822b", "#8b94a3"
_ROW = 24  # pixels per row of a heatmap or forest plot
_LABELS = 220  # pixels for a testbed's name
_ENDED = (BLUE, "#9db9dd", "#c7a6d8", "#e0c36a", ORANGE, "#c8454b")
_STAGES = (
    *("#c8454b", ORANGE, "#e0c36a", "#c7a6d8", "#9d8fd0", "#9db9dd", "#6f9fe0", BLUE),  # the nearer to a hit the bluer
    *("#5b6675", GREY, "#c9ced6"),  # of which nothing is told
)


def charts(summary: Summary) -> dict[str, dict[str, Any]]:
    """Draws those charts that the summary has data for, name → Vega-Lite specification."""
    drawn = {
        "forest": forest(summary),
        "organisms": heatmap(summary, "organism"),
        "clean": heatmap(summary, "clean"),
        "alarms": against_alarms(summary),
        "cost": against_cost(summary),
        "funnel": stages(summary),
        "outcomes": outcomes(summary),
    }
    specifications: dict[str, dict[str, Any]] = {}
    for name, chart in drawn.items():
        if chart is not None:
            specifications[name] = chart.to_dict()
            specifications[name].pop("$schema", None)  # an address; nothing on the page may look like a fetch
    return specifications


def _data(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    return alt.InlineData(values=[dict(row) for row in rows])


def forest(summary: Summary) -> Drawn | None:
    """Draws effects with intervals."""
    if not summary.effects:
        return None
    rows = [_effect_row(effect) for effect in summary.effects]
    tools = list(dict.fromkeys(row["tool"] for row in rows))
    y = alt.Y("tool:N", sort=tools, title=None, axis=alt.Axis(labelFontSize=13))
    offset = alt.YOffset("against:N", sort=["the base kit", "its placebo"])
    colour = alt.Color(
        "against:N",
        scale=alt.Scale(domain=["the base kit", "its placebo"], range=[BLUE, ORANGE]),
        legend=alt.Legend(title="compared with", orient="top"),
    )
    tooltip = [
        alt.Tooltip("compared:N"),
        alt.Tooltip("delta:Q", format="+.1%"),
        alt.Tooltip("low:Q", format="+.1%"),
        alt.Tooltip("high:Q", format="+.1%"),
        alt.Tooltip("p:Q", format=".3f", title="p, corrected"),
        alt.Tooltip("verdict:N"),
    ]
    base = alt.Chart(_data(rows)).encode(y=y, yOffset=offset, color=colour, tooltip=tooltip)
    axis = alt.Axis(format="+%", title="difference in success")
    span = base.mark_rule(strokeWidth=2.5).encode(x=alt.X("low:Q", axis=axis), x2="high:Q")
    dot = base.mark_point(size=90, filled=True, opacity=1).encode(x=alt.X("delta:Q", axis=axis))
    layers: list[alt.Chart] = [_zero(), span, dot]
    return alt.layer(*layers).properties(width="container", height=2 * _ROW * len(tools))


def _effect_row(effect: Effect) -> dict[str, Any]:
    low, high = effect.interval
    return {
        "tool": effect.tool,
        "against": "its placebo" if effect.against_placebo else "the base kit",
        "compared": f"{effect.kit} − {effect.control}",
        "delta": effect.delta,
        "low": low,
        "high": high,
        "p": effect.p_adjusted,
        "verdict": effect.verdict,
    }


def _zero() -> alt.Chart:
    line: alt.Chart = alt.Chart(_data([{"x": 0}])).mark_rule(color=GREY, strokeWidth=1).encode(x="x:Q")
    return line


def heatmap(summary: Summary, role: str) -> Drawn | None:
    """Draws the share of audits with a hit (organisms) or a false alarm (clean targets), testbed × kit."""
    beds = [bed for bed in summary.testbeds if bed.role == role]
    rows: list[dict[str, Any]] = []
    for bed in beds:
        shares = bed.hit_by_kit if role == "organism" else bed.false_alarm_by_kit
        rows += [{"testbed": _label(bed), "kit": kit, "share": share} for kit, share in shares.items()]
    if not rows:
        return None
    kits = [kit.kit for kit in summary.kits]
    title, colour = ("hits", BLUE) if role == "organism" else ("false alarms", ORANGE)
    aligned = alt.Axis(minExtent=_LABELS, maxExtent=_LABELS)  # the two heatmaps' columns stand under each other
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("kit:N", sort=kits, title=None, axis=alt.Axis(orient="top", labelAngle=-40)),
        y=alt.Y("testbed:N", sort=[_label(bed) for bed in beds], title=None, axis=aligned),
        tooltip=["testbed:N", "kit:N", alt.Tooltip("share:Q", format=".0%", title=title)],
    )
    opacity = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.08, 1]), legend=None)
    cells = base.mark_rect(cornerRadius=3, stroke="transparent", strokeWidth=2, color=colour).encode(opacity=opacity)
    numbers = base.mark_text(fontSize=11).encode(
        text=alt.Text("share:Q", format=".0%"),
        color=alt.when("datum.share > 0.6").then(alt.value("white")),
    )
    chart = alt.layer(cells, numbers)
    slanted = {"left": 0, "top": 5, "bottom": 5, "right": 50}  # room for the last kit's name
    return chart.properties(width="container", height=_ROW * len(beds), padding=slanted)


def _label(bed: TargetResult) -> str:
    return bed.alias if bed.role == "clean" else f"{bed.alias} · {bed.family}"


def _measured(summary: Summary) -> list[dict[str, Any]]:
    """Lists kits with a success, as rows of the two scatter plots."""
    rows: list[dict[str, Any]] = []
    for kit in summary.kits:
        if kit.success is None or kit.interval is None:
            continue
        alarm_low, alarm_high = kit.false_alarm_interval or (None, None)
        rows.append(
            {
                "kit": kit.kit,
                "kind": "placebo" if kit.placebo else "kit",
                "success": kit.success,
                "low": kit.interval[0],
                "high": kit.interval[1],
                "alarm": kit.false_alarm,
                "alarm low": alarm_low,
                "alarm high": alarm_high,
                "tokens": kit.target_tokens,
            }
        )
    return rows


def _scatter(rows: Sequence[Mapping[str, Any]], x: alt.X, tooltip: alt.Tooltip) -> tuple[alt.Chart, list[alt.Chart]]:
    """Draws what both plots share, and its layers: success with its interval, a dot, a name."""
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=["kit", "placebo"], range=[BLUE, GREY]),
        legend=alt.Legend(title=None, orient="top"),
    )
    rates = [alt.Tooltip(f"{name}:Q", format=".1%") for name in ("success", "low", "high")]
    about = [alt.Tooltip("kit:N"), *rates, tooltip]
    base = alt.Chart(_data(rows)).encode(x=x, color=colour, tooltip=about)
    axis = alt.Axis(format="%", title="success")
    span = base.mark_rule(strokeWidth=1.5, opacity=0.45).encode(y=alt.Y("low:Q", axis=axis), y2="high:Q")
    dot = base.mark_point(size=80, filled=True, opacity=1).encode(y=alt.Y("success:Q", axis=axis))
    name = (
        base.transform_filter("datum.kind == 'kit'")
        .mark_text(align="left", dx=8, dy=-6, fontSize=11)
        .encode(y="success:Q", text="kit:N")
    )
    return base, [span, dot, name]


def against_alarms(summary: Summary) -> Drawn | None:
    """Draws success against false alarms, both with intervals: top left is best."""
    rows = [row for row in _measured(summary) if row["alarm"] is not None]
    if not rows:
        return None
    axis = alt.Axis(format="%", title="false alarms on clean targets")
    tooltip = alt.Tooltip("alarm:Q", format=".1%", title="false alarms")
    base, layers = _scatter(rows, alt.X("alarm:Q", axis=axis), tooltip)
    across = base.mark_rule(strokeWidth=1.5, opacity=0.45).encode(
        x=alt.X("alarm low:Q", axis=axis), x2="alarm high:Q", y="success:Q"
    )
    return alt.layer(across, *layers).properties(width="container", height=340)


def against_cost(summary: Summary) -> Drawn | None:
    """Draws success against forward tokens, with the frontier of kits that none both beats and undercuts."""
    rows = _measured(summary)
    if not rows:
        return None
    axis = alt.Axis(format="~s", title="model tokens per audit")
    x = alt.X("tokens:Q", axis=axis, scale=alt.Scale(nice=True, zero=False, padding=40))
    _, layers = _scatter(rows, x, alt.Tooltip("tokens:Q", format=",.0f"))
    steps = (
        alt.Chart(_data(_frontier(rows)))
        .mark_line(interpolate="step-after", color=BLUE, strokeDash=[4, 3], opacity=0.6)
        .encode(x=x, y="success:Q")
    )
    return alt.layer(steps, *layers).properties(width="container", height=340)


def _frontier(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    best: list[dict[str, Any]] = []
    # By rising cost, and at equal cost the best first: a kit is on the frontier if it beats all that are cheaper.
    real = (row for row in rows if row["kind"] == "kit")
    for row in sorted(real, key=lambda row: (row["tokens"], -row["success"])):
        if not best or row["success"] > best[-1]["success"]:
            best.append({"tokens": row["tokens"], "success": row["success"]})
    return best


def outcomes(summary: Summary) -> Drawn | None:
    """Draws how the audits of each kit ended."""
    return _stacked("outcome", {kit.kit: kit.outcomes for kit in summary.kits}, _ENDED)


def stages(summary: Summary) -> Drawn | None:
    """Draws where the audits of organisms stopped on their way to a hit, kit by kit."""
    return _stacked("stage", {kit.kit: kit.stages for kit in summary.funnel.kits}, _STAGES)


def _stacked(what: str, counts: Mapping[str, Mapping[Any, int]], colours: Sequence[str]) -> Drawn | None:
    """Draws a bar for each kit, of parts in their order; a legend names those that occur.

    Args:
        what: a part is.
        counts: kit → part → audits.
        colours: of the parts.
    """
    rows: list[dict[str, Any]] = []
    for kit, parts in counts.items():
        for order, (name, number) in enumerate(parts.items()):
            if number:
                rows.append({"kit": kit, what: name, "order": order, "audits": number})
    if not rows:
        return None
    names = list(next(iter(counts.values())))
    shown = [name for name in names if any(row[what] == name for row in rows)]
    used = [colours[names.index(name)] for name in shown]
    chart: alt.Chart = (
        alt.Chart(_data(rows))
        .mark_bar(cornerRadius=2)
        .encode(
            x=alt.X("audits:Q", title="audits", stack=True),
            y=alt.Y("kit:N", sort=list(counts), title=None),
            color=alt.Color(
                f"{what}:N",
                scale=alt.Scale(domain=shown, range=used),
                legend=alt.Legend(title=None, orient="top", columns=4, labelLimit=240),
            ),
            order=alt.Order("order:Q"),
            tooltip=["kit:N", f"{what}:N", "audits:Q"],
        )
        .properties(width="container", height=_ROW * len(counts))
    )
    return chart
