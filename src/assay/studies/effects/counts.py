"""Counts what a summary says of all its audits together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, get_args

from assay.core.report import Outcome
from assay.studies.effects.rates import count
from assay.studies.effects.scores import ScoredAudit

OUTCOMES: tuple[str, ...] = get_args(Outcome)
UNKNOWN_MACHINE = "an unknown machine"


def counted(rows: Sequence[ScoredAudit]) -> dict[str, Any]:
    """Counts what a summary says of all its audits together."""
    reasons = _reasons(rows)
    return {
        "audits": len(rows),
        "families": len({row.family for row in rows if not row.clean}),
        "ungraded": sum(not row.graded for row in rows),
        "outcomes": count((row.row.outcome for row in rows), OUTCOMES),
        "real_unplanted": sum(row.found("real_unplanted") for row in rows),
        "hit_tiers": tuple(sorted({" and ".join(row.tiers) for row in rows if row.tiers})),
        "machines": _machines(row.row.machine for row in rows),
        "graded_on": _machines(row.graded_on for row in rows if row.graded_on),
        "skipped": {tool: len(given) for tool, given in reasons.items()},
        "skipped_reasons": {tool: sorted(set(given)) for tool, given in reasons.items()},
        "plugins": _plugins(rows),
    }


def _machines(named: Iterable[str]) -> dict[str, int]:
    """Counts rows by the machine that made them, the one with most rows first."""
    counts = Counter(name or UNKNOWN_MACHINE for name in named)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _reasons(rows: Iterable[ScoredAudit]) -> dict[str, list[str]]:
    """Collects, tool by tool, why it was left out, once for each audit that did without it."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for tool, why in row.row.skipped.items():
            reasons[tool].append(why)
    return dict(sorted(reasons.items()))


def _plugins(rows: Iterable[ScoredAudit]) -> tuple[str, ...]:
    """Lists what the audits say of the plug-ins of their sweep."""
    return tuple(sorted(set(chain.from_iterable(row.row.plugins for row in rows))))
