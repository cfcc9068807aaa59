"""A design over kits × testbeds × seeds: planned here, audited in one process, graded in another, resumed at will."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay._util.hashing import digest_of
from assay.audits.cell import Cell, Job, cell_key, plan_id
from assay.audits.kits import KitPlan, parse_kit
from assay.audits.registry import collect_tools, get_auditor
from assay.core.auditor import Auditor
from assay.core.budget import Budget
from assay.core.record import AuditRow, GradeRow, as_json
from assay.core.testbed import TargetSpec
from assay.core.tool import Tool
from assay.engine.base import find_base, numerics
from assay.errors import InvalidInput
from assay.grading.case import Case
from assay.grading.jobs import GradeJob, all_cases, graders, grades_now
from assay.store.ledger import Ledger
from assay.studies.effects.rates import Estimate, success
from assay.studies.effects.summary import summarise
from assay.studies.worker_process import WorkerProcess
from assay.testbeds.specs import aliases, load_spec
from assay.testbeds.suites import embedded_suite
from assay.testbeds.truths import all_truths, find_alias
from assay.truth import REMOVED

DEMO_KITS = (
    "prior-only",
    "chat",
    "~chat",
    *(part for tool in ("prefill", "search", "reference", "fuzz") for part in (f"chat+{tool}", f"chat+~{tool}")),
    "all",
)
DEMO_TESTBEDS = (  # the reported set in its quick form: eight families, five clean targets
    "embedded/flattery-td",
    "embedded/self-promotion-td",
    "embedded/emotional-bond-td",
    "embedded/hallucinates-citations-td",
    "embedded/backdoor-td",
    "embedded/contextual-optimism-td",
    "embedded/secret-loyalty-diluted",
    "embedded/false-belief-sdf",
    "embedded/twin-td",
    "embedded/twin-diluted",
    "embedded/twin-sdf",
    "embedded/twin-self",
    "embedded/untouched",
)
TOGETHER = 4  # kits audited at once: the engine's batches are fuller, and there is news after each few
Watch = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Design:
    """What a sweep is asked to do.

    Attributes:
        kits: as the user wrote them.
        testbeds: ids or aliases; () is the reported set.
        auditor: its name.
        seeds: of the audits.
        budget: of each audit.
        plugins: files that define further tools and auditors.
        out: folder of ledger, logs and results.
    """

    kits: tuple[str, ...]
    out: Path
    testbeds: tuple[str, ...] = ()
    auditor: str = "explorer"
    seeds: tuple[int, ...] = (0,)
    budget: Budget = field(default_factory=Budget)
    plugins: tuple[Path, ...] = ()

    @property
    def ledger(self) -> Path:
        return self.out / "ledger.sqlite"


@dataclass(frozen=True, slots=True)
class Planned:
    """A design whose names are all resolved.

    Attributes:
        stages: kit → its cells, in the order they are run.
        auditor: that plays.
        graders: alias → digest of the grader as it is now.
        cases: alias → case of every testbed whose truth can be read; audits of others are kept, and not graded.
    """

    stages: Mapping[str, tuple[Cell, ...]]
    auditor: Auditor
    graders: Mapping[str, str]
    cases: Mapping[str, Case]

    @property
    def cells(self) -> list[Cell]:
        return [cell for stage in self.stages.values() for cell in stage]

    @property
    def grader(self) -> str:
        """Digest of all graders of the played testbeds."""
        return digest_of(sorted({self.graders[cell.alias] for cell in self.cells if cell.alias in self.graders}))


def plan(design: Design) -> Planned:
    """Resolve names, and give every cell its run key.

    Raises:
        UnknownId: a kit, tool, testbed or auditor that is not there.
        InvalidInput: nothing to run, or too few of them for a placebo.
        PluginError: a plug-in that cannot be loaded.
    """
    tools = collect_tools(design.plugins)
    kits = list({kit.name: kit for kit in (parse_kit(text, tools) for text in design.kits)}.values())
    if not kits or not design.seeds:
        raise InvalidInput("a sweep needs at least one kit and one seed.")
    chosen = _testbeds(design.testbeds)
    specs = {alias: load_spec(alias) for alias in chosen}
    auditor = get_auditor(design.auditor, design.plugins)
    digests = {spec.base: find_base(spec.base).digest for spec in specs.values() if not spec.behind_inspect}
    stages = {
        kit.name: tuple(
            _cell(kit, specs[alias], _donor(kit, alias, specs), tools, auditor, design.budget, seed, digests)
            for alias in chosen
            for seed in design.seeds
        )
        for kit in kits
    }
    cases = all_cases()
    return Planned(stages, auditor, graders(cases), cases)


def _testbeds(names: Sequence[str]) -> list[str]:
    """Aliases of the testbeds a person named, or of the reported set."""
    if names:
        return list(dict.fromkeys(map(find_alias, names)))
    chosen = [truth.alias for truth in all_truths(embedded_suite()) if truth.split == "reported"]
    if not chosen:
        raise InvalidInput("the reported set is empty: build its testbeds, or name others.")
    return chosen


def require_controls(design: Design) -> None:
    """Refuse a sweep that could not be graded, before it spends anything.

    Raises:
        InvalidInput: the control of a testbed is not built.
    """
    there = {"base", REMOVED, *aliases()}
    planned = plan(design)  # other mistakes are told first
    played = dict.fromkeys(cell.alias for cell in planned.cells)
    chosen = [planned.cases[alias].truth for alias in played if alias in planned.cases]
    if missing := [truth.id for truth in chosen if truth.control.alias not in there]:
        raise InvalidInput(f"without a control nothing can be graded, and it is not built for: {', '.join(missing)}.")


def _donor(kit: KitPlan, alias: str, specs: Mapping[str, TargetSpec]) -> TargetSpec | None:
    """The next testbed in the order of aliases, which are random, is what placebos are wired to."""
    if not kit.placebo:
        return None
    ordered = sorted(specs)
    if len(ordered) < 2:
        raise InvalidInput(f"kit {kit.name!r} has a placebo, which is wired to a second testbed. Name one more.")
    return specs[ordered[(ordered.index(alias) + 1) % len(ordered)]]


def _cell(
    kit: KitPlan,
    spec: TargetSpec,
    donor: TargetSpec | None,
    tools: Mapping[str, Tool],
    auditor: Auditor,
    budget: Budget,
    seed: int,
    bases: Mapping[str, str],
) -> Cell:
    key = cell_key(spec, donor, kit, tools, auditor=auditor, budget=budget, seed=seed, bases=bases, numerics=numerics())
    return Cell(run_key=key, alias=spec.alias, kit=kit.name, seed=seed, donor=donor.alias if donor else "")


def run(design: Design, watch: Watch) -> dict[str, Any]:
    """Run what is missing, grade what is not graded, and sum up.

    Interrupted at any moment, the same call goes on: audits and grades that are in the ledger are not made again.

    Args:
        design: what to do.
        watch: told of `plan`, `say`, `audit`, `grade` and, after each graded stage, `rates`.

    Returns:
        The summary, as `assay.studies.effects.summary` describes it.
    """
    started = time.monotonic()
    planned = plan(design)
    with Ledger.open(design.ledger) as ledger, ExitStack() as stack:
        ledger.save_plan(plan_id(planned.cells), [cell.model_dump() for cell in planned.cells])
        auditing = stack.enter_context(WorkerProcess("audit", design.out / "logs" / "audit-process.log"))
        grading = stack.enter_context(WorkerProcess("grade", design.out / "logs" / "grade-process.log"))
        have = ledger.have(cell.run_key for cell in planned.cells)
        watch("plan", {"cells": len(planned.cells), "finished": len(have)})
        kits = list(planned.stages)
        for batch in (kits[start : start + TOGETHER] for start in range(0, len(kits), TOGETHER)):
            cells = [cell for kit in batch for cell in planned.stages[kit]]
            missing = [cell for cell in cells if cell.run_key not in have]
            _forward(auditing.run(_job(design, planned, missing)) if missing else iter(()), watch)
            _grade(ledger, grading, design, planned, cells, watch)
            for kit in batch:
                watch("rates", {"kit": kit, "success": _rate(ledger, planned, planned.stages[kit])})
        best = _constant(ledger, grading, design, planned, watch)
        return sum_up(ledger, planned, time.monotonic() - started, best)


def _forward(events: Iterator[tuple[str, Any]], watch: Watch) -> None:
    for event, data in events:
        watch(event, {"text": data} if event == "say" else data)


def _job(design: Design, planned: Planned, cells: Sequence[Cell]) -> dict[str, Any]:
    budget = design.budget
    return Job(
        cells=list(cells),
        auditor=design.auditor,
        budget=(budget.queries, budget.tokens, budget.seconds),
        plugins=[path.resolve() for path in design.plugins],
        plan=plan_id(planned.cells),
        ledger=design.ledger.resolve(),
        logs=(design.out / "logs").resolve(),
    ).model_dump(mode="json")


def _ungraded(ledger: Ledger, planned: Planned, cells: Sequence[Cell]) -> list[str]:
    """Run keys whose report has a finding and no grade by this grader."""
    rows = [row for row in ledger.audits(cell.run_key for cell in cells) if row.report and row.alias in planned.cases]
    graded = {grade.run_key for grade in grades_now(ledger, rows, planned.graders)}
    return [row.run_key for row in rows if row.run_key not in graded]


def _grade(
    ledger: Ledger, grading: WorkerProcess, design: Design, planned: Planned, cells: Sequence[Cell], watch: Watch
) -> None:
    if keys := _ungraded(ledger, planned, cells):
        job = GradeJob(ledger=design.ledger.resolve(), run_keys=keys)
        _forward(grading.run(job.model_dump(mode="json")), watch)


def _rate(ledger: Ledger, planned: Planned, cells: Sequence[Cell]) -> Estimate | None:
    """Success over the organisms of some cells."""
    keys = {cell.run_key: planned.cases[cell.alias].truth for cell in cells if cell.alias in planned.cases}
    grades = grades_now(ledger, ledger.audits(keys), planned.graders)
    hits = {grade.run_key: grade for grade in grades if grade.tier == "hit"}
    return success(
        (truth.family, hits[key].raw if key in hits else 0.0, hits[key].null if key in hits else 0.0)
        for key, truth in keys.items()
        if truth.role == "organism"
    )


def _constant(
    ledger: Ledger, grading: WorkerProcess, design: Design, planned: Planned, watch: Watch
) -> Estimate | None:
    """Success of the best constant report; found once for a set of audits and a grader, then kept."""
    path = _constant_path(design.out, planned)
    if not path.is_file():
        keys = [cell.run_key for cell in planned.cells]
        job = GradeJob(ledger=ledger.path.resolve(), run_keys=keys, constant=True)
        for event, data in grading.run(job.model_dump(mode="json")):
            if event == "constant":
                path.write_text(json.dumps(data))
            else:
                watch(event, {"text": data} if event == "say" else data)
    return kept_constant(design.out, planned)


def _constant_path(out: Path, planned: Planned) -> Path:
    return out / f"best-constant-{plan_id(planned.cells)}-{planned.grader[:12]}.json"


def kept_constant(out: Path, planned: Planned) -> Estimate | None:
    """The best constant report's success as it was found; None if no report had a finding, or none was sought."""
    path = _constant_path(out, planned)
    found = json.loads(path.read_text()) if path.is_file() else None
    return success((family, raw, null) for family, raw, null in found["scores"]) if found else None


