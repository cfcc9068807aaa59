"""Tests and bounds a mean of differences by flipping their signs (Fisher's randomisation test).

If a tool does nothing, the difference it makes in a family might as well have come out with the other sign. Ties with
what was observed count half (mid-p): with few families the ordinary p is far too large.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from math import fsum

import numpy as np
from numpy.typing import NDArray

from assay._util.proportions import Interval

_EXACT = 40  # differences up to which one test counts all flips
_EXACT_TOGETHER = 18  # families up to which all flips are listed, for several tools at once or for bounds
_DRAWS = 1 << 15  # flips drawn beyond that
_TOLERANCE = 1e-9  # sums closer than this are ties
_EQUAL = 1e-13  # those closer than this differ by rounding alone
_Numbers = NDArray[np.float64]


def sign_flip(differences: Sequence[float]) -> float:
    """Tests "the differences are symmetric about 0"; two-sided mid-p.

    Exact up to 40 differences that are not 0, by meeting in the middle: all signed sums of each half, in order. Beyond
    that 32,768 flips are drawn with a fixed seed. The smallest possible p is 2^−B.

    Args:
        differences: one per family.
    """
    moving = np.asarray([value for value in differences if abs(value) > _TOLERANCE], dtype=float)
    # A difference of 0 is 0 whatever its sign: leaving it out changes no share, and halves the sums for each.
    if not moving.size:
        return 1.0
    observed = abs(fsum(moving))
    if moving.size > _EXACT:
        sums = np.abs(_flips(moving.size) @ moving)
        above, ties = np.mean(sums > observed + _TOLERANCE), np.mean(np.abs(sums - observed) <= _TOLERANCE)
        return float(above + ties / 2)
    # A sum of all is a sum of the left half plus one of the right. For each of the left sums, a binary search in the
    # right ones counts the partners that make it extreme: 2^20 · 20 steps instead of 2^40.
    middle = moving.size // 2
    left, times = _signed_sums(moving[:middle])
    right, others = _signed_sums(moving[middle:])
    at_least = np.append(np.cumsum(others[::-1])[::-1], 0.0)  # right sums from each place on

    def share_above(bound: float) -> float:
        # signed sums lie symmetrically about 0: those above a bound stand for those below its negative, too
        partners = at_least[np.searchsorted(right, bound - left, side="right")]
        return float(2 * (times @ partners) / 2.0**moving.size)

    if observed <= _TOLERANCE:
        return 1 - (1 - share_above(_TOLERANCE)) / 2
    return (share_above(observed + _TOLERANCE) + share_above(observed - _TOLERANCE)) / 2


def max_sign_flip(tools: Sequence[Sequence[float]]) -> list[float]:
    """Tests several tools at once; p corrected so that the chance of any false claim stays at the level.

    Westfall and Young's step-down max-T (1993): signs are flipped for whole families, all tools together, so that what
    the tools share (base kit, testbeds) is not paid for twice, as Holm's correction does. Each tool's sum is put in
    units of its own root sum of squares, which no flip changes. Ties count half.

    Args:
        tools: tool × family; 0 where a tool was not run on a family, which then says nothing of it.

    Returns:
        One p a tool, in their order; where all flips are counted, never below the tool's own.
    """
    values = np.asarray(tools, dtype=float)
    if not values.size:
        return [1.0] * len(tools)
    values = values[:, (np.abs(values) > _TOLERANCE).any(axis=0)]
    norms = np.sqrt((values**2).sum(axis=1))
    scaled = np.divide(values, norms[:, None], out=np.zeros_like(values), where=norms[:, None] > 0)
    observed = np.abs(scaled.sum(axis=1))
    order = np.argsort(-observed, kind="stable")
    flips = _flips(values.shape[1])
    if values.shape[1] and values.shape[1] <= _EXACT_TOGETHER:
        flips = flips[: len(flips) // 2]  # the other half has every sign turned: the same sums but for their signs
    flipped = np.abs(scaled[order] @ flips.T)  # tool × flip
    # of a tool and those ranked below it
    largest = np.maximum.accumulate(flipped[::-1], axis=0)[::-1]
    bounds = observed[order][:, None]
    above = np.count_nonzero(largest > bounds + _TOLERANCE, axis=1)
    ties = np.count_nonzero(largest >= bounds - _TOLERANCE, axis=1) - above
    stepped = np.maximum.accumulate((above + ties / 2) / len(flips))
    adjusted = np.ones(len(tools))
    adjusted[order] = np.where(norms[order] > 0, stepped, 1.0)
    return [float(p) for p in adjusted]


def flip_interval(differences: Sequence[float], level: float) -> Interval:
    """Bounds the mean by those values that the test of signs does not refuse; agrees with its mid-p.

    A flip makes the sum of (difference − δ) as large as observed exactly if the mean of the flipped differences is at
    most δ. So the bounds are quantiles of the means of all subsets of families (Hartigan's typical values, 1969). Where
    too few families let no value be refused a bound lies at an end of [−1, 1].

    Args:
        differences: one per family, each in [−1, 1].
        level: confidence level.
    """
    values = np.asarray(differences, dtype=float)
    flipped = (_flips(values.size) < 0).astype(float)
    sizes = flipped.sum(axis=1)
    some = sizes > 0
    means = np.sort((flipped[some] @ values) / sizes[some])
    # The flip that changes nothing ties with itself, and counts half on either side.
    own = (1 - some.mean()) / 2
    index = int(np.floor((((1 - level) / 2) - own) * some.size))
    if index < 0:
        return (-1.0, 1.0)
    return (float(means[index]), float(means[-1 - index]))


@functools.lru_cache(maxsize=8)
def _flips(size: int) -> _Numbers:
    """Lists flip × family, each sign ±1: all there are, or as many as are drawn."""
    if size <= _EXACT_TOGETHER:
        bits = (np.arange(1 << size)[:, None] >> np.arange(size)) & 1
    else:
        bits = np.random.default_rng(0).integers(0, 2, size=(_DRAWS, size))
        bits[0] = 0  # what was observed is one of them
    return np.where(bits == 1, -1.0, 1.0)


def _signed_sums(values: _Numbers) -> tuple[_Numbers, _Numbers]:
    """Lists all sums ±v₁ ±v₂ … of n values in order, each once, and how many of the 2^n come out so.

    Differences of rates over a few seeds are multiples of one step, so that a few hundred sums stand for millions.
    """
    sums, times = np.zeros(1), np.ones(1)
    for value in values:
        both = np.concatenate([sums - abs(value), sums + abs(value)])
        order = np.argsort(both, kind="stable")  # which merges the two halves, each in order
        both = both[order]
        first = np.flatnonzero(np.diff(both, prepend=-np.inf) > _EQUAL)
        sums, times = both[first], np.add.reduceat(np.tile(times, 2)[order], first)
    return sums, times
