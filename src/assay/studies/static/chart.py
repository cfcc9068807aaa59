"""Draws static value by tool and recipe, as a picture of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay._util.atomic import new_file
from assay.studies.static.results import StaticValue

_ROW, _COLUMN = 22, 74  # pixels
_ALL, _TWIN = "all families", "their controls"


def draw(value: StaticValue, path: Path) -> None:
    """Writes the chart as SVG, whole or not at all: AUROC by tool × kind of recipe, over all, and on the controls.

    Raises:
        NotWritten: there is no room, or no permission.
    """
    import altair as alt

    rows = _rows(value)
    methods = sorted({row["recipe"] for row in rows} - {_ALL, _TWIN})
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("recipe:N", sort=[_ALL, _TWIN, *methods], title=None, axis=alt.Axis(orient="top", labelAngle=-40)),
        y=alt.Y("tool:N", sort=[one.tool for one in value.tools], title=None),
    )
    scale = alt.Scale(scheme="blueorange", domain=[1.0, 0.0], domainMid=0.5)
    cells = base.mark_rect(stroke="white").encode(color=alt.Color("auroc:Q", scale=scale, title="AUROC (chance .5)"))
    numbers = base.mark_text(fontSize=11).encode(
        text=alt.Text("auroc:Q", format=".2f"),
        color=alt.when("datum.auroc > 0.85 || datum.auroc < 0.15")
        .then(alt.value("white"))
        .otherwise(alt.value("#222")),
    )
    title = f"Is the evidence in the tool's output? {value.reader}, {value.pool} organisms' behaviours ranked"
    chart = alt.layer(cells, numbers).properties(
        title=title, width=_COLUMN * (2 + len(methods)), height=_ROW * max(1, len({row["tool"] for row in rows}))
    )
    with new_file(path) as scratch:
        chart.save(scratch, format="svg")


def _rows(value: StaticValue) -> list[dict[str, Any]]:
    """Lists the cells of the chart; a tool without an organism's output has none."""
    rows: list[dict[str, Any]] = []
    for one in value.tools:
        for recipe, measured in ((_ALL, one.auroc), (_TWIN, one.twin)):
            if measured is not None:
                rows.append({"tool": one.tool, "recipe": recipe, "auroc": measured.value})
        rows += [{"tool": one.tool, "recipe": part.method, "auroc": part.auroc} for part in one.by_method]
    return rows
