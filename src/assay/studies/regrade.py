"""Grades what a ledger holds and nobody graded, or reports that another harness made."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from assay.grading.judge.panel import require_panel
from assay.studies.design import logs_in
from assay.studies.evidence import KeptEvidence
from assay.studies.grades import Grading
from assay.studies.judging import Judging, told_of
from assay.studies.ledger import Ledger
from assay.studies.processes import GradingProcess
from assay.studies.study import existing_ledger
from assay.testbeds.texts import text_alone
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
        judge: what a panel of judges says, if one was asked: `raw` and `null` of its tier, and the grade's details.
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
    judge: Mapping[str, Any] = field(default_factory=dict)

    @property
    def judged(self) -> str:
        """Says in a few words what the panel says; "" where none was asked."""
        return told_of(self.judge) if self.judge else ""


@dataclass(frozen=True)
class _Given:
    """A report as it was handed over: the testbed's name, and the report or why there is none."""

    testbed: str
    report: GameAnswer | None
    error: str = ""


def grade_ledger(out: Path, say: Say, engine: str = "", judges: Sequence[str] = ()) -> list[GradedReport]:
    """Grades every report of a ledger that the present grader has not graded.

    Args:
        out: folder of a sweep.
        say: told how many there are, and of each when it is graded.
        engine: words that choose the engine of all targets, "" to let each one's base choose.
        judges: names of a panel's models, which grade as well; then testbeds whose truth is a text alone are graded.

    Returns:
        Every audit with a report, in the order of run keys; last those that could not be graded. Only they are tried
        when it is asked again.

    Raises:
        InvalidInput: no ledger there, or the answers of a suite in it are not on this machine.
        AssayError: the grading process ended; what was graded is kept.
    """
    grading = Grading.now()
    judging = Judging.now(judges, grading) if judges else None
    log = logs_in(out) / "grade-process.log"
    with Ledger.open(existing_ledger(out)) as ledger, GradingProcess(log, say, engine) as process:
        # Before any is graded: with a suite's answers missing, its reports would be passed over in silence.
        require_answers(row.alias for row in ledger.audits())
        rows = {row.run_key: row for row in ledger.audits() if row.report}
        audits = {key: row for key, row in rows.items() if row.alias in grading.cases}
        held = grading.current(ledger, audits.values())
        waiting = grading.ungraded(audits.values(), held)
        say(f"{len(audits)} reports, {len(waiting)} to grade")
        if held.passed_over:
            say(f"{len(held.passed_over)} grades in the ledger that no known grader signed: passed over, and made anew")
        for graded in process.grade(waiting):
            ledger.grade(*graded)
            alias = audits[graded[0].run_key].alias
            made_of = " and ".join(graded[0].details.get("tiers", ()))  # of a report; the other games have one tier
            hit = ("hit" if graded[0].raw else "no hit") + (f" (hit: {made_of})" if made_of else "")
            say(f"{grading.truth(alias).id}: {hit}")
        held = grading.current(ledger, audits.values())
        hits = {grade.run_key: grade for grade in held.rows if grade.tier == "hit"}
        judged = judging.grades(ledger, process, rows.values(), hits, say) if judging else {}
    KeptEvidence(out, grading).seek(audits.values())
    names = {alias: case.truth.id for alias, case in grading.cases.items()} | (judging.names if judging else {})
    found: list[GradedReport] = []
    for key in sorted(hits.keys() | judged.keys()):
        row = rows[key]
        one = _graded(names[row.alias], row.kit, hits.get(key), judged.get(key))
        found.append(replace(one, plugins=row.plugins, error=process.failed.pop(key, "")))
    for key, why in sorted(process.failed.items()):
        found.append(_ungraded(names[rows[key].alias], rows[key].kit, why))
    return found


def grade_reports(
    reports: Sequence[tuple[str, GameAnswer]], say: Say, engine: str = "", judges: Sequence[str] = ()
) -> list[GradedReport]:
    """Grades reports made by another harness; nothing is kept.

    Args:
        reports: pairs of a testbed's id or alias, and the report about it.
        say: told of long steps.
        engine: words that choose the engine of all targets, "" to let each one's base choose.
        judges: as in `grade_ledger`.

    Returns:
        Them in the given order; one that cannot be graded says why, and costs no other.
    """
    return _grade_each([_Given(name, report) for name, report in reports], say, engine, judges)


