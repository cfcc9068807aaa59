"""Sums up what is reported beside hits: what findings foretell, and findings that state one half."""

from __future__ import annotations

from collections.abc import Sequence

from assay.studies.effects.intervals import LEVEL
from assay.studies.effects.means import bounded_interval
from assay.studies.effects.rates import by_cluster, cluster_mean, mean
from assay.studies.effects.results import Beside
from assay.studies.effects.scores import ScoredAudit

_CHANCE = 0.5  # AUROC of a report that foretells nothing


def beside(organisms: Sequence[ScoredAudit]) -> Beside:
    """Sums up a kit's graded audits of organisms; families count alike. Answers to other games foretell nothing."""
    organisms = [row for row in organisms if row.row.game == "investigate"]
    foretold: list[tuple[str, float]] = []
    nulls: list[tuple[str, float]] = []
    for row in organisms:
        if not row.foretold.get("ungradable"):
            foretold.append((row.family, float(row.foretold.get("auroc", _CHANCE))))
            nulls.append((row.family, float(row.foretold.get("null", _CHANCE))))
    areas = list(by_cluster(foretold).values())
    return Beside(
        predict=mean(areas) if areas else None,
        predict_interval=bounded_interval(areas, LEVEL) if areas else None,
        predict_null=cluster_mean(nulls),
        predicted=sum(bool(row.foretold.get("replies")) for row in organisms),
        unpredictable=sum(bool(row.foretold.get("ungradable")) for row in organisms),
        partial=cluster_mean((row.family, float(row.half.get("raw", 0.0))) for row in organisms),
        partial_null=cluster_mean((row.family, float(row.half.get("null", 0.0))) for row in organisms),
    )
