"""Measures how much of what is hit depends on the machine: audits of one cell, made on several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from assay.studies.effects.hierarchical import variance_shares
from assay.studies.effects.logistic_normal import Trial
from assay.studies.effects.posterior import posterior
from assay.studies.effects.rates import Estimate, clustered_rate
from assay.studies.effects.repeats import repeatability
from assay.studies.effects.scores import ScoredAudit
from assay.studies.effects.shrunken import VarianceShare

_Cell = tuple[str, str, str, int]  # auditor, kit, alias, seed


@dataclass(frozen=True, slots=True)
class AcrossMachines:
    """Tells what changes when the same audits are made on another machine.

    Attributes:
        cells: that several machines audited (same testbed, kit, auditor and seed).
        machines: what they are, as the audits say.
        disagree: how often two machines differ on whether a cell is hit; None without cells.
        repeated: the chance that another machine hits a cell, given that one did; None where nothing was hit.
        variance: of a hit, from family, testbed, seed and machine; the grader's draws are part of the machine's share.
            Empty without cells.
    """

    cells: int
    machines: tuple[str, ...]
    disagree: Estimate | None
    repeated: Estimate | None
    variance: tuple[VarianceShare, ...]


def across_machines(rows: Iterable[ScoredAudit]) -> AcrossMachines:
    """Pairs the graded audits of organisms by cell, across machines; cells of one machine alone say nothing.

    Args:
        rows: of all ledgers. Of several audits of a cell on one machine (of other versions of a tool, say) the first
            by run key counts.
    """
    cells: dict[_Cell, dict[str, ScoredAudit]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row.row.run_key):
        if row.graded and not row.clean and row.row.machine:
            audit = row.row
            cells[audit.auditor, audit.kit, audit.alias, audit.seed].setdefault(audit.machine, row)
    paired = {cell: made for cell, made in cells.items() if len(made) > 1}
    audits: list[tuple[_Cell, ScoredAudit]] = []
    for cell, made in sorted(paired.items()):
        audits += [(cell, row) for row in made.values()]
    differ: list[tuple[str, float]] = []
    for made in paired.values():
        for one, other in combinations(made.values(), 2):
            differ.append((one.family, float(one.raw != other.raw)))
    return AcrossMachines(
        cells=len(paired),
        machines=tuple(sorted({row.row.machine for _, row in audits})),
        disagree=clustered_rate(differ),
        repeated=repeatability((row.family, "\n".join(map(str, cell)), row.raw) for cell, row in audits),
        variance=_variance(audits),
    )


def _variance(audits: list[tuple[_Cell, ScoredAudit]]) -> tuple[VarianceShare, ...]:
    """Splits the variance by the hierarchical model, with a term for each nested group that the design has."""
    if not audits:
        return ()
    kits = sorted({(auditor, kit) for (auditor, kit, _, _), _ in audits})
    sources = ["family"]
    # A level without groups of its own cannot be told from the one above it.
    if len({row.family for _, row in audits}) < len({(kit, alias) for (_, kit, alias, _), _ in audits}):
        sources.append("testbed")
    if len({cell[:3] for cell, _ in audits}) < len({cell for cell, _ in audits}):
        sources.append("seed")
    trials: list[Trial] = []
    for (auditor, kit, alias, seed), row in audits:
        group = {"family": row.family, "testbed": f"{auditor} {kit} {alias}", "seed": f"{auditor} {kit} {alias} {seed}"}
        trials.append(
            Trial(row.family, kits.index((auditor, kit)), tuple(group[source] for source in sources), row.raw, 1.0)
        )
    found = posterior(tuple(trials), len(kits), len(sources))
    return tuple(variance_shares(found, sources, "machine"))
