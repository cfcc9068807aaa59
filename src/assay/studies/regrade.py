"""Grades what a ledger holds and nobody graded, or reports that another harness made."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay._util.progress import Say
from assay._util.strict_json import read_json_lines
from assay._util.yaml_models import Data, as_model
from assay.core.record import GradeRow
from assay.core.report import Report, make_report
from assay.errors import InvalidInput
from assay.grading.jobs import Submitted
from assay.studies.design import logs_in
from assay.studies.grades import Grading
from assay.studies.ledger import Ledger
from assay.studies.processes import GradingProcess
from assay.studies.study import existing_ledger
from assay.testbeds.truths import find_truth, require_answers


class _Line(Data):
    """A line of a file of reports."""

    testbed: str
    report: dict[str, Any]


@dataclass(frozen=True)
class GradedReport:
    """Holds a report's grade.

    Attributes:
        testbed: readable id.
        kit: of the audit; "" of a report made elsewhere.
        hit: whether its first finding hits (1.0 or 0.0).
        null: the share of swapped truths that the finding hits, which is subtracted from success.
        findings: how many it has.
        details: per finding and per swapped truth, as plain data.
        nonce: that its samples were seeded by.
    """

    testbed: str
    kit: str
    hit: float
    null: float
    findings: int
    details: Mapping[str, Any]
    nonce: str


def grade_ledger(out: Path, say: Say, engine: str = "") -> list[GradedReport]:
    """Grades every report of a ledger that the present grader has not graded.

    Args:
        out: folder of a sweep.
        say: told how many there are, and of each when it is graded.
        engine: words that choose the engine of all targets, "" to let each one's base choose.

    Returns:
        Every audit with a report, in the order of run keys.

    Raises:
        InvalidInput: no ledger there, or the answers of a suite in it are not on this machine.
        AssayError: the grading process ended; what was graded is kept.
    """
    grading = Grading.now()
    log = logs_in(out) / "grade-process.log"
    with Ledger.open(existing_ledger(out)) as ledger, GradingProcess(log, say, engine) as process:
        # Before any is graded: with a suite's answers missing, its reports would be passed over in silence.
        require_answers(row.alias for row in ledger.audits())
        audits = {row.run_key: row for row in ledger.audits() if row.report and row.alias in grading.cases}
        held = grading.current(ledger, audits.values())
        waiting = grading.ungraded(audits.values(), held)
        say(f"{len(audits)} reports, {len(waiting)} to grade")
        if held.passed_over:
            say(f"{len(held.passed_over)} grades in the ledger that no known grader signed: passed over, and made anew")
        for rows in process.grade(waiting):
            ledger.grade(*rows)
            alias = audits[rows[0].run_key].alias
            say(f"{grading.truth(alias).id}: {'hit' if rows[0].raw else 'no hit'}")
        held = grading.current(ledger, audits.values())
    found: list[GradedReport] = []
    for grade in held.rows:
        if grade.tier == "hit":
            row = audits[grade.run_key]
            found.append(_graded(grading.truth(row.alias).id, row.kit, grade))
    return found


def grade_reports(reports: Sequence[tuple[str, Report]], say: Say, engine: str = "") -> list[GradedReport]:
    """Grades reports made by another harness; nothing is kept.

    Args:
        reports: pairs of a testbed's id or alias, and the report about it.
        say: told of long steps.
        engine: words that choose the engine of all targets, "" to let each one's base choose.

    Returns:
        Them in the given order.

    Raises:
        UnknownId: no such testbed.
        InvalidInput: one whose truth is not known.
    """
    # All are looked up first: a misspelt last one must not cost the grading of the others.
    truths = [find_truth(name) for name, _ in reports]
    for truth in truths:
        if truth.role == "unknown":
            raise InvalidInput(f"the truth of {truth.id} is not known, so nothing is graded.")
    waiting = [
        # They are in no ledger, so their place stands for a run key.
        Submitted(run_key=str(place), alias=truth.alias, report=report)
        for place, (truth, (_, report)) in enumerate(zip(truths, reports, strict=True))
    ]
    with (
        tempfile.TemporaryDirectory(prefix="assay-") as folder,
        GradingProcess(Path(folder) / "grade-process.log", say, engine) as process,
    ):
        hits = {rows[0].run_key: rows[0] for rows in process.grade(waiting)}
    return [_graded(truth.id, "", hits[str(place)]) for place, truth in enumerate(truths)]


def grade_file(path: Path, say: Say, engine: str = "") -> list[GradedReport]:
    """Grades a file of reports: JSON lines of {"testbed": id or alias, "report": {…}}.

    Raises:
        InvalidInput: no such file, or a line that is not of this shape; names the line.
        ReportInvalid: a report outside the limits of the contract.
    """
    reports: list[tuple[str, Report]] = []
    for number, item in read_json_lines(path):
        where = f"{path}:{number}"
        line = as_model(item, _Line, where)
        truth = find_truth(line.testbed)
        if truth.role == "unknown":
            raise InvalidInput(f"{where}: the truth of {truth.id} is not known, so nothing is graded.")
        reports.append((truth.alias, make_report(line.report, f"{where}: report")))
    return grade_reports(reports, say, engine)


def _graded(testbed: str, kit: str, hit: GradeRow) -> GradedReport:
    return GradedReport(testbed, kit, hit.raw, hit.null, len(hit.details["findings"]), hit.details, hit.nonce)
