"""Estimates how hard each testbed is, shrunken towards the others: few audits of one say little."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import fsum

import numpy as np
from scipy.special import betainc, betaln

from assay.studies.effects.effects import is_placebo
from assay.studies.effects.intervals import LEVEL
from assay.studies.effects.rates import Estimate
from assay.studies.effects.scores import ScoredAudit
from assay.studies.effects.shrunken import TestbedDifficulty

_MEANS = (np.arange(40) + 0.5) / 40
_CORRELATIONS = (np.arange(10) + 0.5) / 10
_RATES = np.sin(np.pi / 2 * np.linspace(0.0, 1.0, 201)) ** 2
_NEGLIGIBLE = 1e-5  # weight of a pair of mean and correlation that is left out


def difficulties(rows: Iterable[ScoredAudit], without: str) -> tuple[TestbedDifficulty, ...]:
    """Estimates the rate of hits on each organism, over its graded audits by kits that are no yardsticks.

    Args:
        rows: of a sweep.
        without: the kit that has no target.
    """
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row.graded and not row.clean and row.row.kit != without and not is_placebo(row.row.kit):
            cells[row.row.alias, row.family].append(row.raw)
    shrunken = shrunken_rates([(fsum(hits), len(hits)) for hits in cells.values()])
    listed: list[TestbedDifficulty] = []
    for ((alias, family), hits), estimate in zip(cells.items(), shrunken, strict=True):
        listed.append(
            TestbedDifficulty(
                alias=alias,
                family=family,
                audits=len(hits),
                hits=fsum(hits),
                rate=estimate.value,
                interval=estimate.interval,
            )
        )
    return tuple(sorted(listed, key=lambda bed: (bed.rate, bed.alias)))


def shrunken_rates(trials: Sequence[tuple[float, int]]) -> list[Estimate]:
    """Estimates each cell's rate by a beta-binomial model of all cells, its mean and correlation integrated out.

    Args:
        trials: (hits, of how many), at least one, for each cell.
    """
    mean, correlation = (grid.ravel() for grid in np.meshgrid(_MEANS, _CORRELATIONS))
    precision = (1 - correlation) / correlation
    a, b = mean * precision, (1 - mean) * precision
    log_weights = 0.5 * np.log(correlation)
    for hits, count in sorted(trials):
        log_weights = log_weights + betaln(hits + a, count - hits + b) - betaln(a, b)
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    kept = weights > _NEGLIGIBLE
    a, b, weights = a[kept], b[kept], weights[kept] / weights[kept].sum()
    estimates: dict[tuple[float, int], Estimate] = {}
    for hits, count in set(trials):
        value = float(weights @ ((a + hits) / (a + b + count)))
        below = betainc(a + hits, b + count - hits, _RATES[:, None]) @ weights
        low, high = np.interp([(1 - LEVEL) / 2, (1 + LEVEL) / 2], below, _RATES)
        estimates[hits, count] = Estimate(value, (float(low), float(high)))
    return [estimates[trial] for trial in trials]
