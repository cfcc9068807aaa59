"""Lays out what an auditor reads of a tool: heading, ranked lines, caveat, within the limit. Nothing is cut unsaid."""

from __future__ import annotations

from collections.abc import Iterable

from assay.core.tool import TEXT_LIMIT

_CUT = "… [cut]"


def snippet(text: str, width: int) -> str:
    """Puts a text on one line, cut at `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def layout(heading: str, lines: Iterable[str], caveat: str = "") -> str:
    """Joins heading, lines and caveat; of the lines, whole ones that fit in between, and how many more there are.

    A first line that does not fit by itself is cut, and says so.
    """
    waiting = list(lines)
    room = TEXT_LIMIT - len(heading) - len(caveat) - len(_more(len(waiting))) - 3
    kept: list[str] = []
    for line in waiting:
        if len(line) >= room:
            break
        kept.append(line)
        room -= len(line) + 1
    if waiting and not kept:
        kept.append(waiting[0][: max(0, room - len(_CUT))] + _CUT)
    left_out = len(waiting) - len(kept)
    return "\n".join([heading, *kept, *([_more(left_out)] if left_out else []), *([caveat] if caveat else [])])


def _more(lines: int) -> str:
    return f"({lines} more lines, for which there is no room)"
