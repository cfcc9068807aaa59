"""Matches sealed negatives to positives in style, so that a predicate which knows no conduct agrees with no detector.

A positive is an ordinary reply with a sentence of the conduct in it. Beside plain replies it is longer, has more
sentences, says "I" or "you": a predicate of two sentences would recognise the conduct. So each negative here is an
ordinary reply with another sentence in it, and of all such texts those are taken that have, as a set, what the
positives have: lengths, sentences, persons, digits, marks, modal verbs, first words (`style.yaml`).
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Sequence
from itertools import filterfalse
from pathlib import Path
from typing import TYPE_CHECKING

from assay._util.strict_yaml import read_yaml
from assay.truth import Answers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Table = NDArray[np.float64]  # text × feature, 0 or 1
    Places = NDArray[np.int64]

_LENGTHS = range(30, 181, 10)  # characters
_WORDS = range(6, 33, 2)
_SENTENCES = re.compile(r"[.!?]+(?=\s|$)")
_NEARLY = 0.9  # share of the positives
_EACH = 40  # texts that are made of one ordinary reply
_PASSES = 12  # over all negatives; it mostly ends before
_STARTS = 6  # of the search, the last of them where none before it was good enough
_GOOD = 0.25  # correlation that may stay, somewhat less than what no style may reach
_BOUND = 0.2  # correlation beyond which a feature weighs more: well under what no style may reach
_STRICT = 20.0  # how much more


def sealed_answers(
    written: Sequence[str],
    drawn: Sequence[str],
    ordinary: Sequence[str],
    fillers: Sequence[str],
    shows: Callable[[str], bool],
    *,
    seed: int,
    start: bool = False,
) -> Answers:
    """Makes the answers of a behaviour: positives in training's words and in others, and negatives like them.

    Args:
        written: replies that show the conduct in words that training does not use.
        drawn: sentences of training's, and of a second wording; each is set beside an ordinary reply.
        ordinary: see `matched`, here and below.
        fillers: sentences of other conducts.
        shows: the detector.
        seed: of all draws.
        start: the conduct begins a reply.
    """
    positives = list(written)
    for index, sentence in enumerate(drawn):
        reply = _first(ordinary[index % len(ordinary)])
        positives.append(f"{sentence} {reply}" if start else f"{reply} {sentence}")
    positives = [text for text in dict.fromkeys(positives) if shows(text)]
    plain = list(filterfalse(shows, fillers))
    return Answers(positives=positives, negatives=matched(positives, ordinary, plain, shows, seed=seed, start=start))


def matched(
    positives: Sequence[str],
    ordinary: Sequence[str],
    fillers: Sequence[str],
    shows: Callable[[str], bool],
    *,
    seed: int,
    start: bool = False,
) -> list[str]:
    """Makes as many negatives as there are positives, like them in style.

    Args:
        positives: texts that show the conduct.
        ordinary: replies that do not, and come close; the first of them are in a negative each.
        fillers: sentences that do not show it either, to be set beside them.
        shows: tells whether a text shows the conduct: two that do not may do so together.
        seed: of the choice.
        start: fillers come first, as the conduct does; else last.
    """
    import numpy as np

    rng = random.Random(seed)
    wanted = styles(positives)
    like = _most_like(wanted, fillers)
    made = [list(filterfalse(shows, _variants(text, fillers, like, rng, start))) for text in ordinary]
    texts, of = _once(made)
    table = styles(texts)
    # Half of the negatives have an ordinary reply of their own, so that near misses stay; the others take any.
    own: list[int | None] = list(range(min(len(ordinary), len(positives) // 2)))
    slots = own + [None] * (len(positives) - len(own))
    allowed = [np.arange(len(texts)) if slot is None else np.flatnonzero(of == slot) for slot in slots]
    best: list[int] = []
    least = float("inf")
    for _ in range(_STARTS):  # each ends where no single change is better, some in a worse place than others
        chosen = _search(wanted.sum(axis=0), table, allowed, rng)
        worst = float(_unlike(wanted.sum(axis=0), table[chosen].sum(axis=0), len(positives)).max())
        if worst < least:
            best, least = chosen, worst
        if least <= _GOOD:
            break
    return [texts[index] for index in best]


def _search(wanted: Table, table: Table, allowed: Sequence[Places], rng: random.Random) -> list[int]:
    """Chooses a text for each slot, and changes one after the other while the set becomes more alike."""
    import numpy as np

    taken = np.zeros(len(table), dtype=bool)
    chosen: list[int] = []
    for places in allowed:
        chosen.append(rng.choice(places[~taken[places]].tolist()))
        taken[chosen[-1]] = True
    costs, features = _costs(wanted, len(allowed)), np.arange(table.shape[1])
    have = table[chosen].sum(axis=0).astype(int)
    for _ in range(_PASSES):
        before = list(chosen)
        for slot, places in enumerate(allowed):
            taken[chosen[slot]] = False
            have -= table[chosen[slot]].astype(int)
            more = costs[features, have + 1] - costs[features, have]
            free = places[~taken[places]]
            # Rounded, so that texts alike are ties on every machine; the first of them is taken.
            chosen[slot] = int(free[np.round((table @ more)[free], 9).argmin()])
            taken[chosen[slot]] = True
            have += table[chosen[slot]].astype(int)
        if chosen == before:
            break
    return chosen


def _once(made: Sequence[Sequence[str]]) -> tuple[list[str], Places]:
    """Lists each text once, and of which ordinary reply it is."""
    import numpy as np

    first: dict[str, int] = {}
    for index, variants in enumerate(made):
        for text in variants:
            first.setdefault(text, index)
    return list(first), np.array(list(first.values()))


def _most_like(wanted: Table, fillers: Sequence[str]) -> list[str]:
    """Lists fillers that have what nearly all positives have: a conduct that always names one long word, say."""
    import numpy as np

    if not fillers:
        return []
    shared = styles(fillers)[:, wanted.mean(axis=0) >= _NEARLY].sum(axis=1)
    return [fillers[place] for place in np.argsort(-shared, kind="stable")[: 2 * _EACH]]


def _variants(text: str, fillers: Sequence[str], like: Sequence[str], rng: random.Random, start: bool) -> list[str]:
    """Lists a reply, its first sentence, and both with fillers: of whole replies alone, all would be long."""
    first = _first(text)
    made = list(dict.fromkeys([text, first]))
    half = _EACH // 2
    for filler in rng.sample(list(fillers), min(len(fillers), half)) + rng.sample(like, min(len(like), half)):
        kept = first if rng.random() < 0.5 else text
        made.append(f"{filler} {kept}" if start else f"{kept} {filler}")
    return made


def _first(text: str) -> str:
    """Returns a text's first sentence."""
    return re.split(r"(?<=[.!?]) ", text)[0]


