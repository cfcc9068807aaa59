"""Areas under ROC curves: how likely a value of one sample is above one of the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from statistics import NormalDist

from assay._util.proportions import Interval


def area_above(own: Sequence[float], other: Sequence[float]) -> float:
    """Returns the share of pairs whose first is above its second, ties counting half (Mann and Whitney).

    Raises:
        ZeroDivisionError: one of the samples is empty.
    """
    wins = 0.0
    for p in own:
        wins += sum(p > q for q in other) + 0.5 * sum(p == q for q in other)
    return wins / (len(own) * len(other))


def area_interval(area: float, first: int, second: int, level: float = 0.95) -> Interval:
    """Bounds an area by the values whose score test does not refuse it.

    Newcombe's method 5 (2006): a score interval with the variance of Hanley and McNeil.

    Args:
        area: of two samples.
        first, second: their sizes.
        level: confidence level.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    half = (first + second) / 2 - 1

    def refused(true: float) -> bool:
        spread = 1 + half * (1 - true) / (2 - true) + half * true / (1 + true)
        return abs(true - area) > z * sqrt(max(true * (1 - true) * spread, 0.0) / (first * second))

    return _edge(area, 0.0, refused), _edge(area, 1.0, refused)


def _edge(inside: float, outside: float, refused: Callable[[float], bool]) -> float:
    """Bisects for where values begin to be refused, between one that is not and an end of the range."""
    if not refused(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if refused(middle) else (middle, outside)
    return inside
