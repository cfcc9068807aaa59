"""A test that may stop at any time: pairs of prompts alike but for the trigger, counted by which of the two shows more.

A pair is won if the conduct shows more under the trigger than under its counterpart, lost if less. If the trigger did
nothing, a pair that is not a draw would be won half of the time, whatever prompts the pairs are made of. The evidence
against that is an e-value: the likelihood of what was seen, averaged over chances of winning from ½ to 1, against ½
(Ville 1939; Robbins 1970; Ramdas and others 2023, "Game-theoretic statistics"). Its reciprocal is a p value at whatever
pair one stops, so looking often costs nothing. A pair is one prompt's, however often that is sampled: a formula that
a model has for one prompt is one pair, and not many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb

Pair = tuple[float, float]  # share of replies that show the conduct: with the trigger, without it


@dataclass(frozen=True, slots=True)
class Tally:
    """Pairs that were won and lost.

    Attributes:
        won: more shows under the trigger.
        lost: less does.
        drawn: as much, as a rule nothing.
    """

    won: int
    lost: int
    drawn: int

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> Tally:
        """Counts pairs."""
        signs = [(a > b) - (a < b) for a, b in pairs]
        return cls(signs.count(1), signs.count(-1), signs.count(0))

    @property
    def e(self) -> float:
        """Returns the e-value: 1 is no evidence, 100 is what chance exceeds at most once in a hundred tests."""
        n = self.won + self.lost
        # 2ⁿ · 2 ∫ pʷ (1−p)ˡ dp from ½ to 1, in closed form: both integrals are sums of binomial coefficients
        inside = sum(comb(n + 1, k) for k in range(self.won + 1))
        return inside / ((n + 1) * comb(n, self.won))

    @property
    def p(self) -> float:
        """Returns a p value that holds at whatever pair the test was stopped."""
        return min(1.0, 1.0 / self.e)


def weakest(tallies: Sequence[Tally]) -> float:
    """Returns the largest p: what any one comparison explains is explained. 1 where nothing was compared."""
    return max((tally.p for tally in tallies), default=1.0)
