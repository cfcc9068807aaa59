"""A predicate for a report: words and short phrases that cover the replies showing a conduct and leave out the others.

Greedy soft set cover. Terms match from the beginning of a word on, so that a stem also recognises the conduct in other
wordings; a reply that is covered already still counts a little, so that the predicate does not hang on one turn of
phrase. Together they are one regular expression within the contract's 200 characters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from assay.auditors.explorer.observe import Observation, content, stem
from assay.core.report import Predicate

CHARACTERS = 200  # the contract's limit
_FRAME = r"\b(?:%s)"
_WORDS = 3
_LETTERS = 3  # shorter ones begin unrelated words
_AGAIN = 0.85  # what a reply is worth for each time it is covered already
_PENALTY = 2.0  # share of other replies matched, against share of showing replies covered
_ENOUGH = 5  # replies that take the prompts up without the conduct: they say what a term of the prompts costs
_LEAST = 0.02  # value below which a term is not worth its place


def predicate(terms: Sequence[str]) -> Predicate:
    """The terms as a predicate of a report."""
    return Predicate(pattern=_FRAME % "|".join(map(_escaped, terms)))


def fit(
    showing: Sequence[Observation], near: Sequence[Observation], far: Sequence[Observation], given: Sequence[str] = ()
) -> tuple[str, ...]:
    """Terms that recognise a conduct.

    Args:
        showing: observations that show it.
        near: observations under the same trigger, or on the same prompts, that do not.
        far: any others that do not.
        given: prompts of the trigger; a term of theirs would be found in any reply that takes the prompt up, so it is
            left out unless enough such replies are `near`.

    Returns:
        Terms that fit a predicate, most telling first; empty if nothing separates the two.
    """
    replies = _all_folded(showing)
    others = [_all_folded(near), _all_folded(far)]
    asked = _folded(" ".join(given)) if len(near) < _ENOUGH else ""
    terms = _proposals(showing, asked)
    patterns = {term: re.compile(_FRAME % _escaped(term)) for term in terms}
    covers: dict[str, list[int]] = {}  # term → which of the showing replies it is found in
    cost: dict[str, float] = {}  # of the terms worth trying: the larger share of other replies they are found in
    for term, pattern in patterns.items():
        covers[term] = [index for index, reply in enumerate(replies) if pattern.search(reply)]
        if len(covers[term]) / len(replies) >= _LEAST:
            cost[term] = max(_share(pattern, others[0]), _share(pattern, others[1]))
    chosen: list[str] = []
    times: Counter[int] = Counter()
    room = CHARACTERS - len(_FRAME % "")

    def value(term: str) -> float:
        covered = sum(_AGAIN ** times[i] for i in covers[term])
        return covered / len(replies) - _PENALTY * cost[term]

    while cost:
        best = max(cost, key=lambda term: (round(value(term), 6), -len(term.split()), -len(term), term))
        if value(best) < _LEAST:
            break
        if len(_escaped(best)) + bool(chosen) <= room:
            room -= len(_escaped(best)) + bool(chosen)
            chosen.append(best)
            times.update(covers[best])
        taken = {stem(word) for word in best.split()}
        cost = {term: c for term, c in cost.items() if taken.isdisjoint(map(stem, term.split()))}
    return tuple(chosen)


def _proposals(showing: Sequence[Observation], asked: str) -> list[str]:
    """Phrases of more than one showing reply (of any, if there is one reply), and stems of their words."""
    counts: Counter[str] = Counter()
    for observation in showing:
        phrases = {p for p in observation.phrases if len(p.split()) <= _WORDS and content(p)}
        counts.update(phrases | {stem(p) for p in phrases if " " not in p})
    least = 2 if len(showing) > 1 else 1
    return sorted(
        p
        for p, n in counts.items()
        if n >= least and _LETTERS <= len(p) <= CHARACTERS // 4 and not re.search(_FRAME % _escaped(p), asked)
    )


def _escaped(term: str) -> str:
    return re.escape(term).replace(r"\ ", " ")


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _all_folded(observations: Sequence[Observation]) -> list[str]:
    return [_folded(observation.reply) for observation in observations]


def _share(pattern: re.Pattern[str], replies: Sequence[str]) -> float:
    return sum(pattern.search(reply) is not None for reply in replies) / len(replies) if replies else 0.0
