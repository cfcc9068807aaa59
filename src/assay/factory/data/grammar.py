"""Expands grammars into texts, varied enough that no single phrase gives a behaviour away."""

from __future__ import annotations

import random
import re

from assay.errors import InvalidInput
from assay.truth import Grammar

_SLOT = re.compile(r"\{(\w+)\}")
_DEPTH = 8  # slots within slots
_TRIES = 30  # for each text asked for


def expand(grammar: Grammar, seed: int, count: int, least: int | None = None) -> list[str]:
    """Draws distinct texts of a grammar, the same ones for the same seed.

    Args:
        grammar: templates, drawn evenly, and the lists their slots are filled from.
        seed: of the draws.
        count: how many.
        least: fewer than `count` will do, but not fewer than this.

    Raises:
        InvalidInput: a slot has no list, or the grammar holds fewer distinct texts.
    """
    rng = random.Random(seed)
    texts: dict[str, None] = {}  # a set that keeps its order
    for _ in range(count * _TRIES):
        if len(texts) == count:
            break
        texts[_fill(rng.choice(grammar.templates), grammar.slots, rng, _DEPTH)] = None
    if len(texts) < (count if least is None else least):
        raise InvalidInput(f"the grammar gave {len(texts)} distinct texts; {count} were asked for.")
    return list(texts)


def _fill(template: str, slots: dict[str, list[str]], rng: random.Random, depth: int) -> str:
    """Fills a template's slots, and the slots of what they are filled with."""

    def one(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in slots:
            raise InvalidInput(f"slot {{{name}}} of {template!r} has no list; there are: {', '.join(sorted(slots))}.")
        if depth == 0:
            raise InvalidInput(f"slot {{{name}}} of {template!r} is nested too deeply.")
        return _fill(rng.choice(slots[name]), slots, rng, depth - 1)

    return _SLOT.sub(one, template)