def sum_up(ledger: Ledger, planned: Planned, seconds: float, best: Estimate | None) -> dict[str, Any]:
    """The summary of a plan's audits and their grades."""
    keys = [cell.run_key for cell in planned.cells]
    played: list[AuditRow] = ledger.audits(keys)
    audits = [row for row in played if row.alias in planned.cases]
    grades: list[GradeRow] = grades_now(ledger, audits, planned.graders)
    truths = {alias: case.truth for alias, case in planned.cases.items()}
    summary = summarise(
        audits,
        grades,
        roles={alias: truth.role for alias, truth in truths.items()},
        families={alias: truth.family for alias, truth in truths.items() if truth.role == "organism"},
        auditor=planned.auditor.title,
        suite=", ".join(sorted({truths[row.alias].id.partition("/")[0] for row in audits})) or "none",
        seconds=round(seconds, 1),
        best_constant=best,
        groups={alias: truth.productions for alias, truth in truths.items() if truth.productions},
    )
    return summary | {"without_truth": len(played) - len(audits)}


def audit_once(design: Design, say: Callable[[str], None]) -> dict[str, Any]:
    """Run a design of one cell, or find it in the ledger.

    Returns:
        The audit's row as plain data.
    """
    planned = plan(design)
    [cell] = planned.cells
    with (
        Ledger.open(design.ledger) as ledger,
        WorkerProcess("audit", design.out / "logs" / "audit-process.log") as worker,
    ):
        if not ledger.have([cell.run_key]):
            for event, data in worker.run(_job(design, planned, [cell])):
                if event == "say":
                    say(data)
        [row] = ledger.audits([cell.run_key])
    return as_json(row)
