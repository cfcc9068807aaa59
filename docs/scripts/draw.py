"""Draws docs/pictures/NAME.yaml as NAME.svg: boxes, arrows and one boundary, placed by hand.

The picture has to look the same wherever it is drawn, so that a test can compare it with what is checked in; layout
programs place boxes differently from version to version. Boxes are light with dark text, lines are a grey that shows on
white and on black.

Usage: python docs/scripts/draw.py
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import yaml

PICTURES = Path(__file__).resolve().parents[1] / "pictures"
# fill and line of each kind of box
COLOURS = {
    "process": ("#eef1f8", "#8b95ab"),
    "package": ("#eef1f8", "#8b95ab"),
    "step": ("#ffffff", "#b3bbcc"),
    "store": ("#fff6dd", "#d6a928"),
    "open": ("#e3f4e8", "#58a06f"),
    "secret": ("#fde7e7", "#cf5353"),
}
OUTER = ("process", "package")
LINE, SECRET, INK, FAINT = "#8a93a6", "#cf5353", "#1d2433", "#566076"
STYLE = "font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif"


def text(x: float, y: float, words: str, size: int = 13, colour: str = INK, more: str = "") -> str:
    """Return one line of text, centred unless `more` says otherwise."""
    anchor = "" if "text-anchor" in more else ' text-anchor="middle"'
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}"{anchor}{more}>{escape(words)}</text>'


def box(item: dict[str, Any]) -> list[str]:
    """Return a box: an outer one with its heading at the left and the folder at the right, an inner one centred."""
    x, y, width, height = item["box"]
    fill, line = COLOURS[item["kind"]]
    radius = 14 if item["kind"] in OUTER else 9
    drawn = [f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" fill="{fill}" stroke="{line}"/>']
    if item["kind"] in OUTER:
        start = ' text-anchor="start"'
        drawn.append(text(x + 18, y + 28, item["title"], 17, more=f'{start} font-weight="600"'))
        drawn.append(
            text(x + width - 18, y + 28, item["folder"], 13, FAINT, ' text-anchor="end" font-family="monospace"')
        )
        drawn.append(text(x + 18, y + 50, item["text"], 12, FAINT, start))
        return drawn
    middle, words = x + width / 2, item.get("text", "")
    drawn.append(text(middle, y + height / 2 + (-4 if words else 5), item["title"], 14, more=' font-weight="600"'))
    if words:
        drawn.append(text(middle, y + height / 2 + 16, words, 12, FAINT))
    return drawn


def arrow(item: dict[str, Any]) -> str:
    """Return an arrow along its corners."""
    colour, head = (SECRET, "secret") if item.get("secret") else (LINE, "head")
    points = " ".join(f"{x},{y}" for x, y in item["points"])
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" marker-end="url(#{head})"/>'


def label(words: str, x: float, y: float, colour: str) -> list[str]:
    """Return words in a pill of their own, which can be read on any ground."""
    width = 7.1 * len(words) + 18
    shape = f'x="{x - width / 2:g}" y="{y - 11}" width="{width:g}" height="22" rx="11"'
    pill = f'<rect {shape} fill="#fff" stroke="{colour}"/>'
    return [pill, text(x, y + 4, words, 12, INK if colour == LINE else colour)]


def head(name: str, colour: str) -> str:
    """Return the head of arrows in one colour."""
    shape = f'<path d="M0 0 10 5 0 10z" fill="{colour}"/>'
    return (
        f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
        f'orient="auto" markerUnits="userSpaceOnUse">{shape}</marker>'
    )


def draw(picture: dict[str, Any]) -> str:
    """Return a picture as SVG: outer boxes, boundary, arrows, inner boxes, labels, from back to front."""
    width, height = picture["size"]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" style="{STYLE}">',
        f"<title>{escape(picture['title'])}</title>",
        f"<defs>{head('head', LINE)}{head('secret', SECRET)}</defs>",
    ]
    inner = [item for item in picture["boxes"] if item["kind"] not in OUTER]
    for item in picture["boxes"]:
        if item not in inner:
            lines += box(item)
    x, y, across, down = picture["boundary"]["box"]
    lines.append(
        f'<rect x="{x}" y="{y}" width="{across}" height="{down}" rx="20" fill="none" stroke="{SECRET}" '
        f'stroke-width="2.5" stroke-dasharray="9 6"/>'
    )
    lines += [arrow(item) for item in picture["arrows"]]
    for item in inner:
        lines += box(item)
    for item in picture["arrows"]:
        if item.get("label"):
            lines += label(item["label"], *item["at"], SECRET if item.get("secret") else LINE)
    lines += label(picture["boundary"]["text"], *picture["boundary"]["at"], SECRET)
    return "\n".join([*lines, "</svg>\n"])


if __name__ == "__main__":
    for source in sorted(PICTURES.glob("*.yaml")):
        picture = yaml.safe_load(source.read_text(encoding="utf-8"))
        source.with_suffix(".svg").write_text(draw(picture), encoding="utf-8")
