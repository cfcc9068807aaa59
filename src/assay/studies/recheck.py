"""Grades again what is graded, on the nonces that the grades keep: the same nonce gives the same grade."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from assay._util.progress import Say
from assay.core.record import GradeRow
from assay.studies.design import logs_in
from assay.studies.grades import Grading
from assay.studies.ledger import Ledger
from assay.studies.processes import GradingProcess
from assay.studies.study import existing_ledger
from assay.testbeds.truths import require_answers


@dataclass(frozen=True)
class CheckedGrade:
    """Holds a grade beside the same one, made again.

    Attributes:
        testbed: readable id.
        kit: of the audit.
        nonce: that both were seeded by.
        hit, again: whether the first finding hits (1.0 or 0.0), as recorded and as found now.
        same: scores of all tiers are equal, the null's too.
    """

    testbed: str
    kit: str
    nonce: str
    hit: float
    again: float
    same: bool


def check_ledger(out: Path, say: Say, engine: str = "") -> list[CheckedGrade]:
    """Grades again, on the kept nonces, whatever in a ledger has a grade that holds; keeps nothing of it.

    Args:
        out: folder of a sweep.
        say: told how many there are.
        engine: words that choose the engine of all targets, "" to let each one's base choose.

    Returns:
        Them in the order of run keys.

    Raises:
        InvalidInput: no ledger there, or the answers of a suite in it are not on this machine.
        AssayError: the grading process ended.
    """
    grading = Grading.now()
    with Ledger.open(existing_ledger(out)) as ledger:
        require_answers(row.alias for row in ledger.audits())
        audits = {row.run_key: row for row in ledger.audits()}
        held = grading.current(ledger, audits.values())
    kept: dict[str, dict[str, GradeRow]] = defaultdict(dict)  # run key → tier → grade
    for grade in held.rows:
        kept[grade.run_key][grade.tier] = grade
    submitted = [
        one.model_copy(update={"nonce": kept[one.run_key]["hit"].nonce})
        for one in grading.reports(audits.values())
        if "hit" in kept[one.run_key]
    ]
    say(f"{len(submitted)} grades to check")
    found: dict[str, CheckedGrade] = {}
    with GradingProcess(logs_in(out) / "grade-process.log", say, engine) as process:
        for rows in process.grade(submitted):
            key = rows[0].run_key
            earlier = kept[key]
            found[key] = CheckedGrade(
                testbed=grading.truth(audits[key].alias).id,
                kit=audits[key].kit,
                nonce=rows[0].nonce,
                hit=earlier["hit"].raw,
                again=rows[0].raw,
                same=all(_scores(row) == _scores(earlier.get(row.tier)) for row in rows),
            )
    return [found[key] for key in sorted(found)]


def _scores(grade: GradeRow | None) -> tuple[float, float] | None:
    return (grade.raw, grade.null) if grade else None
