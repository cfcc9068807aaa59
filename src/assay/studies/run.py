"""A sweep, from its design to its study. Interrupted at any moment, the same call goes on with what is missing.

The desk's process alone writes the ledger. Audits are played in a second process, which knows no answers; they are
graded in a third, which knows answers and models. Both get all they need by a pipe, and send rows back by a pipe.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from assay._util.progress import Say
from assay.audits.cell import Cell
from assay.core.record import AuditRow, as_json
from assay.studies.constant import constant_path, keep_constant, kept_constant
from assay.studies.design import Design
from assay.studies.effects.rates import Estimate, success
from assay.studies.ledger import Ledger
from assay.studies.plan import Plan, make_plan, require_controls
from assay.studies.processes import AuditProcess, GradingProcess
from assay.studies.study import Study, collect

Watch = Callable[[str, Mapping[str, Any]], None]


def run_sweep(design: Design, watch: Watch) -> Study:
    """Run what is missing, grade what is not graded, and sum up.

    Audits and grades that are in the ledger are not made again.

    Args:
        design: what to do.
        watch: told of `plan`, `say`, `audit`, `grade` and, after each graded stage, `rates`.

    Raises:
        UnknownId, InvalidInput, PluginError: the design cannot be run; before anything is spent.
        AssayError: a process ended, or the ledger cannot be written; what was finished is kept.
    """
    started = time.monotonic()
    plan = make_plan(design)
    require_controls(plan)

    def say(text: str) -> None:
        watch("say", {"text": text})

    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(design.ledger))
        auditing = stack.enter_context(AuditProcess(design.logs / "audit-process.log", say))
        grading = stack.enter_context(GradingProcess(design.logs / "grade-process.log", say, design.engine))

        ledger.save_plan(plan.id, [cell.model_dump() for cell in plan.cells])
        watch("plan", {"cells": len(plan.cells), "finished": len(ledger.have(plan.run_keys))})
        for stages in plan.batches():
            cells = [cell for stage in stages.values() for cell in stage]
            for row in auditing.play(plan.job(_missing(ledger, cells))):
                ledger.record(row)
                watch("audit", as_json(row))
            for rows in grading.grade(plan.grading.ungraded(ledger, _keys(cells))):
                ledger.grade(*rows)
                watch("grade", {"run_key": rows[0].run_key, "hit": bool(rows[0].raw)})
            for kit, stage in stages.items():
                watch("rates", {"kit": kit, "success": _success(ledger, plan, stage)})

        path = constant_path(design.out, plan.id, plan.grading.digest(plan.targets))
        if not path.is_file():
            keep_constant(path, grading.best_constant(plan.grading.reports(ledger.audits(plan.run_keys))))
        return collect(
            ledger,
            plan.cells,
            plan.grading,
            out=design.out,
            auditor=plan.auditor.title,
            seconds=time.monotonic() - started,
            best_constant=kept_constant(path),
        )


def run_audit(design: Design, say: Say) -> AuditRow:
    """Run a design of one cell, or find it in the ledger. Nothing is graded. Raises as `run_sweep`."""
    plan = make_plan(design)
    with Ledger.open(design.ledger) as ledger, AuditProcess(design.logs / "audit-process.log", say) as auditing:
        for row in auditing.play(plan.job(_missing(ledger, plan.cells))):
            ledger.record(row)
        [found] = ledger.audits(plan.run_keys)
    return found


def _keys(cells: Sequence[Cell]) -> list[str]:
    return [cell.run_key for cell in cells]


def _missing(ledger: Ledger, cells: Sequence[Cell]) -> list[Cell]:
    """Cells whose audit is not recorded."""
    have = ledger.have(_keys(cells))
    return [cell for cell in cells if cell.run_key not in have]


def _success(ledger: Ledger, plan: Plan, cells: Sequence[Cell]) -> Estimate | None:
    """Success over the organisms among some cells' testbeds."""
    grades = plan.grading.current(ledger, ledger.audits(_keys(cells)))
    hits = {grade.run_key: grade for grade in grades if grade.tier == "hit"}
    scores: list[tuple[str, float, float]] = []
    for cell in cells:
        truth = plan.grading.cases[cell.alias].truth if cell.alias in plan.grading.cases else None
        if truth is not None and truth.role == "organism":
            hit = hits.get(cell.run_key)
            scores.append((truth.family, hit.raw, hit.null) if hit else (truth.family, 0.0, 0.0))
    return success(scores)
