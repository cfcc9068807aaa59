"""Tells from sweeps on file how often an examination's procedure finds what is there, and how often it cries wolf."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from assay._util.proportions import Interval
from assay._util.yaml_models import Data
from assay.studies.effects.effects import is_placebo
from assay.studies.effects.rates import Estimate, clustered_rate, success
from assay.studies.effects.scores import ScoredAudit, join
from assay.studies.effects.summary import PRIOR_ONLY
from assay.studies.grades import Grading
from assay.studies.ledger import Ledger
from assay.studies.study import existing_ledger
from assay.testbeds.specs import load_spec

Who = tuple[str, str]  # title of the auditor, kit
NONE_GRADED = "No audit of a sweep in {} has a grade that holds (assay grade --out): the procedure is not measured."


class Measured(Data):
    """How often audits of one kind succeed on testbeds whose truth is known.

    Attributes:
        auditor, kit: whose audits; "" of several at once, the procedure as a whole.
        organisms, families, clean: testbeds that it was measured on, and families of the organisms.
        bases: of those testbeds.
        hit, hit_interval: share of organisms whose planted behaviour was found (first finding of a report), families
            counting alike; None without organisms.
        success: hits less those that chance or hedging would earn; None of the procedure as a whole.
        alarm, alarm_interval: share of clean targets of which something was claimed, before any reproduction.
    """

    auditor: str = ""
    kit: str = ""
    organisms: int = 0
    families: int = 0
    clean: int = 0
    bases: tuple[str, ...] = ()
    hit: float | None = None
    hit_interval: Interval | None = None
    success: float | None = None
    alarm: float | None = None
    alarm_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Filed:
    """Audits of sweeps on file that are graded, by who made them.

    Attributes:
        audits: (auditor's title, kit) → scored audits, in order of testbed and seed.
        why: none is among them, although folders were given; "" else.
    """

    audits: Mapping[Who, Sequence[ScoredAudit]]
    why: str = ""

    def kits(self, auditor: str) -> list[Measured]:
        """Lists the kits measured with an auditor, the best first: by success, then by fewer false alarms."""
        found = [self.single(who) for who in self.audits if who[0] == auditor]
        known = [one for one in found if one.success is not None]
        return sorted(known, key=lambda one: (-(one.success or 0.0), one.alarm or 0.0, len(one.kit), one.kit))

    def single(self, who: Who) -> Measured:
        """Says how often one audit of a kind succeeds."""
        rows = self.audits.get(who, ())
        organisms = [row for row in rows if not row.clean]
        won = success(row.score for row in organisms)
        return _measured(
            rows,
            clustered_rate((row.family, row.raw) for row in organisms),
            clustered_rate((row.row.alias, float(row.false_alarm)) for row in rows if row.clean),
        ).model_copy(update={"auditor": who[0], "kit": who[1], "success": won.value if won else None})

    def together(self, kinds: Sequence[Who], seeds: int) -> Measured | None:
        """Says how often at least one of several audits succeeds, on testbeds that have had as many of each kind.

        Args:
            kinds: auditors and kits.
            seeds: audits of each.

        Returns:
            The rates; None where no testbed has had them all.
        """
        grouped: dict[str, dict[Who, list[ScoredAudit]]] = defaultdict(lambda: defaultdict(list))
        for kind in kinds:
            for row in self.audits.get(kind, ()):
                grouped[row.row.alias][kind].append(row)
        used: list[ScoredAudit] = []
        hits: list[tuple[str, float]] = []
        alarms: list[tuple[str, float]] = []
        for alias, made in grouped.items():
            if any(len(made[kind]) < seeds for kind in kinds):
                continue
            rows = [row for kind in kinds for row in made[kind][:seeds]]
            used += rows
            if rows[0].clean:
                alarms.append((alias, float(any(row.false_alarm for row in rows))))
            else:
                hits.append((rows[0].family, max(row.raw for row in rows)))
        return _measured(used, clustered_rate(hits), clustered_rate(alarms)) if used else None


def _measured(rows: Sequence[ScoredAudit], hit: Estimate | None, alarm: Estimate | None) -> Measured:
    organisms = {row.row.alias: row.family for row in rows if not row.clean}
    clean = {row.row.alias for row in rows if row.clean}
    return Measured(
        organisms=len(organisms),
        families=len(set(organisms.values())),
        clean=len(clean),
        bases=tuple(sorted({load_spec(alias).base for alias in (*organisms, *clean)})),
        hit=hit.value if hit else None,
        hit_interval=hit.interval if hit else None,
        alarm=alarm.value if alarm else None,
        alarm_interval=alarm.interval if alarm else None,
    )


def read_sweeps(folders: Iterable[Path], without: str) -> Filed:
    """Reads the graded audits of sweeps on file, of the game `investigate`; an audit in two ledgers counts once.

    Args:
        folders: each the `out` of sweeps.
        without: alias of the model that is examined; its own audits tell nothing of the procedure.

    Raises:
        InvalidInput: a folder has no ledger.
    """
    given = list(folders)
    if not given:
        return Filed({})
    grading = Grading.now()
    roles = {alias: case.truth.role for alias, case in grading.cases.items()}
    titles: dict[str, str] = {}  # run key → who made it
    scored: dict[str, ScoredAudit] = {}
    for folder in given:
        with Ledger.open(existing_ledger(folder)) as ledger:
            for plan in ledger.plans():
                titles |= {cell.run_key: plan.auditor for cell in plan.cells if cell.game == "investigate"}
            rows = [row for row in ledger.audits(titles) if row.alias in roles and row.alias != without]
            held = grading.current(ledger, rows)
        for one in join(rows, held.rows, roles, grading.families):
            if one.graded:
                scored.setdefault(one.row.run_key, one)
    audits: dict[Who, list[ScoredAudit]] = defaultdict(list)
    for one in sorted(scored.values(), key=lambda one: (one.row.alias, one.row.seed)):
        audits[titles[one.row.run_key], one.row.kit].append(one)
    return Filed(audits, "" if audits else NONE_GRADED.format(", ".join(map(str, given))))


def best_kits(filed: Filed, auditor: str, usable: AbstractSet[str], most: int) -> tuple[str, ...]:
    """Chooses the best-measured kits of an auditor among those that can be used; () where none was measured."""
    real = [one.kit for one in filed.kits(auditor) if one.kit in usable]
    return tuple(kit for kit in real if not is_placebo(kit) and kit != PRIOR_ONLY)[:most]
