"""Grade what audits reported. Runs in a process of its own, the only kind that reads truths and models together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from assay._util.yaml_models import Data
from assay.core.record import AuditRow, GradeRow
from assay.core.report import Report, parse_report
from assay.core.target import OpenTarget, Target
from assay.grading.case import Case
from assay.grading.constant import BestConstant, best_constant
from assay.grading.digest import grader_digest
from assay.grading.hit import Grade, grade_report
from assay.grading.null import fixed_pool, swapped_cases
from assay.store.ledger import Ledger
from assay.testbeds.specs import load_spec
from assay.testbeds.truths import all_truths, behaviours_of, control_spec
from assay.truth import REMOVED, Truth

Tell = Callable[[str, Any], None]


class GradeJob(Data):
    """What a grading process is told.

    Attributes:
        ledger: where audit rows are and grade rows go.
        run_keys: audits to grade; those the grader has graded already are passed over.
        constant: also find the best constant report among them.
    """

    ledger: Path
    run_keys: list[str]
    constant: bool = False


def case_of(truth: Truth) -> Case:
    """A truth with its behaviours."""
    return Case(truth, tuple(behaviours_of(truth)))


def all_cases() -> dict[str, Case]:
    """alias → case, of every testbed of the suite."""
    return {truth.alias: case_of(truth) for truth in all_truths() if truth.role != "unknown"}


def graders(cases: Mapping[str, Case]) -> dict[str, str]:
    """alias → digest of the grader as it is now, for that testbed: its own truth and the fixed pool of swapped ones.

    A testbed that is added or changed leaves the grades of all others as they are.
    """
    pool = fixed_pool(cases.values())
    return {alias: grader_digest([case, *pool]) for alias, case in cases.items()}


def grades_now(ledger: Ledger, rows: Iterable[AuditRow], current: Mapping[str, str]) -> list[GradeRow]:
    """Grades of audits by the graders of now."""
    wanted = {row.run_key: current.get(row.alias) for row in rows}
    return [grade for grade in ledger.grades(run_keys=wanted) if grade.grader == wanted[grade.run_key]]


def pair_opener(open_target: OpenTarget) -> Any:
    """How grading opens a truth's target and control."""

    @asynccontextmanager
    async def open_pair(truth: Truth) -> AsyncIterator[tuple[Target, Target | None]]:
        spec = load_spec(truth.alias).without_memory
        async with open_target(spec) as target:
            if truth.control.alias == REMOVED:
                yield target, None
                return
            async with open_target(control_spec(truth, spec.base).without_memory) as control:
                yield target, control

    return open_pair


async def grade_job(job: GradeJob, open_target: OpenTarget, tell: Tell) -> None:
    """Grade a job's audits, all at once so that the engine can batch; each grade is kept when it is made.

    Args:
        job: what to grade.
        open_target: opens targets on the engine of this process.
        tell: told `grade` (run key and hit) for each, `constant` at the end if asked for.
    """
    cases = all_cases()
    current = graders(cases)
    open_pair = pair_opener(open_target)
    with Ledger.open(job.ledger) as ledger:
        reported = [row for row in ledger.audits(job.run_keys) if row.report and row.alias in cases]
        have = {grade.run_key for grade in grades_now(ledger, reported, current)}
        rows = [row for row in reported if row.run_key not in have]

        async def one(run_key: str, alias: str, report: Report) -> None:
            case = cases[alias]
            grade = await grade_report(report, case, swapped_cases(case, fixed_pool(cases.values())), open_pair)
            ledger.grade(*grade.rows(run_key, current[alias]))
            tell("grade", {"run_key": run_key, "hit": grade.hit_at_1})

        await asyncio.gather(*(one(row.run_key, row.alias, parse_report(row.report)) for row in rows))
        if job.constant:
            tell("constant", _plain(await _constant(job, ledger, cases, open_pair)))


async def _constant(job: GradeJob, ledger: Ledger, cases: Mapping[str, Case], open_pair: Any) -> BestConstant | None:
    rows = [row for row in ledger.audits(job.run_keys) if row.report and row.alias in cases]
    played = [cases[alias] for alias in sorted({row.alias for row in rows})]
    swapped = {case.truth.alias: swapped_cases(case, fixed_pool(cases.values())) for case in played}
    return await best_constant({row.run_key: parse_report(row.report) for row in rows}, played, swapped, open_pair)


def _plain(best: BestConstant | None) -> dict[str, Any] | None:
    return asdict(best) if best else None


async def grade_outside(reports: Sequence[tuple[str, Report]], open_target: OpenTarget) -> list[tuple[str, Grade]]:
    """Grade reports made by someone else's harness.

    Args:
        reports: pairs of alias and report.
        open_target: opens targets.
    """
    cases = all_cases()
    open_pair = pair_opener(open_target)

    async def one(alias: str, report: Report) -> tuple[str, Grade]:
        case = cases[alias]
        return alias, await grade_report(report, case, swapped_cases(case, fixed_pool(cases.values())), open_pair)

    return list(await asyncio.gather(*(one(alias, report) for alias, report in reports)))
