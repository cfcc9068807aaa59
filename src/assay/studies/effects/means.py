"""Bounds means over few families whose values may be skewed: most of them alike, and one far off."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc
from scipy.stats import t as student

from assay._util.proportions import Interval

_DRAWS = 1 << 14


def bounded_interval(values: Sequence[float], level: float) -> Interval:
    """Bounds the mean of values in [0, 1], however they are distributed there.

    Families' shares of the mean are drawn (Dirichlet, all shares alike), a family that was not seen among them: one of
    1 for the upper bound (Gaffke 2005), one of 0 for the lower, and for a mid-p interval the mean of both. With values
    of 0 and 1 alone that is the mid-p interval of Clopper and Pearson, as `rate_interval` gives for one trial a
    cluster. The draws are fixed. Coverage: `bench/coverage.py`.

    Args:
        values: one per family, each in [0, 1].
        level: confidence level.
    """
    numbers = np.asarray(values, dtype=float)
    shares = _shares(numbers.size + 1)
    seen, unseen = shares[:, 1:] @ numbers, shares[:, 0]
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate([seen, seen + unseen]), [tail, 1 - tail])
    # Where all are 0, or all 1, nothing is known that would keep the mean from being so.
    return (float(low) if numbers.any() else 0.0), (float(high) if (numbers < 1).any() else 1.0)


@functools.lru_cache(maxsize=8)
def _shares(size: int) -> NDArray[np.float64]:
    """Lists draw × family, each row one division of 1 among them."""
    uniform = qmc.Sobol(size, rng=np.random.default_rng(0)).random(_DRAWS)
    waits = -np.log1p(-uniform)
    return np.asarray(waits / waits.sum(axis=1, keepdims=True))


def mean_interval(values: Sequence[float], level: float) -> Interval:
    """Bounds the mean of all families there could be: Student's interval and Hall's, whichever is farther out.

    Hall's (1992, "On the removal of skewness by transformation") turns the studentised mean into one without skewness
    and bounds that. It reaches farther than Student's on the side of the long tail, where a family not seen may lie,
    and less far on the other, where nothing is known that speaks for less. Coverage: `bench/coverage.py`.

    Args:
        values: one per family, at least two.
        level: confidence level.

    Returns:
        Bounds that hold the mean; both are the mean itself where the values are all equal.
    """
    numbers = np.asarray(values, dtype=float)
    mean = float(numbers.mean())
    residuals = numbers - mean
    spread = float(residuals.std(ddof=1))
    if not spread:
        return mean, mean
    skewness = float((residuals**3).mean()) / spread**3
    reach = _quantile(level, numbers.size - 1) / numbers.size**0.5
    below = max(reach, _untransformed(reach, skewness, numbers.size))
    above = max(reach, -_untransformed(-reach, skewness, numbers.size))
    return mean - spread * below, mean + spread * above


@functools.lru_cache(maxsize=256)
def _quantile(level: float, freedom: int) -> float:
    return float(student.ppf((1 + level) / 2, freedom))


def _untransformed(value: float, skewness: float, size: int) -> float:
    """Solves w + g·w²/3 + g²·w³/27 + g/(6n) = value for w, which rises with it; g is the skewness."""
    if abs(skewness) < 1e-6:
        return value
    return float(3 * (np.cbrt(1 + skewness * value - skewness**2 / (6 * size)) - 1) / skewness)
