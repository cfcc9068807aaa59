"""Grades what a ledger holds and nobody graded, or reports that another harness made."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assay._util.progress import Say
from assay._util.strict_json import parse_json
from assay._util.text_files import read_text
from assay._util.yaml_models import Data, as_model
from assay.core.answer import GameAnswer, checked, make_answer
from assay.core.record import GradeRow
from assay.errors import AssayError, InvalidInput, blamed
from assay.grading.jobs import Submitted
from assay.studies.design import logs_in
from assay.studies.grades import Grading
from assay.studies.ledger import Ledger
from assay.studies.processes import GradingProcess
from assay.studies.study import existing_ledger
from assay.testbeds.truths import find_truth, require_answers
from assay.truth import Truth


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
        error: why it could not be graded, and who is to blame; "" of one that was.
        machine: that the grader's replies were made with.
        plugins: of the audit's sweep, whose code was trusted; of a report made elsewhere it is not known.
    """

    testbed: str
    kit: str
    hit: float
    null: float
    findings: int
    details: Mapping[str, Any]
    nonce: str
    machine: str = ""
    error: str = ""
    plugins: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Given:
    """A report as it was handed over: the testbed's name, and the report or why there is none."""

    testbed: str
    report: GameAnswer | None
    error: str = ""


def grade_ledger(out: Path, say: Say, engine: str = "") -> list[GradedReport]:
    """Grades every report of a ledger that the present grader has not graded.

    Args:
        out: folder of a sweep.
        say: told how many there are, and of each when it is graded.
        engine: words that choose the engine of all targets, "" to let each one's base choose.

    Returns:
        Every audit with a report, in the order of run keys; last those that could not be graded. Only they are tried
        when it is asked again.

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
            graded = _graded(grading.truth(row.alias).id, row.kit, grade)
            found.append(replace(graded, plugins=row.plugins))
    for run_key, why in sorted(process.failed.items()):
        row = audits[run_key]
        found.append(_ungraded(grading.truth(row.alias).id, row.kit, why))
    return found


def grade_reports(reports: Sequence[tuple[str, GameAnswer]], say: Say, engine: str = "") -> list[GradedReport]:
    """Grades reports made by another harness; nothing is kept.

    Args:
        reports: pairs of a testbed's id or alias, and the report about it.
        say: told of long steps.
        engine: words that choose the engine of all targets, "" to let each one's base choose.

    Returns:
        Them in the given order; one that cannot be graded says why, and costs no other.
    """
    return _grade_each([_Given(name, report) for name, report in reports], say, engine)


def grade_file(path: Path, say: Say, engine: str = "") -> list[GradedReport]:
    """Grades a file of reports: JSON lines of {"testbed": id or alias, "report": {…}}.

    Returns:
        One for each line that is not blank, in their order; what is wrong with a line it says, and costs no other.

    Raises:
        InvalidInput: no such file.
    """
    given: list[_Given] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            given.append(_read_line(line, path, number))
        except AssayError as error:
            given.append(_Given(where, None, blamed(error)))
    return _grade_each(given, say, engine)


def _read_line(line: str, path: Path, number: int) -> _Given:
    where = f"{path}:{number}"
    item = as_model(parse_json(line, str(path), number), _Line, where)
    try:
        _gradable(item.testbed)
    except AssayError as error:
        raise InvalidInput(f"{where}: {error}") from None
    return _Given(item.testbed, make_answer(item.report, f"{where}: report"))


def _gradable(name: str) -> Truth:
    """Finds the truth of a testbed.

    Raises:
        UnknownId: no such testbed.
        InvalidInput: its truth is not known.
    """
    truth = find_truth(name)
    if truth.role == "unknown":
        raise InvalidInput(f"the truth of {truth.id} is not known, so nothing is graded.")
    return truth


def _grade_each(given: Sequence[_Given], say: Say, engine: str) -> list[GradedReport]:
    """Grades what can be graded, and says of the rest why it cannot; in the given order."""
    names: dict[str, str] = {}  # place, which stands for a run key since they are in no ledger → readable id
    failed: dict[str, str] = {}
    waiting: list[Submitted] = []
    for place, one in enumerate(given):
        key = str(place)
        names[key] = one.testbed
        if one.report is None:
            failed[key] = one.error
            continue
        try:
            truth, report = _gradable(one.testbed), checked(one.report)
        except AssayError as error:
            failed[key] = blamed(error)
            continue
        names[key] = truth.id
        waiting.append(Submitted(run_key=key, alias=truth.alias, report=report))
    with (
        tempfile.TemporaryDirectory(prefix="assay-") as folder,
        GradingProcess(Path(folder) / "grade-process.log", say, engine) as process,
    ):
        hits = {rows[0].run_key: rows[0] for rows in process.grade(waiting)}
    failed |= process.failed
    return [
        _graded(name, "", hits[key]) if key in hits else _ungraded(name, "", failed[key]) for key, name in names.items()
    ]


def _ungraded(testbed: str, kit: str, why: str) -> GradedReport:
    return GradedReport(testbed, kit, 0.0, 0.0, 0, {}, "", error=why)


def _graded(testbed: str, kit: str, hit: GradeRow) -> GradedReport:
    details = hit.details
    machine = str(details.get("machine", ""))  # a grade may be of an Assay that did not say
    return GradedReport(testbed, kit, hit.raw, hit.null, len(details["findings"]), details, hit.nonce, machine)