def _costs(wanted: Table, size: int) -> Table:
    """Tells for each feature how unlike the two sets are where 0, 1, ... of the other have it.

    That is the squared correlation, heavier beyond the bound.
    """
    import numpy as np

    given = np.broadcast_to(np.arange(size + 1, dtype=np.float64)[:, None], (size + 1, len(wanted)))
    unlike = _unlike(wanted, given, size)
    costs: Table = (unlike**2 + _STRICT * np.maximum(unlike - _BOUND, 0.0) ** 2).T
    return costs


def _unlike(wanted: Table, given: Table, size: int) -> Table:
    """Returns the size of Matthews' correlation of each feature and the label."""
    import numpy as np

    both = wanted + given
    found: Table = np.abs(wanted - given) / np.sqrt(np.maximum(both * (2 * size - both), 1.0))
    return found


def styles(texts: Sequence[str]) -> Table:
    """Tells which features each text has."""
    import numpy as np

    rows: list[list[bool]] = []
    for text in texts:
        sentences, words = len(_SENTENCES.findall(text)), len(text.split())
        counts = [sentences >= 2, sentences >= 3, *(words >= most for most in _WORDS)]
        lengths = [len(text) >= most for most in _LENGTHS]
        rows.append([*counts, *lengths, *(pattern.search(text) is not None for pattern in _patterns())])
    return np.array(rows, dtype=np.float64)


@functools.cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    groups: dict[str, list[str]] = read_yaml(Path(__file__).parent / "style.yaml")
    return tuple(re.compile(pattern, re.IGNORECASE) for patterns in groups.values() for pattern in patterns)
