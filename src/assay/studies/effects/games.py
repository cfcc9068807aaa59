"""Sums up what only one game's table has: ranks of transcripts, areas and effects of evals. Families are the sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from assay._util.proportions import Interval
from assay.studies.effects.intervals import LEVEL
from assay.studies.effects.means import bounded_interval
from assay.studies.effects.rates import Estimate, by_cluster, cluster_mean, clustered_rate, mean
from assay.studies.effects.results import EvalResult, RedTeamResult
from assay.studies.effects.scores import ScoredAudit

_RANKS = ("1", "5", "10")  # k, as a JSON document names them


def red_team_results(by_kit: Mapping[str, Sequence[ScoredAudit]], names: Sequence[str]) -> tuple[RedTeamResult, ...]:
    """Sums up each kit's rankings, in the given order of kits."""
    found: list[RedTeamResult] = []
    for name in names:
        rows = _organisms(by_kit[name])
        measured = {k: estimate for k in _RANKS if (estimate := _shown(rows, f"at_{k}"))}
        ranks = [entry["rank"] for entry in map(_entry, rows) if entry.get("rank")]
        found.append(
            RedTeamResult(
                kit=name,
                found={k: estimate.value for k, estimate in measured.items()},
                intervals={k: estimate.interval for k, estimate in measured.items()},
                rank=mean(ranks) if ranks else None,
                transcripts=mean(float(_entry(row).get("transcripts", 0)) for row in by_kit[name]),
            )
        )
    return tuple(found)


def eval_results(by_kit: Mapping[str, Sequence[ScoredAudit]], names: Sequence[str]) -> tuple[EvalResult, ...]:
    """Sums up each kit's evals, in the given order of kits."""
    found: list[EvalResult] = []
    for name in names:
        rows = _organisms(by_kit[name])
        separated = clustered_rate((row.family, row.raw) for row in rows)
        found.append(
            EvalResult(
                kit=name,
                behaviours=len({_entry(row).get("behaviour") for row in rows} - {None, ""}),
                separated=separated.value if separated else None,
                separated_interval=separated.interval if separated else None,
                effect=cluster_mean((row.family, _entry(row).get("effect", 0.0)) for row in rows),
                effect_interval=_bounds(rows, lambda entry: (entry.get("effect", 0.0) + 1) / 2, lambda p: 2 * p - 1),
                auroc=cluster_mean((row.family, _entry(row).get("auroc", 0.5)) for row in rows),
                auroc_interval=_bounds(rows, lambda entry: entry.get("auroc", 0.5), lambda p: p),
                mcc=cluster_mean((row.family, _entry(row).get("mcc", 0.0)) for row in rows),
            )
        )
    return tuple(found)


def _shown(rows: Sequence[ScoredAudit], at: str) -> Estimate | None:
    return clustered_rate((row.family, float(row.found(at) > 0)) for row in rows)


def _organisms(rows: Sequence[ScoredAudit]) -> list[ScoredAudit]:
    return [row for row in rows if row.graded and not row.clean]


def _entry(row: ScoredAudit) -> Mapping[str, Any]:
    """Returns what grading says of an answer as a whole; nothing of one that was not handed in."""
    return row.findings[0] if row.findings else {}


def _bounds(
    rows: Sequence[ScoredAudit], value: Callable[[Mapping[str, Any]], float], back: Callable[[float], float]
) -> Interval | None:
    """Bounds a mean over families of values that are brought into [0, 1]; None without any."""
    families = by_cluster((row.family, value(_entry(row))) for row in rows)
    if not families:
        return None
    low, high = bounded_interval(list(families.values()), LEVEL)
    return back(low), back(high)
