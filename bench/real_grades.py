"""Grades reports on real weights: the grader's own code and engine, with seeds that are told, so that runs compare."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from contract import say

from assay.core.report import Report
from assay.engine.cache import grading_replies
from assay.engine.targets import Targets
from assay.grading.hit import Grade, grade_report
from assay.grading.jobs import all_cases, pair_opener
from assay.grading.null import fixed_pool, swapped_cases
from assay.testbeds.names import short

AT_ONCE = 16  # reports; the engine batches them, and what they were told is kept


@dataclass(frozen=True, slots=True)
class Given:
    """A report to grade.

    Attributes:
        testbed: short name.
        report: what was found.
        seed: of the samples.
    """

    testbed: str
    report: Report
    seed: int = 0


def grades(given: Sequence[Given], *, null: bool = True) -> list[Grade]:
    """Grades reports about testbeds of the embedded suite, in the order given.

    Args:
        given: the reports.
        null: they are tried on swapped truths as well.
    """
    known = {short(case.truth.id): case for case in all_cases().values() if case.truth.id.startswith("embedded/")}
    pool = fixed_pool(all_cases().values())
    targets = Targets(replies=grading_replies())
    open_pair = pair_opener(targets.open)

    async def one(asked: Given) -> Grade:
        case = known[asked.testbed]
        others = swapped_cases(case, pool) if null else ()
        return await grade_report(asked.report, case, others, open_pair, seed=asked.seed)

    async def by_groups() -> list[Grade]:
        found: list[Grade] = []
        for start in range(0, len(given), AT_ONCE):
            found += await asyncio.gather(*map(one, given[start : start + AT_ONCE]))
            say(f"{len(found)} of {len(given)} reports graded")
        return found

    try:
        return asyncio.run(by_groups())
    finally:
        targets.close()
