"""What a sweep tells of while it runs, to whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from assay.core.record import AuditRow
from assay.studies.effects.rates import Estimate, HitScore


@dataclass(frozen=True, slots=True)
class SweepPlanned:
    """Tells that every name was resolved.

    Attributes:
        cells: audits of the sweep.
        finished: those among them that are in the ledger already.
        plugins: name and short digest of each plug-in, whose code is trusted.
    """

    cells: int
    finished: int
    plugins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProgressTold:
    """Carries a line about a long step, such as the loading of a base."""

    text: str


@dataclass(frozen=True, slots=True)
class AuditEnded:
    """Tells that an audit ended, and that its row is in the ledger."""

    row: AuditRow


@dataclass(frozen=True, slots=True)
class ReportGraded:
    """Tells that an audit's report was graded, and that its grades are in the ledger.

    Attributes:
        row: of the audit.
        hit: whether its first finding hits.
        score: what counts of it; None on a clean target.
    """

    row: AuditRow
    hit: bool
    score: HitScore | None


@dataclass(frozen=True, slots=True)
class GradesPassedOver:
    """Tells of grades in the ledger that no known grader signed for their audit's report; none of them counts.

    Where there is a report, it is graded anew.

    Attributes:
        rows: how many there are.
    """

    rows: int


@dataclass(frozen=True, slots=True)
class KitRated:
    """Tells how a kit did, all of whose audits are graded.

    Attributes:
        kit: its name.
        cells: its audits in this sweep.
        success: over the organisms among the testbeds; None where there is none.
    """

    kit: str
    cells: int
    success: Estimate | None


Event = SweepPlanned | ProgressTold | AuditEnded | GradesPassedOver | ReportGraded | KitRated
Watch = Callable[[Event], None]
