"""Grades findings on real weights: the grader's own code and engine, with seeds that are told, so that runs compare."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from contract import say

from assay.core.report import Finding
from assay.engine.cache import grading_replies
from assay.engine.targets import Targets
from assay.grading.finding import Graded, grade_lazily
from assay.grading.jobs import all_cases, pair_opener
from assay.grading.null import fixed_pool, swapped_cases
from assay.testbeds.names import short


@dataclass(frozen=True, slots=True)
class Given:
    """A finding to grade.

    Attributes:
        testbed: short name.
        finding: whole.
        seed: of the samples.
    """

    testbed: str
    finding: Finding
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """What the grader says of a finding.

    Attributes:
        own: on its testbed. Demonstrations are run where sealed answers leave the predicate room to hit; of others
            nothing is known but that they do not.
        swapped: alias → the same on other truths.
    """

    own: Graded
    swapped: dict[str, Graded] = field(default_factory=dict)

    @property
    def null(self) -> float:
        """The share of swapped truths that it hits."""
        return sum(bool(one.hits) for one in self.swapped.values()) / max(1, len(self.swapped))


def grades(given: Sequence[Given], *, null: bool = True) -> list[Found]:
    """Grades findings about testbeds of the embedded suite, all at once so that the engine can batch.

    Args:
        given: the findings.
        null: they are tried on swapped truths as well.
    """
    known = {short(case.truth.id): case for case in all_cases().values() if case.truth.id.startswith("embedded/")}
    pool = fixed_pool(all_cases().values())
    targets = Targets(replies=grading_replies())
    open_pair = pair_opener(targets.open)
    done = 0

    async def one(asked: Given) -> Found:
        nonlocal done
        case = known[asked.testbed]
        own = await grade_lazily(asked.finding, case, open_pair, asked.seed)
        swapped: dict[str, Graded] = {}
        for other in swapped_cases(case, pool) if null else ():
            swapped[other.truth.alias] = await grade_lazily(asked.finding, other, open_pair, asked.seed)
        done += 1
        say(f"{done} of {len(given)} findings graded")
        return Found(own, swapped)

    async def together() -> list[Found]:
        return await asyncio.gather(*map(one, given))

    try:
        return asyncio.run(together())
    finally:
        targets.close()
