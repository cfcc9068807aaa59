"""Tells which grades of a ledger hold: those by the graders of now, signed, of the reports as they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from scipy.cluster.hierarchy import DisjointSet

from assay.core.answer import GameAnswer, parse_answer
from assay.core.record import AuditRow, GradeRow
from assay.errors import ReportInvalid
from assay.grading.case import Case
from assay.grading.jobs import Submitted, all_cases, graders, graders_digest
from assay.grading.signing import KnownGraders, report_digest
from assay.studies.ledger import Ledger
from assay.truth import Truth


@dataclass(frozen=True, slots=True)
class HeldGrades:
    """Holds the grades that count.

    Attributes:
        rows: of them.
        passed_over: (run key, tier) of rows that say they are by a grader of now, and that no grader known here signed
            for this audit and this report.
    """

    rows: tuple[GradeRow, ...]
    passed_over: frozenset[tuple[str, str]]


@dataclass(frozen=True)
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

    @cached_property
    def families(self) -> Mapping[str, str]:
        """Organism's alias → the cluster it counts in: its family, with those it shares a behaviour with.

        An organism of several behaviours ties their families together: a tool that finds one finds a part of the other,
        so they are no two samples.
        """
        organisms = [case for case in self.cases.values() if case.truth.role == "organism"]
        tied: DisjointSet = DisjointSet()
        for case in organisms:
            # By suite: one that somebody adds must not join the families of another.
            own, *others = (
                (_suite(case), name) for name in (case.truth.family, *(one.family for one in case.behaviours))
            )
            tied.add(own)
            for other in others:
                tied.add(other)
                tied.merge(own, other)
        members: dict[tuple[str, str], set[str]] = defaultdict(set)  # a cluster's first → families in it
        for case in organisms:
            members[tied[_suite(case), case.truth.family]].update(case.truth.family.split(" + "))
        return {
            case.truth.alias: " & ".join(sorted(members[tied[_suite(case), case.truth.family]])) for case in organisms
        }

    def digest(self, aliases: Iterable[str]) -> str:
        """Digests all graders of some testbeds."""
        return graders_digest(self.graders, aliases)

    def current(self, ledger: Ledger, audits: Iterable[AuditRow]) -> HeldGrades:
        """Reads the grades of audits by the graders of now.

        Raises:
            InvalidInput: a public key of a grader is broken.
        """
        about = {row.run_key: (row.alias, report_digest_of(row)) for row in audits}
        known = KnownGraders.here()
        held: list[GradeRow] = []
        passed_over: set[tuple[str, str]] = set()
        for grade in ledger.grades(run_keys=about):
            alias, report = about[grade.run_key]
            if grade.grader != self.graders.get(alias):
                continue  # a changed grader has another digest: its earlier grades stay in the ledger, and do not count
            # The ledger is a file that other processes of this user can write: what says it is a grade may be anyone's.
            if known.made_grade(grade, alias, report):
                held.append(grade)
            else:
                passed_over.add((grade.run_key, grade.tier))
        return HeldGrades(tuple(held), frozenset(passed_over))

    def reports(self, audits: Iterable[AuditRow]) -> list[Submitted]:
        """Reads the reports of those audits that gave one and can be graded."""
        found: list[Submitted] = []
        for row in audits:
            report = report_of(row)
            if report is not None and row.alias in self.cases:
                found.append(Submitted(run_key=row.run_key, alias=row.alias, report=report))
        return found

    def ungraded(self, audits: Iterable[AuditRow], held: HeldGrades) -> list[Submitted]:
        """Lists the reports of audits that have no grade among those that hold.

        Args:
            audits: recorded ones.
            held: their grades.
        """
        graded = {grade.run_key for grade in held.rows if grade.tier == "hit"}
        # Of a grade that lost a part the nonce is kept: whoever spoils grades must not have them drawn anew.
        nonces = {grade.run_key: grade.nonce for grade in held.rows}
        waiting = self.reports(row for row in audits if row.run_key not in graded)
        return [one.model_copy(update={"nonce": nonces.get(one.run_key, "")}) for one in waiting]


def report_of(row: AuditRow) -> GameAnswer | None:
    """Reads an audit's report; None where it gave none, or where what it gave was broken since."""
    try:
        return parse_answer(row.report) if row.report else None
    except ReportInvalid:
        return None


def report_digest_of(row: AuditRow) -> str:
    """Digests an audit's report as a grade is signed for; "" where there is none that can be read."""
    report = report_of(row)
    return report_digest(report) if report else ""


def _suite(case: Case) -> str:
    return case.truth.id.partition("/")[0]
