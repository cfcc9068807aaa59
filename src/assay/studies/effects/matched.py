"""Bounds the difference of two rates on the same families, each family won or lost by either arm, or alike."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv

from assay._util.proportions import Interval

_NODES = (np.arange(400) + 0.5) / 400  # of the quantiles that are integrated over
_EDGE = 1e-12
_Distribution = tuple[float, float]  # parameters of a beta; a 0 makes it a point at 0 or at 1


def matched_test(gained: float, lost: float) -> float:
    """Tests "a change is a gain as often as a loss": McNemar's exact test, two-sided mid-p.

    Args:
        gained: families won by the tool alone; no whole number where the null is taken off.
        lost: families lost by it.
    """
    below = _mixture(_share(gained, lost), 0.5)
    return float(min(1.0, 2 * min(below, 1 - below)))


@functools.lru_cache(maxsize=4096)
def matched_interval(gained: float, lost: float, families: int, level: float) -> Interval:
    """Bounds (gained − lost) / families; excludes 0 exactly if `matched_test` finds it significant.

    After Fay and Lumbard (2021, doi 10.1002/sim.8829): the difference is φ(2θ − 1), φ the share of families that change
    and θ the share of gains among them. Confidence distributions of both (mid-p: the mean of the two of Clopper and
    Pearson) are combined as if independent.

    Args:
        gained: families won by the tool alone.
        lost: families lost by it.
        families: of both arms, those without a change too.
        level: confidence level.
    """
    changes = gained + lost
    upward = [(own, change) for own in _share(gained, lost) for change in _share(changes, families - changes)]
    downward = [(own, change) for own in _share(lost, gained) for change in _share(changes, families - changes)]
    tail = (1 - level) / 2

    def above(x: float, pairs: list[tuple[_Distribution, _Distribution]]) -> float:
        """Confidence that the difference, seen from one side, is above x ≥ 0."""
        return sum(_product_above(x, own, change) for own, change in pairs) / len(pairs)

    def bound(
        pairs: list[tuple[_Distribution, _Distribution]], others: list[tuple[_Distribution, _Distribution]]
    ) -> float:
        """The upper bound, seen from one side."""
        if above(0.0, pairs) > tail:
            return _root(lambda x: above(x, pairs) - tail)
        return -_root(lambda x: above(x, others) - (1 - tail))

    return (-bound(downward, upward), bound(upward, downward))


def _share(happened: float, missed: float) -> tuple[_Distribution, _Distribution]:
    """Gives the two confidence distributions of a rate by Clopper and Pearson: from below and from above."""
    return (max(0.0, happened), missed + 1), (happened + 1, max(0.0, missed))


def _below(distribution: _Distribution, x: float) -> float:
    a, b = distribution
    if a <= _EDGE:
        return 1.0
    if b <= _EDGE:
        return 0.0 if x < 1 else 1.0
    return float(betainc(a, b, min(1.0, max(0.0, x))))


def _mixture(pair: tuple[_Distribution, _Distribution], x: float) -> float:
    return (_below(pair[0], x) + _below(pair[1], x)) / 2


def _product_above(x: float, own: _Distribution, change: _Distribution) -> float:
    """Integrates P(φ(2θ − 1) > x) for x ≥ 0 over the θ above a half."""
    start = _below(own, 0.5)
    if start >= 1:
        return 0.0
    reach = np.minimum(1.0, x / np.maximum(2 * _shares_above_half(own, start) - 1, _EDGE))
    c, d = change
    if c <= _EDGE:
        below = np.ones(reach.size)
    elif d <= _EDGE:
        below = (reach >= 1).astype(float)
    else:
        below = betainc(c, d, reach)
    return float((1 - start) * np.mean(1 - below))


@functools.lru_cache(maxsize=64)
def _shares_above_half(own: _Distribution, start: float) -> NDArray[np.float64]:
    """Lists quantiles of θ above a half, at which the integrand is looked at."""
    a, b = own
    return np.ones(1) if b <= _EDGE else np.asarray(betaincinv(a, b, start + (1 - start) * _NODES))


def _root(function: Callable[[float], float]) -> float:
    """Finds where a falling function of [0, 1] crosses 0; its ends where it does not."""
    if function(1.0 - _EDGE) >= 0:
        return 1.0
    return float(brentq(function, 0.0, 1.0 - _EDGE, xtol=1e-6)) if function(0.0) > 0 else 0.0
