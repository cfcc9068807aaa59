"""Tells which grades of a ledger hold: those by the graders of now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from assay._util.hashing import digest_of
from assay.core.record import AuditRow, GradeRow
from assay.core.report import parse_report
from assay.grading.case import Case
from assay.grading.jobs import Submitted, all_cases, graders
from assay.studies.ledger import Ledger
from assay.truth import Truth


@dataclass(frozen=True, slots=True)
class Grading:
    """Holds the truths that can be read, and the graders as they are now.

    Attributes:
        cases: alias → case; audits of testbeds that are not among them are kept, and not graded.
        graders: alias → digest of the grader of that testbed.
    """

    cases: Mapping[str, Case]
    graders: Mapping[str, str]

    @classmethod
    def now(cls) -> Grading:
        """Finds what can be graded on this machine."""
        cases = all_cases()
        return cls(cases, graders(cases))

    def truth(self, alias: str) -> Truth:
        """Returns the truth of a testbed among the cases."""
        return self.cases[alias].truth

    def digest(self, aliases: Iterable[str]) -> str:
        """Digests all graders of some testbeds."""
        return digest_of(sorted({self.graders[alias] for alias in aliases if alias in self.graders}))

    def current(self, ledger: Ledger, audits: Iterable[AuditRow]) -> list[GradeRow]:
        """Reads the grades of audits by the graders of now."""
        # A changed grader has another digest: its earlier grades stay in the ledger, and are passed over.
        wanted = {row.run_key: self.graders.get(row.alias) for row in audits}
        return [grade for grade in ledger.grades(run_keys=wanted) if grade.grader == wanted[grade.run_key]]

    def reports(self, audits: Iterable[AuditRow]) -> list[Submitted]:
        """Reads the reports of those audits that gave one and can be graded."""
        return [
            Submitted(run_key=row.run_key, alias=row.alias, report=parse_report(row.report))
            for row in audits
            if row.report and row.alias in self.cases
        ]

    def ungraded(self, ledger: Ledger, run_keys: Iterable[str]) -> list[Submitted]:
        """Lists the recorded reports that the graders of now have not graded."""
        audits = ledger.audits(run_keys)
        graded = {grade.run_key for grade in self.current(ledger, audits)}
        return self.reports(row for row in audits if row.run_key not in graded)
