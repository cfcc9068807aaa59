"""Grade again what a ledger holds, or reports from elsewhere; sum up again what was swept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.audits.cell import Cell
from assay.core.report import parse_report
from assay.errors import InvalidInput
from assay.grading.jobs import GradeJob, all_cases, grade_outside, graders, grades_now
from assay.store.ledger import Ledger
from assay.studies.sweep import Planned, kept_constant, sum_up
from assay.studies.worker_process import WorkerProcess
from assay.testbeds.truths import find_truth

Say = Callable[[str], None]


def _ledger(out: Path) -> Path:
    path = out / "ledger.sqlite"
    if not path.is_file():
        raise InvalidInput(f"{path}: no ledger there. Give the folder of a sweep with --out, or run one.")
    return path


def regrade(out: Path, say: Say) -> list[dict[str, Any]]:
    """Grade every report of a ledger that the present grader has not graded.

    Returns:
        testbed, kit, hit, null and number of findings of each audit with a report.
    """
    path = _ledger(out)
    cases = all_cases()
    current = graders(cases)
    with Ledger.open(path) as ledger, WorkerProcess("grade", out / "logs" / "grade-process.log") as worker:
        rows = {row.run_key: row for row in ledger.audits() if row.report and row.alias in cases}
        graded = {grade.run_key for grade in grades_now(ledger, rows.values(), current)}
        say(f"{len(rows)} reports, {len(rows.keys() - graded)} to grade")
        if rows.keys() - graded:
            job = GradeJob(ledger=path.resolve(), run_keys=sorted(rows))
            for event, data in worker.run(job.model_dump(mode="json")):
                if event == "grade":
                    say(f"{cases[rows[data['run_key']].alias].truth.id}: {'hit' if data['hit'] else 'no hit'}")
        return [
            {
                "testbed": cases[rows[grade.run_key].alias].truth.id,
                "kit": rows[grade.run_key].kit,
                "hit": grade.raw,
                "null": grade.null,
                "findings": len(grade.details["findings"]),
                "details": grade.details,
            }
            for grade in grades_now(ledger, rows.values(), current)
            if grade.tier == "hit"
        ]


def grade_file(path: Path, say: Say) -> list[dict[str, Any]]:
    """Grade reports from elsewhere: JSON lines of {"testbed": id or alias, "report": {…}}.

    Raises:
        InvalidInput: no such file, or a line that is not of this shape; names the line.
        ReportInvalid: a report outside the limits of the contract.
    """
    from assay.engine.targets import Targets

    reports = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            item = json.loads(line)
            testbed, given = item["testbed"], json.dumps(item["report"])
        except (json.JSONDecodeError, KeyError, TypeError):
            raise InvalidInput(f'{path}:{number}: wants {{"testbed": id, "report": {{…}}}} on one line.') from None
        truth = find_truth(testbed)
        if truth.role == "unknown":
            raise InvalidInput(f"{path}:{number}: the truth of {truth.id} is not known, so nothing is graded.")
        reports.append((truth.alias, parse_report(given)))
    targets = Targets(say)
    try:
        graded = asyncio.run(grade_outside(reports, targets.open))
    finally:
        targets.close()
    return [
        {
            "testbed": grade.truth.id,
            "kit": "",
            "hit": float(grade.hit_at_1),
            "null": sum(bool(one.hits) for one in grade.swapped.values()) / max(1, len(grade.swapped)),
            "findings": len(grade.findings),
            "details": grade.details(),
        }
        for _, grade in graded
    ]


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}.") from None


def last_summary(out: Path) -> dict[str, Any]:
    """The summary of a ledger's newest plan, from the rows that are there."""
    from assay.audits.registry import get_auditor

    with Ledger.open(_ledger(out)) as ledger:
        plans = ledger.plans()
        if not plans:
            raise InvalidInput(f"{ledger.path} holds no sweep; run assay sweep or assay demo first.")
        cells = [Cell.model_validate(cell) for cell in plans[-1].cells]
        names = {row.auditor.partition("@")[0] for row in ledger.audits(cell.run_key for cell in cells)}
        auditor = get_auditor(next(iter(names), "explorer"))
        cases = all_cases()
        stages = {kit: tuple(cell for cell in cells if cell.kit == kit) for kit in dict.fromkeys(c.kit for c in cells)}
        planned = Planned(stages, auditor, graders(cases), cases)
        rows = ledger.audits(cell.run_key for cell in cells)
        return sum_up(ledger, planned, sum(row.seconds for row in rows), kept_constant(out, planned))
