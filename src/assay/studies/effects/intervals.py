"""Bounds rates whose trials come in clusters."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from assay._util.proportions import Interval

LEVEL = 0.95  # of every interval
_Trials = tuple[float, float]  # how often it happened in a cluster, of how many trials
_Grid = NDArray[np.float64]

# The rate's grid is finest at 0 and 1, where rates of audits lie and an interval has to end sharply.
_EDGES: _Grid = np.sin(np.pi / 2 * np.linspace(0.0, 1.0, 801)) ** 2
_RATES: _Grid = (_EDGES[1:] + _EDGES[:-1]) / 2
_CORRELATIONS: _Grid = (np.arange(10) + 0.5) / 10
_PRECISIONS: _Grid = ((1 - _CORRELATIONS) / _CORRELATIONS)[:, None]  # a + b of each beta distribution
_PRIOR: _Grid = np.log(np.diff(_EDGES)) + 0.5 * np.log(_CORRELATIONS)[:, None]


def rate_interval(clusters: Iterable[_Trials]) -> Interval:
    """Bounds the mean rate of all clusters there could be, at 95 %, by a beta-binomial model of those there are.

    Each cluster has a rate of its own, drawn from a beta distribution of mean μ and correlation ρ between two trials of
    one cluster. ρ is integrated out (prior density ∝ √ρ on [0, 1]). Of μ, the confidence distribution is the mean of
    two posteriors, with the prior densities 1/μ and 1/(1−μ): with one trial a cluster that is exactly the mid-p
    interval of Clopper and Pearson, the middle of Beta(x, n−x+1) and Beta(x+1, n−x). Coverage: `bench/coverage.py`.

    Args:
        clusters: (how often, of how many) for each; trials may be weighted, so that how often is no whole number. One
            without trials says nothing.

    Returns:
        Lower and upper bound in [0, 1]; with no trials at all both ends of it.
    """
    counted = Counter((round(hits, 9), round(trials, 9)) for hits, trials in clusters if trials > 0)
    if not counted:
        return (0.0, 1.0)
    return _interval(tuple(sorted(counted.items())))


@functools.lru_cache(maxsize=4096)
def _interval(counted: tuple[tuple[_Trials, int], ...]) -> Interval:
    happened = sum(hits * number for (hits, _), number in counted)
    missed = sum((trials - hits) * number for (hits, trials), number in counted)
    weights = _PRIOR.copy()
    for (hits, trials), number in counted:
        # B(hits + a, misses + b) / B(a, b), in parts that other clusters share
        rising = _rising(hits) + _rising(trials - hits)[:, ::-1]
        weights += number * (rising - (gammaln(trials + _PRECISIONS) - gammaln(_PRECISIONS)))
    # Where it never happened the first prior puts everything at 0, and where it always did the second at 1.
    from_below = _cumulative(weights - np.log(_RATES)) if happened > 0 else np.ones(_EDGES.size)
    from_above = _cumulative(weights - np.log1p(-_RATES)) if missed > 0 else np.zeros(_EDGES.size)
    cumulative = (from_below + from_above) / 2
    tail = (1 - LEVEL) / 2
    low = float(np.interp(tail, cumulative, _EDGES)) if happened > 0 else 0.0
    high = float(np.interp(1 - tail, cumulative, _EDGES)) if missed > 0 else 1.0
    return (low, high)


@functools.lru_cache(maxsize=512)
def _rising(count: float) -> _Grid:
    """Gives log Γ(count + a) − log Γ(a) on the grid of (correlation, rate); of b it is the mirror image."""
    a = _RATES * _PRECISIONS
    return np.asarray(gammaln(count + a) - gammaln(a))


def _cumulative(log_weights: _Grid) -> _Grid:
    """Sums a density on the grid of (correlation, rate) up to each edge of the rates."""
    density = np.exp(log_weights - log_weights.max()).sum(axis=0)
    return np.concatenate([[0.0], np.cumsum(density) / density.sum()])
