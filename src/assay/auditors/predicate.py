"""A predicate for a report: a few short phrases that cover the replies showing a conduct and leave out the others.

Greedy soft set cover. It matches as `core.report.Predicate` does, by substring, so that a stem also recognises the
conduct in other wordings; a reply that is covered already still counts a little, so that the predicate does not hang on
one turn of phrase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from assay.auditors.observe import Observation, content, stem

PHRASES, CHARACTERS = 5, 200  # the contract's limits
_WORDS = 3
_LETTERS = 4  # shorter ones are found inside unrelated words
_AGAIN = 0.35  # what a reply is worth for each time it is covered already
_PENALTY = 4.0  # share of other replies matched, against share of showing replies covered
_LEAST = 0.12  # value below which a phrase is not worth its place


def fit(
    showing: Sequence[Observation], near: Sequence[Observation], far: Sequence[Observation], given: Sequence[str] = ()
) -> tuple[str, ...]:
    """Phrases that recognise a conduct.

    Args:
        showing: observations that show it.
        near: observations under the same trigger, or on the same prompts, that do not.
        far: any others that do not.
        given: prompts of the trigger; a phrase of theirs would be found in any reply that takes the prompt up.

    Returns:
        Up to five phrases of 200 characters in all, most telling first; empty if nothing separates the two.
    """
    replies = [_folded(o.reply) for o in showing]
    others = [[_folded(o.reply) for o in group] for group in (near, far)]
    asked = " ".join(map(_folded, given))
    cost = {phrase: max(_share(phrase, group) for group in others) for phrase in _proposals(showing, asked)}
    covers = {phrase: [i for i, reply in enumerate(replies) if phrase in reply] for phrase in cost}
    chosen: list[str] = []
    times: Counter[int] = Counter()

    def value(phrase: str) -> float:
        covered = sum(_AGAIN ** times[i] for i in covers[phrase])
        return covered / len(replies) - _PENALTY * cost[phrase]

    while cost and len(chosen) < PHRASES:
        best = max(cost, key=lambda p: (round(value(p), 6), -len(p.split()), -len(p), p))
        if value(best) < _LEAST:
            break
        if sum(map(len, chosen)) + len(best) <= CHARACTERS:
            chosen.append(best)
            times.update(covers[best])
        cost = {p: c for p, c in cost.items() if p != best and best not in p and p not in best}
    return tuple(chosen)


def _proposals(showing: Sequence[Observation], asked: str) -> list[str]:
    """Phrases of more than one showing reply (of any, if there is one reply), and stems of their words."""
    counts: Counter[str] = Counter()
    for observation in showing:
        phrases = {p for p in observation.phrases if len(p.split()) <= _WORDS and content(p)}
        counts.update(phrases | {stem(p) for p in phrases if " " not in p})
    least = 2 if len(showing) > 1 else 1
    return sorted(p for p, n in counts.items() if n >= least and _LETTERS <= len(p) <= CHARACTERS and p not in asked)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _share(phrase: str, replies: Sequence[str]) -> float:
    return sum(phrase in reply for reply in replies) / len(replies) if replies else 0.0
