"""The static value of tools, without an agent: is the evidence of what was planted in what a tool shows?

A process that knows no answers drives every tool on every testbed and on the controls, under one budget. The grading
process has a fixed reader rank the suite's behaviours by each output alone.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from assay._util.progress import Say
from assay.audits.described import ToolInfo
from assay.audits.drive import DrivenRun
from assay.audits.driven import ENOUGH_TOKENS, MOST_CALLS, ToolOutput
from assay.core.access import Access
from assay.core.testbed import TargetSpec
from assay.engine.targets import Targets
from assay.errors import InvalidInput, UnknownId
from assay.grading.case import Case
from assay.grading.read_tools import OutputToRead, Reading, ReadJob, reader_digest
from assay.grading.tool_reader import READER
from assay.studies.grades import Grading
from assay.studies.offers import Offers, find_offers
from assay.studies.processes import GradingProcess
from assay.studies.static.agents import agent_effects
from assay.studies.static.estimates import by_worth, tool_value
from assay.studies.static.files import scores_folder
from assay.studies.static.outputs import drive_tools, run_of
from assay.studies.static.results import StaticCell, StaticValue, ToolValue
from assay.testbeds.specs import base_spec, load_spec
from assay.testbeds.suites import embedded_suite, find_suite
from assay.testbeds.truths import all_truths, find_alias
from assay.truth import REMOVED

SPLITS = ("reported", "tuning", "test")
_AT_ONCE = 200  # outputs that the reader is handed in one job


@dataclass(frozen=True)
class ScoreDesign:
    """Says what is to be scored.

    Attributes:
        tools: names; all that a reader without a language model can drive if empty.
        testbeds: ids or aliases; those of suite and split if empty.
        suite: whose testbeds; the embedded one if "".
        split: `reported`, `tuning` or `test`; all if "".
        plugins: files that define further tools.
        out: folder of the results.
        study: folder of a sweep whose effects are put beside; None for none.
        seed: of the calls.
        engine: words that choose the engine of all targets, "" to let each one's base choose.
    """

    tools: tuple[str, ...] = ()
    testbeds: tuple[str, ...] = ()
    suite: str = ""
    split: str = ""
    plugins: tuple[Path, ...] = ()
    out: Path = field(default_factory=scores_folder)
    study: Path | None = None
    seed: int = 0
    engine: str = ""


@dataclass(frozen=True)
class _Bench:
    """Holds what is scored.

    Attributes:
        tools: by name.
        cases: alias → testbed that is scored on.
        pool: aliases of the organisms whose behaviours are ranked: those of all suites that are scored on, whatever was
            chosen of them, so that a testbed scored alone has the rank that it has among all.
        controls: organism → the target that its output is compared with.
        targets: alias → all of these.
        runs: (tool, alias) → run.
        families: organism → cluster of inference.
        machine: that makes the replies.
    """

    tools: Mapping[str, ToolInfo]
    cases: Mapping[str, Case]
    pool: tuple[str, ...]
    controls: Mapping[str, str]
    targets: Mapping[str, TargetSpec]
    runs: Mapping[tuple[str, str], DrivenRun]
    families: Mapping[str, str]
    machine: str


def score_tools(design: ScoreDesign, say: Say) -> StaticValue:
    """Scores tools on testbeds; outputs that are kept in the design's folder are not made again.

    Args:
        design: what to score.
        say: told of progress, a line at a time.

    Raises:
        UnknownId: no such tool, testbed or suite.
        InvalidInput: nothing to score, a tool that cannot be driven, or a split that is none.
        AssayError: a process ended; what was finished is kept.
    """
    offers = find_offers(design.plugins)
    bench = _bench(design, offers)
    done = 0

    def ended(run: DrivenRun, output: ToolOutput) -> None:
        nonlocal done
        done += 1
        how = output.skipped or output.failed or f"{output.calls} calls, {output.cost.tokens} tokens"
        say(f"{done}: {run.tool} on {run.alias}: {how} ({output.seconds:.0f} s)")

    outputs = drive_tools(
        list(dict.fromkeys(bench.runs.values())),
        bench.targets,
        offers.files,
        design.out,
        engine=design.engine,
        say=say,
        ended=ended,
    )
    readings = _read(bench, outputs, design.out, say)
    cells = [_cell(bench, tool, alias, outputs, readings) for tool, alias in product(bench.tools, bench.cases)]
    effects = agent_effects(design.study) if design.study else {}
    values: list[ToolValue] = []
    for name, info in bench.tools.items():
        value = tool_value(info, [cell for cell in cells if cell.tool == name])
        values.append(value.model_copy(update={"agent": effects.get(name, ())}))
    return StaticValue(
        reader=READER,
        reader_digest=reader_digest(),
        pool=len(bench.pool),
        calls=MOST_CALLS,
        tokens=ENOUGH_TOKENS,
        seed=design.seed,
        date=datetime.date.today().isoformat(),
        machine=bench.machine,
        plugins=tuple(source.label for source in offers.files),
        study=str(design.study or ""),
        tools=by_worth(values),
        cells=tuple(cells),
    )


def _bench(design: ScoreDesign, offers: Offers) -> _Bench:
    grading = Grading.now()
    tools = _tools(design.tools, offers)
    chosen = _testbeds(design, grading)
    controls: dict[str, str] = {}
    targets = {alias: load_spec(alias) for alias in chosen}
    for alias, case in chosen.items():
        if case.behaviours and case.truth.control.alias != REMOVED:
            control = _control(case, targets[alias])
            controls[alias] = control.alias
            targets.setdefault(control.alias, control)
    with closing(Targets(engine=design.engine)) as opener:
        identities = {alias: opener.identity(spec) for alias, spec in targets.items()}
        machine = opener.machine(next(iter(targets.values())))
    runs: dict[tuple[str, str], DrivenRun] = {}
    for alias, spec in targets.items():
        for name, info in tools.items():
            runs[name, alias] = run_of(info, spec, identities[alias], design.seed)
    return _Bench(tools, chosen, _pool(chosen, grading), controls, targets, runs, grading.families, machine)


def _tools(names: Sequence[str], offers: Offers) -> dict[str, ToolInfo]:
    """Finds the tools to be scored.

    Raises:
        UnknownId: there is no such tool.
        InvalidInput: one that was named cannot be driven.
    """
    for name in names:
        if name not in offers.tools:
            raise UnknownId("tool", name, offers.tools)
        if not offers.tools[name].drivable:
            raise InvalidInput(
                f"tool {name} cannot be scored: it takes arguments that only an LLM finds; see examples=."
            )
    found = {name: offers.tools[name] for name in (names or sorted(offers.tools))}
    return {name: info for name, info in found.items() if info.drivable}


def _testbeds(design: ScoreDesign, grading: Grading) -> dict[str, Case]:
    """Finds the testbeds to be scored on, the organisms' aliases among them."""
    if design.split and design.split not in SPLITS:
        raise InvalidInput(f"split {design.split!r}: there are {', '.join(SPLITS)}.")
    if design.testbeds:
        aliases = list(dict.fromkeys(map(find_alias, design.testbeds)))
    else:
        truths = all_truths(find_suite(design.suite) if design.suite else embedded_suite())
        aliases = [truth.alias for truth in truths if design.split in ("", truth.split)]
    unread = [alias for alias in aliases if alias not in grading.cases]
    if design.testbeds and unread:
        raise InvalidInput(f"nothing can be scored on {unread[0]}: its truth cannot be read here.")
    found = {alias: grading.cases[alias] for alias in aliases if alias in grading.cases}
    if not found:
        raise InvalidInput("there is no testbed to score on: name some with --testbed, or another suite or split.")
    return found


