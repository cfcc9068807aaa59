"""Corrects a rate that a judge gives by a labelled part of what it judged: prediction-powered inference.

Angelopoulos, Bates, Fannjiang, Jordan and Zrnic (Science 2023), with the weight of Angelopoulos, Duchi and Zrnic
(PPI++, 2023): the judge's rate over what nobody labelled, and what it gets wrong where somebody did. A judge that is no
use gets the weight 0, and what is left is the rate of the labels alone. The labelled part must be drawn at random.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import stats

from assay._util.proportions import Interval

LEAST_LABELS = 30


@dataclass(frozen=True, slots=True)
class Judged:
    """One item that a judge judged.

    Attributes:
        family: items of one are alike.
        judged: what the judge says, 0 or 1.
        label: what a person says, 0 or 1; None of an item that nobody labelled.
    """

    family: str
    judged: float
    label: float | None = None


@dataclass(frozen=True, slots=True)
class CorrectedRate:
    """A rate with its 95 % interval.

    Attributes:
        value, interval: corrected, in [0, 1].
        by_judge: the rate over all items by the judge alone.
        by_labels: the rate over the labelled items by their labels alone.
        weight: of the judge, in [0, 1]; 0 where it is of no use.
        labelled, items: how many there are.
    """

    value: float
    interval: Interval
    by_judge: float
    by_labels: float
    weight: float
    labelled: int
    items: int


def corrected_rate(items: Sequence[Judged], weight: float | None = None, level: float = 0.95) -> CorrectedRate | None:
    """Estimates the rate that people would give all items.

    Args:
        items: judged ones; those with a label were drawn from them at random.
        weight: of the judge; the one with the least variance if None.
        level: confidence level of the interval, which is over families (Student's t).

    Returns:
        None with fewer than two families, fewer than two labels, or all items labelled and none left to predict: then
        no correction is needed or possible.
    """
    labelled = [one for one in items if one.label is not None]
    others = [one for one in items if one.label is None]
    families = {one.family for one in items}
    if len(labelled) < 2 or not others or len(families) < 2:
        return None
    truth = np.array([one.label for one in labelled], dtype=float)
    said = np.array([one.judged for one in labelled], dtype=float)
    predicted = np.array([one.judged for one in others], dtype=float)
    if weight is None:
        weight = _least_variance(truth, said, predicted)
    misses = truth - weight * said
    value = float(weight * predicted.mean() + misses.mean())
    # Each item's share in the error, summed within families: labelled and unlabelled items of one may be alike.
    errors: dict[str, float] = defaultdict(float)
    for one, error in zip(others, weight * (predicted - predicted.mean()) / len(others), strict=True):
        errors[one.family] += error
    for one, error in zip(labelled, (misses - misses.mean()) / len(labelled), strict=True):
        errors[one.family] += error
    count = len(families)
    spread = sqrt(count / (count - 1) * sum(error**2 for error in errors.values()))
    half = float(stats.t.ppf((1 + level) / 2, count - 1)) * spread
    everything = np.concatenate([said, predicted])
    return CorrectedRate(
        value=min(1.0, max(0.0, value)),
        interval=(max(0.0, value - half), min(1.0, value + half)),
        by_judge=float(everything.mean()),
        by_labels=float(truth.mean()),
        weight=weight,
        labelled=len(labelled),
        items=len(items),
    )


def _least_variance(truth: np.ndarray, said: np.ndarray, predicted: np.ndarray) -> float:
    """Computes the weight that PPI++ gives a judge, in [0, 1]."""
    n, others = len(truth), len(predicted)
    variance = float(np.concatenate([said, predicted]).var(ddof=1))
    if variance == 0:
        return 0.0
    covariance = float(np.cov(truth, said, ddof=1)[0, 1])
    return min(1.0, max(0.0, covariance / ((1 + n / others) * variance)))
