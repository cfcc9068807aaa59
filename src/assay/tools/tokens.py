"""Compares what two models' (or two directions') vectors point to, token by token."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log

from assay.core.readouts import NearToken
from assay.core.tool import Span

LISTED = 200  # tokens read for each vector
_LEAST_LETTERS = 2  # of a token that tells something
_LEAST_LEAD = 0.005  # below it, shares differ by rounding

Pointed = Sequence[NearToken]  # what a vector points to, nearest first


@dataclass(frozen=True, slots=True)
class TokenShare:
    """How strongly a vector points to a token.

    Attributes:
        text: of the token, without spaces around it.
        own: probability, or cosine.
        control: the same of the control's vector; at most what is said, where the token is none of those listed for it.
    """

    text: str
    own: float
    control: float

    @property
    def span(self) -> Span:
        """Returns it as evidence."""
        return Span(self.text, round(self.own, 4), round(self.control, 4), "token")

    @property
    def plain(self) -> list[object]:
        """Returns it as JSON has it."""
        return [self.text, round(self.own, 4), round(self.control, 4)]

    def lead(self, logs: bool) -> float:
        """Computes how far it is ahead of the control: in nats of relative entropy, or in cosine."""
        if not logs or self.own <= self.control:
            return self.own - self.control
        return self.own * log(self.own / self.control)


def shares_of(row: Pointed, logs: bool) -> dict[str, float]:
    """Returns text of a token → its probability or cosine; spellings that differ by spaces count as one."""
    total: dict[str, float] = {}
    for token in row:
        text = token.text.strip()
        before = total.get(text, 0.0)
        total[text] = before + exp(token.value) if logs else max(before, token.value)
    return total


def most_apart(places: Iterable[tuple[Pointed, Pointed]], k: int, *, logs: bool = True) -> list[TokenShare]:
    """Ranks words by how much more is pointed to them than by the control, at the place where that is most.

    Args:
        places: what is pointed to at each, and what by the control. Punctuation and single letters do not count.
        k: words to give.
        logs: values are log-probabilities, not cosines.
    """
    best: dict[str, TokenShare] = {}
    for row, other in places:
        own, control = shares_of(row, logs), shares_of(other, logs)
        least = min(control.values(), default=0.0)  # one that is not listed has this much at most
        for text, value in own.items():
            share = TokenShare(text, value, control.get(text, least))
            before = best[text].lead(logs) if text in best else _LEAST_LEAD
            if telling(text) and share.lead(logs) > before:
                best[text] = share
    return sorted(best.values(), key=lambda share: (-share.lead(logs), share.text))[:k]


def strongest(rows: Sequence[Pointed], k: int, *, logs: bool = True) -> str:
    """Writes the words that vectors point to most, with the mean over them."""
    total: dict[str, float] = defaultdict(float)
    for row in rows:
        for text, value in shares_of(row, logs).items():
            total[text] += value / len(rows)
    best = sorted(filter(telling, total), key=lambda text: (-total[text], text))[:k]
    return ", ".join(f"{text} {total[text]:.2f}" for text in best)


def telling(text: str) -> bool:
    """Tells whether a token is a word, or a part of one that can be read."""
    words = text.islower() or text.istitle() or text.isupper()  # not so the names in a program: MetaInfo
    return text.isalpha() and words and len(text) >= _LEAST_LETTERS


def listed(shares: Iterable[TokenShare]) -> str:
    """Writes tokens with both of their shares."""
    return ", ".join(f"{share.text} {share.own:.2f}:{share.control:.2f}" for share in shares) or "none"
