"""Intervals of rates and of differences of rates, where trials are independent."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

Interval = tuple[float, float]


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Wilson's score interval of a rate (Wilson 1927).

    Args:
        successes: how many of n; may be fractional where n is an effective sample size.
        n: trials; with none the interval is [0, 1].
        level: confidence level.
    """
    if n <= 0:
        return (0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if successes <= 0 else centre - half  # exact where rounding would leave 1e-17
    high = 1.0 if successes >= n else centre + half
    return (low, high)


def newcombe(successes: float, n: float, others: float, m: float, level: float = 0.95) -> Interval:
    """Interval of successes/n − others/m (Newcombe 1998, method 10: Wilson's intervals combined)."""
    if n <= 0 or m <= 0:
        return (-1.0, 1.0)
    return difference_interval(successes / n, wilson(successes, n, level), others / m, wilson(others, m, level))


def difference_interval(first: float, bounds: Interval, second: float, others: Interval) -> Interval:
    """Bounds first − second by the bounds of each (MOVER, Zou and Donner 2008)."""
    (low1, high1), (low2, high2) = bounds, others
    difference = first - second
    return (
        difference - sqrt((first - low1) ** 2 + (high2 - second) ** 2),
        difference + sqrt((high1 - first) ** 2 + (second - low2) ** 2),
    )
