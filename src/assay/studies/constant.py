"""Keeps the best constant report of a set of audits beside the ledger, once the grading process has found it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from assay._util.atomic import write_json
from assay._util.paths import BEST_CONSTANT
from assay.core.record import AuditRow
from assay.grading.constant import SignedConstant, read_constant
from assay.grading.jobs import reports_digest
from assay.grading.signing import KnownGraders
from assay.studies.effects.rates import Estimate, HitScore, success
from assay.studies.grades import Grading
from assay.studies.processes import GradingProcess


class KeptConstant:
    """The best constant of some audits: sought once, since every report is graded on every testbed for it.

    Args:
        out: folder of the sweep.
        plan: id of the set of audits.
        grading: what can be graded now.
        audits: recorded ones.
    """

    def __init__(self, out: Path, plan: str, grading: Grading, audits: Iterable[AuditRow]) -> None:
        # Other games have none: their answers are scripts, whose scores elsewhere are their nulls.
        self._plan, self._reports = plan, grading.reports(row for row in audits if row.game == "investigate")
        self._grader = grading.digest({one.alias for one in self._reports})
        # The name tells the graders, so that those of now and of before do not write over each other's.
        self.path = out / f"{BEST_CONSTANT}-{plan}-{self._grader[:12]}.json"

    def seek(self, process: GradingProcess) -> None:
        """Has it found and kept, whole or not at all, unless it is there.

        Raises:
            InvalidInput: the file cannot be written.
            AssayError: the grading process ended.
        """
        if self._reports and self._read() is None:
            write_json(self.path, asdict(process.best_constant(self._plan, self._reports)))

    def success(self) -> Estimate | None:
        """Estimates its success; None if no report had a finding, or none was sought."""
        found = self._read()
        return success(HitScore(*score) for score in found.best.scores) if found and found.best else None

    def _read(self) -> SignedConstant | None:
        """Reads what is kept; None unless a known grader signed it for this plan, these graders and these reports."""
        try:
            found = read_constant(json.loads(self.path.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError):
            return None  # not there, or broken: it is sought anew
        same = (found.plan, found.grader, found.reports) == (self._plan, self._grader, reports_digest(self._reports))
        return found if same and KnownGraders.here().made_constant(found) else None
