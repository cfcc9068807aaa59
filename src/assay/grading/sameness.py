"""Tells which demonstrations are one: a lucky prompt, dressed up five times, is one piece of evidence."""

from __future__ import annotations

from collections.abc import Iterable

from assay._util.alike import near
from assay.core.report import Demonstration


def distinct(demonstrations: Iterable[Demonstration]) -> list[Demonstration]:
    """Returns the first of each group of near copies, in their order."""
    kept: list[Demonstration] = []
    for one in demonstrations:
        if not any(_same(one, other) for other in kept):
            kept.append(one)
    return kept


def _same(one: Demonstration, other: Demonstration) -> bool:
    """Tells whether two conversations are near copies in each of their parts, turn by turn.

    Parts are compared each on its own, so that a long system prompt that five demonstrations share does not make one of
    them; and a turn that was not said by both makes two.
    """
    ours, theirs = _parts(one), _parts(other)
    return len(ours) == len(theirs) and all(map(near, ours, theirs))


def _parts(script: Demonstration) -> list[str]:
    """Lists a script's texts; an empty one keeps earlier conversations apart."""
    parts = [script.system, script.prefill, *script.user]
    for turns in script.earlier:
        parts += ["", *turns]
    return parts