def _control(case: Case, spec: TargetSpec) -> TargetSpec:
    """Returns what an organism's output is compared with: its twin, or the base with all that the organism grants.

    The base has no training data of its own to be searched.
    """
    if case.truth.control.alias != "base":
        return load_spec(case.truth.control.alias)
    return replace(base_spec(spec.base), access=spec.access - {Access.TRAINING_DATA})


def _read(bench: _Bench, outputs: Mapping[str, ToolOutput], out: Path, say: Say) -> dict[str, Reading]:
    """Has all outputs read: key → reading."""
    truths: defaultdict[str, list[str]] = defaultdict(list)  # target → organisms whose truth is looked for in it
    for alias, case in bench.cases.items():
        if case.behaviours:
            truths[alias].append(alias)
    for organism, control in bench.controls.items():
        truths[control].append(organism)
    asked: dict[str, OutputToRead] = {}
    for (_, alias), run in bench.runs.items():
        if outputs[run.key].calls:
            asked[run.key] = OutputToRead(key=run.key, output=outputs[run.key], truths=truths[alias])
    waiting = list(asked.values())
    found: dict[str, Reading] = {}
    say(f"reading {len(waiting)} outputs")
    with GradingProcess(out / "grade-process.log", say) as process:
        for first in range(0, len(waiting), _AT_ONCE):
            job = ReadJob(outputs=waiting[first : first + _AT_ONCE], pool=list(bench.pool))
            found |= {reading.key: reading for reading in process.read_tools(job)}
    return found


def _pool(chosen: Mapping[str, Case], grading: Grading) -> tuple[str, ...]:
    suites = {_suite(case) for case in chosen.values()}
    return tuple(alias for alias, case in grading.cases.items() if case.behaviours and _suite(case) in suites)


def _suite(case: Case) -> str:
    return case.truth.id.partition("/")[0]


def _cell(
    bench: _Bench, tool: str, alias: str, outputs: Mapping[str, ToolOutput], readings: Mapping[str, Reading]
) -> StaticCell:
    truth = bench.cases[alias].truth
    key = bench.runs[tool, alias].key
    output, reading = outputs[key], readings.get(key)
    own = reading.own.get(alias) if reading else None
    control = bench.controls.get(alias, "")
    beside = readings.get(bench.runs[tool, control].key) if control else None
    twin = beside.own.get(alias) if beside else None
    by_itself = reading.control.get(alias) if reading else None
    return StaticCell(
        tool=tool,
        testbed=truth.id,
        role=truth.role,
        family=bench.families.get(alias, truth.family),
        method=truth.method,
        split=truth.split,
        auroc=own.auroc if own else None,
        first=float(own.first) if own else None,
        chance=own.chance if own else None,
        twin=twin.auroc if twin else None,
        twin_first=float(twin.first) if twin else None,
        own_control=by_itself.auroc if by_itself else None,
        named=bool(reading and reading.named),
        calls=output.calls,
        tokens=output.cost.tokens,
        prepared=output.prepared,
        seconds=output.seconds,
        skipped=output.skipped,
        failed=output.failed,
    )
