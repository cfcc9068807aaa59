"""Estimates how likely an audit that is made again comes out alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import fsum

from assay.studies.effects.intervals import rate_interval
from assay.studies.effects.rates import Estimate


def repeatability(audits: Iterable[tuple[str, str, float]]) -> Estimate | None:
    """Estimates the chance that another audit of a cell hits, given that one did (the proportion of agreement).

    Args:
        audits: (family, cell, hit or not) for each; audits of a cell differ in what is repeated, seed or machine.

    Returns:
        None where no cell with a hit was audited twice. In the interval two hits of a cell count as one trial, since
        they agree or disagree together, and families are the clusters.
    """
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for family, cell, hit in audits:
        cells[family, cell].append(hit)
    families: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (family, _), hits in cells.items():
        won, audited = fsum(hits), len(hits)
        if won and audited > 1:
            families[family].append((won * (won - 1) / (audited - 1), won))
    if not families:
        return None
    trials: list[tuple[float, float]] = []
    for own in families.values():
        agreements, wins = zip(*own, strict=True)
        trials.append((fsum(agreements), fsum(wins)))
    value = fsum(alike for alike, _ in trials) / fsum(hits for _, hits in trials)
    low, high = rate_interval((alike / 2, hits / 2) for alike, hits in trials)
    return Estimate(value, (min(value, low), max(value, high)))
