"""Has a panel grade what audits reported, in the grading process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from assay._util.storable import storable
from assay._util.yaml_models import Data
from assay.core.record import GradeRow, as_json
from assay.core.report import Report
from assay.core.target import OpenTarget, Target
from assay.core.testbed import TargetSpec
from assay.errors import InvalidInput, blamed
from assay.grading.case import Case
from assay.grading.jobs import Submitted, Tell, all_cases
from assay.grading.judge.digest import judge_digest
from assay.grading.judge.foretelling import foretells, foretold_to, sealed_digest
from assay.grading.judge.grade import OpenTold, judge_report
from assay.grading.judge.panel import Panel
from assay.grading.null import fixed_pool, swapped_cases
from assay.grading.signing import Signer, new_nonce, report_digest, seed_of
from assay.testbeds.specs import load_spec
from assay.testbeds.texts import ToldTruth, texts_alone, told


class JudgeJob(Data):
    """All that a grading process is told to have a panel grade reports.

    Attributes:
        asked: what is asked for.
        reports: to grade, of testbeds whose truth is known, a text alone among them.
        judges: names of the panel's models, as Inspect knows them.
        engine: words that choose the engine of targets, "" to let each one's base choose.
    """

    asked: Literal["judge"] = "judge"
    reports: list[Submitted]
    judges: list[str] = Field(min_length=1)
    engine: str = ""


@dataclass(frozen=True)
class JudgedTruths:
    """The truths that a panel can grade against: those with detectors, told as texts, and those that are texts alone.

    Attributes:
        own: alias → truth.
        swapped: alias → the other truths that a report on it is read beside.
        cases: alias → case, of testbeds with detectors, whose predictions are read as well.
        others: alias → the other truths of those.
    """

    own: Mapping[str, ToldTruth]
    swapped: Mapping[str, Sequence[ToldTruth]]
    cases: Mapping[str, Case]
    others: Mapping[str, Sequence[Case]]

    @classmethod
    def of(cls, cases: Mapping[str, Case], alone: Mapping[str, ToldTruth]) -> JudgedTruths:
        """Tells truths.

        Args:
            cases: alias → case, of testbeds with detectors; the fixed pool is among them.
            alone: alias → truth that is a text alone.
        """
        pool = fixed_pool(cases.values())
        own = {alias: _told(case) for alias, case in cases.items()} | dict(alone)
        swapped: dict[str, Sequence[ToldTruth]] = {}
        others: dict[str, Sequence[Case]] = {}
        for alias, one in own.items():
            others[alias] = swapped_cases(cases.get(alias) or _bare(one), pool)
            swapped[alias] = [_told(case) for case in others[alias]]
        return cls(own, swapped, cases, others)

    def digest(self, alias: str, panel: Sequence[str]) -> str:
        """Digests the grader that a panel is for one testbed."""
        case = self.cases.get(alias)
        sealed = sealed_digest(case, self.others[alias]) if case else ""
        return judge_digest(self.own[alias], self.swapped[alias], panel, sealed)


def _told(case: Case) -> ToldTruth:
    return told(case.truth, case.behaviours)


def _bare(one: ToldTruth) -> Case:
    """Makes a case of a text, without behaviours that could be graded: swapped truths are drawn by alias and family."""
    return Case(one.truth.model_copy(update={"role": "unknown", "behaviours": []}), ())


def told_opener(open_target: OpenTarget) -> OpenTold:
    """How a testbed whose truth is a text alone is opened, with its reference if there is one."""

    @asynccontextmanager
    async def open_told(one: ToldTruth) -> AsyncIterator[tuple[Target, Target | None]]:
        async with open_target(load_spec(one.truth.alias).without_memory) as target:
            if one.reference is None:
                yield target, None
                return
            async with open_target(one.reference) as reference:
                yield target, reference

    return open_told


async def judge_job(
    job: JudgeJob,
    panel: Panel,
    open_target: OpenTarget,
    machine: Callable[[TargetSpec], str],
    tell: Tell,
    signer: Signer,
) -> None:
    """Do a job, all of its reports at once. One that cannot be graded costs no other.

    Args:
        job: which reports.
        panel: opened, of the job's judges.
        open_target: opens targets on the engine of this process.
        machine: describes what that engine makes a target's replies with.
        tell: told `grade` for each report with its one row, or `failed`, as `grade_job` tells.
        signer: signs them.
    """
    truths = JudgedTruths.of(all_cases(), texts_alone())
    open_told = told_opener(open_target)

    async def grade(one: Submitted) -> None:
        try:
            tell("grade", [as_json(await row_of(one))])
        except Exception as error:  # whatever it is, it happened over this report
            tell("failed", {"run_key": one.run_key, "why": storable(blamed(error))})

    async def row_of(one: Submitted) -> GradeRow:
        if one.alias not in truths.own:
            raise InvalidInput(f"nothing can be judged of {one.alias}: no truth, not even a text, that can be read.")
        if not isinstance(one.report, Report):
            raise InvalidInput("judges read reports of the game investigate alone; this one is of another game.")
        nonce = one.nonce or new_nonce()
        own = truths.own[one.alias]
        found = await judge_report(one.report, own, truths.swapped[one.alias], panel, open_told, seed_of(nonce))
        case = truths.cases.get(one.alias)
        if case and foretells(one.report, case):
            opened = open_target(load_spec(one.alias).without_memory)
            found = replace(
                found,
                foretold=await foretold_to(panel, one.report, case, truths.others[one.alias], opened, seed_of(nonce)),
            )
        on = machine(load_spec(one.alias)) if own.alone or found.foretold else ""
        row = found.row(one.run_key, truths.digest(one.alias, panel.names), nonce, on)
        return signer.grade(row, one.alias, report_digest(one.report))

    await asyncio.gather(*map(grade, job.reports))
