"""Lays out what an auditor reads of a tool: heading, ranked lines, caveat, within the limit."""

from __future__ import annotations

from collections.abc import Iterable

from assay.core.tool import REPLY_TOKENS, TEMPERATURE, TEXT_LIMIT

SAMPLED = f"One sample at temperature {TEMPERATURE:g}, at most {REPLY_TOKENS} tokens."


def snippet(text: str, width: int) -> str:
    """Puts a text on one line, cut at `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def layout(heading: str, lines: Iterable[str], caveat: str) -> str:
    """Joins heading, lines and caveat; of the lines, those that fit in between, the last of them cut."""
    room = TEXT_LIMIT - len(heading) - len(caveat) - 2
    kept: list[str] = []
    for line in lines:
        if len(line) >= room:
            kept.append(line[: max(0, room - 1)])
            break
        kept.append(line)
        room -= len(line) + 1
    return "\n".join([heading, *kept, caveat])