def grade_file(path: Path, say: Say, engine: str = "", judges: Sequence[str] = ()) -> list[GradedReport]:
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
            given.append(_read_line(line, path, number, judged=bool(judges)))
        except AssayError as error:
            given.append(_Given(where, None, blamed(error)))
    return _grade_each(given, say, engine, judges)


def _read_line(line: str, path: Path, number: int, judged: bool) -> _Given:
    where = f"{path}:{number}"
    item = as_model(parse_json(line, str(path), number), _Line, where)
    try:
        _gradable(item.testbed, judged)
    except AssayError as error:
        raise InvalidInput(f"{where}: {error}") from None
    return _Given(item.testbed, make_answer(item.report, f"{where}: report"))


def _gradable(name: str, judged: bool) -> Truth:
    """Finds the truth of a testbed.

    Args:
        name: of the testbed.
        judged: a panel is at hand, to which a text is truth enough.

    Raises:
        UnknownId: no such testbed.
        InvalidInput: its truth is not known, or is a text alone and nobody is there to read it.
    """
    truth = find_truth(name)
    if truth.role == "unknown":
        text = text_alone(truth)
        if text is None:
            raise InvalidInput(f"the truth of {truth.id} is not known, so nothing is graded.")
        if not judged:
            raise InvalidInput(
                f"the truth of {truth.id} is a text alone, without a detector: only a judge can grade a report on it "
                f"(assay grade --judge PROVIDER/MODEL)."
            )
    return truth


def _grade_each(given: Sequence[_Given], say: Say, engine: str, judges: Sequence[str]) -> list[GradedReport]:
    """Grades what can be graded, and says of the rest why it cannot; in the given order."""
    if judges:
        require_panel(judges)
    names: dict[str, str] = {}  # place, which stands for a run key since they are in no ledger → readable id
    failed: dict[str, str] = {}
    waiting: list[Submitted] = []
    alone: set[str] = set()  # places of those whose truth is a text
    for place, one in enumerate(given):
        key = str(place)
        names[key] = one.testbed
        if one.report is None:
            failed[key] = one.error
            continue
        try:
            truth, report = _gradable(one.testbed, bool(judges)), checked(one.report)
        except AssayError as error:
            failed[key] = blamed(error)
            continue
        names[key] = truth.id
        waiting.append(Submitted(run_key=key, alias=truth.alias, report=report))
        alone |= {key} if truth.role == "unknown" else set()
    judged: dict[str, GradeRow] = {}
    with (
        tempfile.TemporaryDirectory(prefix="assay-") as folder,
        GradingProcess(Path(folder) / "grade-process.log", say, engine) as process,
    ):
        detected = [one for one in waiting if one.run_key not in alone]
        hits = {rows[0].run_key: rows[0] for rows in process.grade(detected)}
        if judges:
            nonced = [one.model_copy(update={"nonce": _nonce(hits.get(one.run_key))}) for one in waiting]
            judged = {rows[0].run_key: rows[0] for rows in process.judge(nonced, judges)}
    failed |= process.failed
    found: list[GradedReport] = []
    for key, name in names.items():
        if key in hits or key in judged:
            one_graded = _graded(name, "", hits.get(key), judged.get(key))
            found.append(replace(one_graded, error=failed.get(key, "")))
        else:
            found.append(_ungraded(name, "", failed[key]))
    return found


def _nonce(hit: GradeRow | None) -> str:
    return hit.nonce if hit else ""


def _ungraded(testbed: str, kit: str, why: str) -> GradedReport:
    return GradedReport(testbed, kit, 0.0, 0.0, 0, {}, "", error=why)


def _graded(testbed: str, kit: str, hit: GradeRow | None, judged: GradeRow | None) -> GradedReport:
    """Tells a report's grade; where the truth is a text alone, the panel's is all there is."""
    told = {"raw": judged.raw, "null": judged.null, **judged.details} if judged else {}
    own = hit or judged
    assert own is not None
    details = own.details
    machine = str(details.get("machine", ""))  # a grade may be of an Assay that did not say
    return GradedReport(
        testbed, kit, own.raw, own.null, len(details["findings"]), details, own.nonce, machine, judge=told
    )
