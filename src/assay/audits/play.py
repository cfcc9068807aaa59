"""Plays audits, each one as an Inspect sample. The truth is not in this process, and that is checked."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay._util.hashing import digest_of
from assay.audits.auxiliary import OpenAuxiliary, no_auxiliary, opened_auxiliary
from assay.audits.briefs import brief_text
from assay.audits.cell import Cell, Job
from assay.audits.kits import Binding, bind_kit, parse_kit
from assay.audits.model_choice import ModelChoice
from assay.audits.prepared import PreparedStore, Subject, target_digest
from assay.audits.redact import scrub
from assay.audits.registry import collect_tools, get_auditor
from assay.audits.transcripts import recorded
from assay.core.answer import BehaviouralEval, GameAnswer, checked, claims
from assay.core.auditor import Auditor, Brief, Kit
from assay.core.budget import Budget, Meter
from assay.core.model_meter import LanguageModel, ModelMeter, ModelUse
from assay.core.record import AuditRow
from assay.core.report import Outcome
from assay.core.target import OpenTarget
from assay.core.testbed import TargetSpec
from assay.core.tool import Tool
from assay.errors import (
    AssayError,
    AuditorFailed,
    BudgetExceeded,
    ModelFailed,
    ModelRefused,
    NoReport,
    ReportInvalid,
    blamed,
    told,
)

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.model import Model
    from inspect_ai.solver import Solver

Done = Callable[[AuditRow], None]
Thinks = Callable[[Budget], AbstractContextManager[tuple[LanguageModel, ModelMeter]]]


def assert_blind() -> None:
    """Stops if this process could know an answer.

    Raises:
        AssayError: the module that reads truths is loaded.
    """
    if "assay.truth" in sys.modules:
        raise AssayError("assay.truth is loaded in an audit process: audits must not be able to read truths.")


@dataclass(frozen=True, slots=True)
class Bench:
    """Holds what all audits of a job share.

    Attributes:
        targets: alias → each target and each donor.
        open_target: opens them on the engine of this process.
        tools: by name.
        auditor: that plays.
        budget: of each audit.
        store: of prepared values.
        machine: describes what makes a target's replies.
        thinks: opens the language model of one audit, with its meter; None for auditors without one.
        auxiliary: opens the model that helps tools to write their questions, where there is one.
    """

    targets: Mapping[str, TargetSpec]
    open_target: OpenTarget
    tools: Mapping[str, Tool]
    auditor: Auditor
    budget: Budget
    store: PreparedStore
    machine: Callable[[TargetSpec], str]
    thinks: Thinks | None = None
    auxiliary: OpenAuxiliary = no_auxiliary


async def play(cell: Cell, bench: Bench, plan: str, log: str = "") -> tuple[AuditRow, list[dict[str, Any]]]:
    """Runs one audit to its end, whatever the end is.

    Returns:
        The row, and every tool call in order: tool, arguments, text and samples, or error.
    """
    assert_blind()
    meter = Meter(bench.budget)
    thinking: ModelMeter | None = None
    calls: list[dict[str, Any]] = []
    report: GameAnswer | None = None
    binding: Binding | None = None
    error = machine = ""
    try:
        # Without a placebo the target stands in for the donor, so that one block opens both; nothing is wired to it.
        spec = bench.targets[cell.alias]
        machine = bench.machine(spec)
        donor_spec = bench.targets[cell.donor or cell.alias]
        opened = bench.open_target(spec), bench.open_target(donor_spec), bench.auxiliary()
        async with opened[0] as target, opened[1] as donor, opened[2] as auxiliary:
            binding = await bind_kit(
                parse_kit(cell.kit, bench.tools),
                bench.tools,
                Subject(target, target_digest(spec)),
                Subject(donor, target_digest(donor_spec)) if cell.donor else None,
                meter,
                seed=cell.seed,
                store=bench.store,
                auxiliary=auxiliary,
            )
            tools = {name: recorded(bench.tools[name], bound, calls) for name, bound in binding.kit.tools.items()}
            kit = replace(binding.kit, tools=tools)
            brief = Brief(cell.game, brief_text(cell.game, cell.about), cell.seed, cell.about)
            with bench.thinks(bench.budget) if bench.thinks else nullcontext((None, None)) as (model, thinking):
                report = await _in_time(meter, bench.auditor, kit, brief, model, thinking)
        outcome = _outcome(report, kit, calls)
    # An auditor or tool is anyone's code. Its crash is an outcome, which stays in every rate; the other audits go on.
    # A cancellation is none: BaseException passes.
    except Exception as failure:
        outcome, error = _broken_off(failure)
    meter.close()
    if meter.exceeded or (thinking and thinking.exceeded):
        # whatever the auditor made of it: a report is kept, and graded as any other
        outcome, error = "out-of-budget", error or "more was asked for, or spent, than there was"
    row = AuditRow(
        run_key=cell.run_key,
        plan=plan,
        alias=cell.alias,
        kit=cell.kit,
        auditor=f"{bench.auditor.name}@{bench.auditor.version}",
        seed=cell.seed,
        outcome=outcome,
        report=report.model_dump_json() if report else "",
        log=log,
        error=error,
        machine=machine,
        model=thinking.spent if thinking else ModelUse(),
        **_spent(meter, binding),
    )
    return row, calls


def _broken_off(failure: Exception) -> tuple[Outcome, str]:
    """Tells how an audit without a report ended, and what of it is kept."""
    if isinstance(failure, BudgetExceeded):
        return "out-of-budget", str(failure)
    error = scrub(blamed(failure))
    if isinstance(failure, NoReport):
        return "none-submitted", error
    return "refused" if isinstance(failure, ModelRefused) else "crashed", error


def _spent(meter: Meter, binding: Binding | None) -> dict[str, Any]:
    """Gathers what a row says of cost and calls."""
    return {
        "cost": meter.spent,
        "by_tool": dict(meter.by_tool),
        "calls": dict(binding.calls) if binding else {},
        "skipped": dict(binding.kit.skipped) if binding else {},
        "prepared": dict(binding.prepared) if binding else {},
        "seconds": round(meter.seconds, 3),
    }


async def _in_time(
    meter: Meter, auditor: Auditor, kit: Kit, brief: Brief, model: LanguageModel | None, thinking: ModelMeter | None
) -> GameAnswer:
    """Lets an auditor audit for as long as its budget has seconds.

    An auditor that blocks the event loop, or goes on when it is cancelled, is not stopped by this: it can ask no more
    models, and if it ends, its outcome is the same.

    Raises:
        AuditorFailed: it raised something of its own, or returned no answer to its game.
        BudgetExceeded: the time was up.
        ModelFailed: its language model failed, and it could not go on.
    """
    limit = asyncio.timeout(meter.budget.seconds - meter.seconds)
    try:
        async with limit:
            # a copy of the budget: whatever the auditor does to it, the meter has its own
            report = await auditor.audit(kit, brief, replace(meter.budget), model)
        answer = checked(report, brief.game)
        # What an eval is about follows from the cell, and not from what the auditor says.
        return answer.model_copy(update={"about": brief.about}) if isinstance(answer, BehaviouralEval) else answer
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise AuditorFailed(f"auditor {auditor.name} cancelled itself.") from None  # nobody else did
    except ReportInvalid as error:
        raise AuditorFailed(f"auditor {auditor.name}: {error}") from error
    except AssayError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, TimeoutError) and limit.expired():
            raise BudgetExceeded(f"budget used up: {meter.budget.seconds:g} seconds") from None
        if thinking and thinking.fault:  # what it raised comes of that, in whatever class its framework puts it
            if isinstance(thinking.fault, AssayError):
                raise thinking.fault from None
            fault = thinking.fault if isinstance(thinking.fault, Exception) else error
            raise ModelFailed(f"{thinking.model}: {told(fault)}") from error
        raise AuditorFailed(f"auditor {auditor.name}: {told(error)}") from error


def _outcome(report: GameAnswer, kit: Kit, calls: Sequence[object]) -> Outcome:
    """Tells how an audit that gave a report ended."""
    # A report without a single query is a guess, and told apart: an auditor must not earn by knowing the suite.
    if kit.tools and not calls:
        return "never-queried"
    return "completed" if claims(report) else "none-submitted"


async def run_job(
    job: Job,
    open_target: OpenTarget,
    machine: Callable[[TargetSpec], str],
    done: Done,
    logs: Path,
    open_auxiliary: OpenTarget | None = None,
) -> None:
    """Runs a job's cells as one Inspect evaluation; each row is handed over before its sample ends.

    Args:
        job: what to run.
        open_target: opens targets on the engine of this process.
        machine: describes what that engine makes a target's replies with.
        done: takes each row, at the moment its audit ends.
        logs: folder of Inspect's logs.
        open_auxiliary: opens the job's auxiliary model, which no chosen engine has to hold; `open_target` if None.
    """
    from inspect_ai import eval_async

    from assay._util.paths import home

    assert_blind()
    model = _opened(job.model) if job.model else None
    files = [plugin.path for plugin in job.plugins if plugin.path]
    bench = Bench(
        job.targets,
        open_target,
        collect_tools(files),
        get_auditor(job.auditor, files),
        job.budget,
        PreparedStore(home() / "prepared"),
        machine,
        thinks(job.model, model) if job.model and model else None,
        opened_auxiliary(job.auxiliary, open_auxiliary or open_target),
    )
    for plugin in job.plugins:  # what was loaded just now is what the run keys name
        plugin.require_unchanged()
    # Inspect makes up a log's file name inside; a task name of our own, which is part of it, lets a row name its log
    [game] = {cell.game for cell in job.cells}
    log = f"{game}-{bench.auditor.name}-{digest_of([cell.run_key for cell in job.cells])[:8]}"
    cells = {cell.run_key: cell for cell in job.cells}

    async def one(run_key: str) -> tuple[AuditRow, list[dict[str, Any]]]:
        row, calls = await play(cells[run_key], bench, job.plan, log)
        done(row)  # before Inspect writes its log: a process killed in between loses a transcript, and no audit
        return row, calls

    await eval_async(
        _task(log, job.cells, one),
        model=model or "none/none",
        # Frameworks for red-teaming ask what the role's model is called. Nobody reaches a target but by the kit.
        model_roles={"target": "none/none"},
        log_dir=str(logs),
        log_format="eval",
        # All at once: what they ask for in the same moment shares the engine's batches.
        max_samples=len(job.cells),
        fail_on_error=False,  # by default the first sample that breaks ends the evaluation
        log_level="error",
    )
    assert_blind()  # again: a plug-in may have imported what was not there before


def _opened(choice: ModelChoice) -> Model:
    from assay.audits.thinker import open_model

    return open_model(choice)


def thinks(choice: ModelChoice, model: Model) -> Thinks:
    """Makes what opens the language model of each audit of a job, with a meter of its own."""
    from assay.audits.thinker import Thinker, charged, meter_of

    @contextmanager
    def think(budget: Budget) -> Iterator[tuple[LanguageModel, ModelMeter]]:
        meter = meter_of(choice, budget)
        try:
            with charged(meter):
                yield Thinker(choice.name, model, meter), meter
        finally:
            meter.closed = True

    return think


def _task(
    name: str, cells: Sequence[Cell], one: Callable[[str], Awaitable[tuple[AuditRow, list[dict[str, Any]]]]]
) -> Task:
    from inspect_ai import Task
    from inspect_ai.dataset import MemoryDataset, Sample

    # A sample has no target, where truths would go, and tells of no placebo: tools can read both.
    samples = [
        Sample(
            id=cell.run_key,
            input=brief_text(cell.game, cell.about),
            metadata={"alias": cell.alias, "kit": cell.kit.replace("~", "")},
        )
        for cell in cells
    ]
    return Task(name=name, dataset=MemoryDataset(samples), solver=_solver(one))


def _solver(one: Callable[[str], Awaitable[tuple[AuditRow, list[dict[str, Any]]]]]) -> Solver:
    from inspect_ai.log import transcript
    from inspect_ai.model import ModelOutput
    from inspect_ai.solver import Generate, TaskState, solver

    @solver(name="audit")
    def audit() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            row, calls = await one(str(state.sample_id))
            by_tool: dict[str, list[Any]] = {}
            for call in calls:
                by_tool.setdefault(call.pop("tool"), []).append(call)
            # One event a tool, not a call: a person opens the log to see what a tool was used for.
            for name, made in by_tool.items():
                transcript().info({"calls": made}, source=name)
            ended: dict[str, Any] = {"outcome": row.outcome, "cost": asdict(row.cost), "model": asdict(row.model)}
            ended["error"] = row.error
            transcript().info(ended, source="audit")
            state.output = ModelOutput.from_content(row.auditor, row.report or row.outcome)
            state.completed = True
            return state

        return solve

    return audit()
