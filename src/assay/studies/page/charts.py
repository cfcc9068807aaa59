"""Draws the page's charts, as Vega-Lite specifications. Colours that depend on light or dark are set by the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from assay.studies.effects.results import Effect, Summary
from assay.studies.page.static_beside import StaticBeside

Drawn = alt.Chart | alt.LayerChart | alt.FacetChart
BLUE, ORANGE, GREY = "#3b7dd8", "#d9822b", "#8b94a3"
_ROW = 24  # pixels per row of a bar chart or forest plot
_FIGURE = "figure"  # what the page's CSV of a chart holds; helper lines have no name
_ENDED = (BLUE, "#9db9dd", "#c7a6d8", "#e0c36a", ORANGE, "#c8454b")
_STAGES = (
    *("#c8454b", ORANGE, "#e0c36a", "#c7a6d8", "#9d8fd0", "#9db9dd", "#6f9fe0", BLUE),  # the nearer to a hit the bluer
    *("#5b6675", GREY, "#c9ced6"),  # of which nothing is told
)


def charts(summary: Summary, static: Sequence[StaticBeside] = ()) -> dict[str, dict[str, Any]]:
    """Draws those charts that there are data for, name → Vega-Lite specification.

    Args:
        summary: of the sweep.
        static: tools whose static value is on file.
    """
    drawn = {
        "forest": forest(summary),
        "static": static_and_agent(static),
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


def _data(rows: Sequence[Mapping[str, Any]], name: str = _FIGURE) -> alt.InlineData:
    return alt.InlineData(values=[dict(row) for row in rows], name=name)


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
    line: alt.Chart = alt.Chart(_data([{"x": 0}], "zero")).mark_rule(color=GREY, strokeWidth=1).encode(x="x:Q")
    return line


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
        alt.Chart(_data(_frontier(rows), "frontier"))
        .mark_line(interpolate="step-after", color=BLUE, strokeDash=[4, 3], opacity=0.6)
        .encode(x=x, y="success:Q")
    )
    return alt.layer(steps, *layers).properties(width="container", height=340)


def static_and_agent(tools: Sequence[StaticBeside]) -> Drawn | None:
    """Draws what a tool adds to the agent against its static value: bottom right, evidence that is not used."""
    rows: list[dict[str, Any]] = []
    for one in tools:
        if one.value.auroc is None:
            continue
        low, high = one.value.auroc.interval
        rows.append(
            {
                "tool": one.effect.tool,
                "static": one.value.auroc.value,
                "static low": low,
                "static high": high,
                "effect": one.effect.delta,
                "low": one.effect.interval[0],
                "high": one.effect.interval[1],
            }
        )
    if not rows:
        return None
    x_axis, y_axis = alt.Axis(title="static value (AUROC; chance is .5)"), alt.Axis(format="+%", title="effect")
    scale = alt.Scale(domain=[0, 1])
    base = alt.Chart(_data(rows)).encode(tooltip=[alt.Tooltip("tool:N"), "static:Q", alt.Tooltip("effect:Q")])
    shown: dict[str, Any] = {"color": BLUE, "opacity": 0.45, "strokeWidth": 1.5}
    wide = base.mark_rule(**shown).encode(
        x=alt.X("static low:Q", axis=x_axis, scale=scale), x2="static high:Q", y=alt.Y("effect:Q", axis=y_axis)
    )
    tall = base.mark_rule(**shown).encode(x=alt.X("static:Q", axis=x_axis), y=alt.Y("low:Q", axis=y_axis), y2="high:Q")
    dot = base.mark_point(size=80, filled=True, opacity=1, color=BLUE).encode(x="static:Q", y="effect:Q")
    name = base.mark_text(align="left", dx=8, dy=-6, fontSize=11).encode(x="static:Q", y="effect:Q", text="tool:N")
    return alt.layer(wide, tall, dot, name).properties(width="container", height=300)


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
