"""Grade what audits reported. Runs in a process of its own, the only kind that reads truths and models together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, replace
from typing import Any, Literal

from pydantic import Field

from assay._util.hashing import digest_of
from assay._util.storable import storable
from assay._util.yaml_models import Data
from assay.core.answer import AnyGameAnswer
from assay.core.record import as_json
from assay.core.report import Report
from assay.core.target import OpenTarget, Target
from assay.core.testbed import TargetSpec
from assay.errors import AssayError, InvalidInput, blamed
from assay.grading.answer import grade_answer
from assay.grading.case import Case, OpenPair
from assay.grading.constant import SignedConstant, best_constant
from assay.grading.digest import case_digest, grader_digest
from assay.grading.null import fixed_pool, swapped_cases, with_foils
from assay.grading.signing import NONCE, Signer, new_nonce, report_digest, seed_of
from assay.testbeds.specs import load_spec
from assay.testbeds.truths import all_truths, behaviours_of, control_spec
from assay.truth import REMOVED, Truth

Tell = Callable[[str, Any], None]


class Submitted(Data):
    """A report, and whose it is.

    Attributes:
        run_key: of the audit that gave it; any name that is unique among the job's, where no audit of ours did.
        alias: of the testbed it is about.
        report: what was found.
        nonce: of an earlier grade, for the same draws; "" has one drawn.
    """

    run_key: str
    alias: str
    report: AnyGameAnswer
    nonce: str = Field(default="", pattern=NONCE)


class GradeJob(Data):
    """All that a grading process is told; what it finds it answers, and writes nothing.

    Attributes:
        asked: the grades of each report; or the one report that scores best when submitted everywhere.
        reports: to grade, of testbeds whose truth can be read.
        engine: words that choose the engine of targets and controls, "" to let each one's base choose.
        plan: id of the set of audits that a best constant is sought for.
    """

    asked: Literal["grades", "best-constant"]
    reports: list[Submitted]
    engine: str = ""
    plan: str = ""


def case_of(truth: Truth) -> Case:
    """A truth with its behaviours."""
    return Case(truth, tuple(behaviours_of(truth)))


def all_cases() -> dict[str, Case]:
    """alias → case, of every testbed that can be graded; `assay testbeds validate` tells of those that cannot."""
    cases: dict[str, Case] = {}
    for truth in all_truths():
        if truth.role != "unknown":
            with suppress(AssayError):  # a testbed somebody brought, whose behaviours are not here, costs no other
                cases[truth.alias] = case_of(truth)
    return with_foils(cases)


def graders(cases: Mapping[str, Case]) -> dict[str, str]:
    """alias → digest of the grader as it is now, for that testbed: its own truth and the fixed pool of swapped ones.

    A testbed that is added or changed leaves the grades of all others as they are.
    """
    digests = {alias: case_digest(case) for alias, case in cases.items()}
    pool = [digests[case.truth.alias] for case in fixed_pool(cases.values())]
    return {alias: grader_digest([digest, *pool]) for alias, digest in digests.items()}


def pair_opener(open_target: OpenTarget) -> OpenPair:
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


def graders_digest(current: Mapping[str, str], aliases: Iterable[str]) -> str:
    """Digests all graders of some testbeds; those that nobody can grade are passed over.

    Args:
        current: alias → digest of its grader, as `graders` gives it.
        aliases: of the testbeds.
    """
    return digest_of(sorted({current[alias] for alias in aliases if alias in current}))


def reports_digest(reports: Iterable[Submitted]) -> str:
    """Digests a set of reports, and whose they are."""
    return digest_of(sorted([one.run_key, one.alias, report_digest(one.report)] for one in reports))


async def grade_job(
    job: GradeJob, open_target: OpenTarget, machine: Callable[[TargetSpec], str], tell: Tell, signer: Signer
) -> None:
    """Do a job, all of its reports at once so that the engine can batch. One that cannot be graded costs no other.

    Args:
        job: what is asked, of which reports.
        open_target: opens targets on the engine of this process.
        machine: describes what that engine makes a target's replies with.
        tell: told `grade` for each report when it is graded, with its rows as plain data, or `failed`, with its run key
            and why it cannot be; or `constant` at the end, with the `SignedConstant` as plain data.
        signer: signs them.
    """
    cases = all_cases()
    aliases = {one.alias for one in job.reports} & cases.keys()
    pool, open_pair, current = fixed_pool(cases.values()), pair_opener(open_target), graders(cases)
    if job.asked == "best-constant":
        nonce, given = new_nonce(), [(one.run_key, one.report) for one in job.reports]
        reports = {run_key: report for run_key, report in given if isinstance(report, Report)}
        played = [cases[alias] for alias in sorted(aliases)]
        swapped = {case.truth.alias: swapped_cases(case, pool) for case in played}
        best = await best_constant(reports, played, swapped, open_pair, seed=seed_of(nonce))
        grader = graders_digest(current, aliases)
        found = SignedConstant(job.plan, grader, reports_digest(job.reports), nonce, best)
        tell("constant", asdict(signer.constant(found)))
        return

    async def grade(one: Submitted) -> None:
        try:
            tell("grade", await rows_of(one))
        # Whatever it is, it happened over this report; the engine may fail on its prompts alone.
        except Exception as error:
            tell("failed", {"run_key": one.run_key, "why": storable(blamed(error))})

    async def rows_of(one: Submitted) -> list[Any]:
        if one.alias not in cases:
            raise InvalidInput(f"nothing can be graded of {one.alias}: no truth that can be read.")
        # Drawn here, when the report is in the ledger: nothing that wrote the report can have known the samples.
        nonce = one.nonce or new_nonce()
        case, report = cases[one.alias], report_digest(one.report)
        graded = await grade_answer(one.report, case, swapped_cases(case, pool), open_pair, seed=seed_of(nonce))
        made = graded.rows(one.run_key, current[one.alias], machine(load_spec(one.alias)))
        rows = [replace(row, nonce=nonce) for row in made]
        return [as_json(signer.grade(row, one.alias, report)) for row in rows]

    await asyncio.gather(*map(grade, job.reports))
