"""A sweep, from its design to its study. Interrupted at any moment, the same call goes on with what is missing.

The desk's process alone writes the ledger. A process that knows no answers plays audits, one a kit where code from
outside is loaded; another, which knows answers and models, grades them. All get what they need by a pipe, and send rows
back by a pipe.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace

from assay._util.progress import Say
from assay.audits.cell import Cell
from assay.core.record import AuditRow, GradeRow
from assay.studies.constant import KeptConstant
from assay.studies.costs import keep_costs
from assay.studies.design import Design
from assay.studies.effects.rates import Estimate, HitScore, success
from assay.studies.events import (
    AuditEnded,
    Event,
    GradesPassedOver,
    KitRated,
    ProgressTold,
    ReportGraded,
    SweepPlanned,
    Watch,
)
from assay.studies.evidence import KeptEvidence
from assay.studies.ledger import Ledger
from assay.studies.plan import Plan, make_plan, require_controls
from assay.studies.preregister import plan_document
from assay.studies.processes import AuditProcess, GradingProcess
from assay.studies.study import Study, collect


def run_sweep(design: Design, watch: Watch) -> Study:
    """Runs what is missing, grades what is not graded, and sums up.

    Audits and grades that are in the ledger are not made again.

    Args:
        design: what to do.
        watch: takes each event as it comes.

    Raises:
        UnknownId, InvalidInput, PluginError: the design cannot be run; before anything is spent.
        AssayError: a process ended, or the ledger cannot be written; what was finished is kept.
    """
    started = time.monotonic()
    plan = make_plan(design)
    require_controls(plan)
    document = plan_document(plan)

    def say(text: str) -> None:
        watch(ProgressTold(text))

    # The stack unwinds in reverse: the grading process has ended before the ledger is closed.
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(design.ledger))
        log = design.logs / "audit-process.log"
        grading = stack.enter_context(GradingProcess(design.logs / "grade-process.log", say, design.engine))

        ledger.save_plan(plan.id, plan.cells, plan.title)
        ledger.save_document(plan.id, document.digest, document.model_dump(mode="json"))  # before any audit
        watch(SweepPlanned(len(plan.cells), len(ledger.have(plan.run_keys)), plan.trusted))
        passed_over: set[tuple[str, str]] = set()
        # Starting a process and opening a base costs seconds. Only code from outside could carry over what matters.
        shared = None if plan.plugins else stack.enter_context(AuditProcess(log, say, plan.asked))
        # In an order that no tool can foresee: none can wait for the kit that it is compared with.
        for kit in random.SystemRandom().sample(list(plan.stages), len(plan.stages)):
            cells = plan.stages[kit]
            with nullcontext(shared) if shared else AuditProcess(log, say, plan.asked) as auditing:
                _audit(ledger, plan, auditing, cells, watch)
            _grade(ledger, plan, grading, _keys(cells), passed_over, watch)
            watch(KitRated(kit, len(cells), _success(ledger, plan, cells)))

        # Once more, of all: what later audits did to the grades of earlier ones is found before it is summed up.
        _grade(ledger, plan, grading, plan.run_keys, passed_over, watch)
        # Sought among those that could be graded: each is tried on every testbed.
        sound = [row for row in ledger.audits(plan.run_keys) if row.run_key not in grading.failed]
        KeptConstant(design.out, plan.id, plan.grading, sound).seek(grading)
        keep_costs(ledger.audits(plan.run_keys))
        KeptEvidence(design.out, plan.grading).seek(ledger.audits(plan.run_keys))
        study = collect(
            ledger,
            plan.cells,
            plan.grading,
            out=design.out,
            plan=plan.id,
            document=document.digest,
            auditor=plan.title,
            seconds=time.monotonic() - started,
            passed_over=passed_over,
        )
        return replace(study, failed=dict(grading.failed))


def run_audit(design: Design, say: Say) -> AuditRow:
    """Runs a design of one cell, or finds it in the ledger; grades nothing. Raises as `run_sweep`."""

    def watch(event: Event) -> None:
        if isinstance(event, ProgressTold):
            say(event.text)

    [found] = run_audits(make_plan(design), watch)
    return found


def run_audits(plan: Plan, watch: Watch) -> list[AuditRow]:
    """Runs the audits of a plan that are not in its ledger; grades nothing.

    Args:
        plan: of the audits.
        watch: takes each event as it comes.

    Returns:
        The rows of all its cells.

    Raises:
        AssayError: a process ended, or the ledger cannot be written; what was finished is kept.
    """
    log = plan.design.logs / "audit-process.log"

    def process() -> AuditProcess:
        return AuditProcess(log, lambda text: watch(ProgressTold(text)), plan.asked)

    with Ledger.open(plan.design.ledger) as ledger, ExitStack() as stack:
        shared = None if plan.plugins else stack.enter_context(process())
        for cells in plan.stages.values():
            with nullcontext(shared) if shared else process() as auditing:
                _audit(ledger, plan, auditing, cells, watch)
        return ledger.audits(plan.run_keys)


def _audit(ledger: Ledger, plan: Plan, auditing: AuditProcess, cells: Sequence[Cell], watch: Watch) -> None:
    """Has what is missing of some cells played."""
    for row in auditing.play(plan.job(_missing(ledger, cells))):
        # Written before it is told of, and one at a time: a kill loses this row's audit at most.
        ledger.record(row)
        watch(AuditEnded(row))


def _grade(
    ledger: Ledger,
    plan: Plan,
    process: GradingProcess,
    run_keys: Iterable[str],
    passed_over: set[tuple[str, str]],
    watch: Watch,
) -> None:
    """Grades what has no grade that holds; adds to the grades that were passed over."""
    # Asked of the ledger, not of the rows that just came: a grade lost in an earlier kill is made up for.
    audits = ledger.audits(run_keys)
    by_key = {row.run_key: row for row in audits}
    held = plan.grading.current(ledger, audits)
    if new := held.passed_over - passed_over:
        watch(GradesPassedOver(len(new)))
        passed_over |= new
    for rows in process.grade(plan.grading.ungraded(audits, held)):
        ledger.grade(*rows)
        row = by_key[rows[0].run_key]
        score = _score(rows[0], plan.grading.families[row.alias]) if rows[0].role == "organism" else None
        watch(ReportGraded(row, bool(rows[0].raw), score))


def _keys(cells: Sequence[Cell]) -> list[str]:
    return [cell.run_key for cell in cells]


def _missing(ledger: Ledger, cells: Sequence[Cell]) -> list[Cell]:
    """Lists the cells whose audit is not recorded."""
    have = ledger.have(_keys(cells))
    return [cell for cell in cells if cell.run_key not in have]


def _success(ledger: Ledger, plan: Plan, cells: Sequence[Cell]) -> Estimate | None:
    """Estimates success over the organisms among some cells' testbeds."""
    held = plan.grading.current(ledger, ledger.audits(_keys(cells)))
    hits = {grade.run_key: grade for grade in held.rows if grade.tier == "hit"}
    scores: list[HitScore] = []
    for cell in cells:
        case = plan.grading.cases.get(cell.alias)
        if case is None or case.truth.role != "organism":
            continue
        # An audit without a report has no grade. It failed, and stays in the rate: leaving it out would flatter a kit
        # whose audits crash.
        hit = hits.get(cell.run_key)
        family = plan.grading.families[cell.alias]
        scores.append(_score(hit, family) if hit else HitScore(family, 0.0))
    return success(scores)


def _score(hit: GradeRow, family: str) -> HitScore:
    """Reads what counts of a grade of the tier `hit`."""
    return HitScore(family, hit.raw, hit.null, len(hit.details["swapped"]))
