"""Intervals of rates and of differences of rates, where trials are independent, or alike within clusters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
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


def clustered_wilson(outcomes: Sequence[tuple[str, bool]], level: float = 0.95) -> Interval:
    """Bounds a rate whose trials are alike within clusters: Wilson's interval at the effective number of trials.

    Args:
        outcomes: (cluster, whether it happened) of each trial.
        level: confidence level.
    """
    n = len(outcomes)
    happened = sum(one for _, one in outcomes)
    effective = n / design_effect(outcomes)
    return wilson(happened / max(1, n) * effective, effective, level)


def design_effect(outcomes: Sequence[tuple[str, bool]]) -> float:
    """Returns how much larger a rate's variance is than that of as many independent trials (Rao and Scott 1992).

    Args:
        outcomes: (cluster, whether it happened) of each trial.
    """
    clusters: dict[str, list[bool]] = defaultdict(list)
    for cluster, happened in outcomes:
        clusters[cluster].append(happened)
    n, count = len(outcomes), len(clusters)
    share = sum(one for _, one in outcomes) / max(1, n)
    if share in (0, 1) or count < 2:
        return 1.0
    residuals = sum((sum(one) - share * len(one)) ** 2 for one in clusters.values())
    variance = count / (count - 1) * residuals / n**2
    return max(1.0, variance / (share * (1 - share) / n))


def paired_newcombe(pairs: Sequence[tuple[bool, bool]], level: float = 0.95) -> Interval:
    """Interval of the difference of two rates over the same trials (Newcombe 1998, method 10 of the paired ones).

    Args:
        pairs: of each trial, whether it happened in the first way, and in the second.
        level: confidence level.
    """
    n = len(pairs)
    if not n:
        return (-1.0, 1.0)
    both = sum(one and other for one, other in pairs)
    first, second = sum(one for one, _ in pairs), sum(other for _, other in pairs)
    (low1, high1), (low2, high2) = wilson(first, n, level), wilson(second, n, level)
    rate1, rate2 = first / n, second / n
    spread = sqrt(first * (n - first) * second * (n - second))
    # Of phi's numerator half a trial each way is taken off, as the method has it where the two go together.
    together = both * (n - first - second + both) - (first - both) * (second - both)
    numerator = max(together - n / 2, 0.0) if together > 0 else float(together)
    phi = numerator / spread if spread else 0.0
    below = (rate1 - low1) ** 2 - 2 * phi * (rate1 - low1) * (high2 - rate2) + (high2 - rate2) ** 2
    above = (high1 - rate1) ** 2 - 2 * phi * (high1 - rate1) * (rate2 - low2) + (rate2 - low2) ** 2
    return (rate1 - rate2 - sqrt(max(below, 0.0)), rate1 - rate2 + sqrt(max(above, 0.0)))
