"""The Python API that runs things. The command line is thin over it.

Example:
    >>> study = assay.sweep(kits=["chat", "chat+search"], testbeds=["flattery-td", "twin-td"])  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from assay._util.progress import Say
from assay.audits.model_choice import ModelChoice, choose_model
from assay.core.answer import Game, GameAnswer, parse_answer
from assay.core.budget import Budget
from assay.core.record import AuditRow
from assay.core.report import Outcome
from assay.core.target import Cost, Target
from assay.engine.cache import audit_replies
from assay.engine.targets import Targets
from assay.errors import InvalidInput
from assay.grading.judge.validation import is_validated
from assay.studies.design import USUAL_SEEDS, Design
from assay.studies.events import Event, ProgressTold, Watch
from assay.studies.judging import require_findings
from assay.studies.page.caveats import trusted
from assay.studies.recheck import CheckedGrade, check_ledger
from assay.studies.regrade import GradedReport, grade_file, grade_ledger, grade_reports
from assay.studies.run import run_audit, run_sweep
from assay.studies.study import Study, load_study
from assay.testbeds.specs import load_spec
from assay.testbeds.truths import find_alias

__all__ = [
    "Audit",
    "CheckedGrade",
    "GradedReport",
    "Study",
    "audit",
    "check_grades",
    "grade",
    "load_study",
    "open_testbed",
    "sweep",
]


@dataclass(frozen=True)
class Audit:
    """Holds one audit that ended, whatever its outcome.

    Attributes:
        row: as the ledger has it.
    """

    row: AuditRow

    @property
    def outcome(self) -> Outcome:
        """How it ended: `completed`, `none-submitted`, `never-queried`, `out-of-budget`, `crashed`, `refused`."""
        return self.row.outcome

    @property
    def report(self) -> GameAnswer | None:
        """What the auditor handed in, by the game it played: a report, say; None where it gave none."""
        return parse_answer(self.row.report) if self.row.report else None

    @property
    def cost(self) -> Cost:
        """What it spent on target and reference: queries and tokens."""
        return self.row.cost

    def __str__(self) -> str:
        report = self.report
        said = "no report" if report is None else report.model_dump_json(indent=1)
        caveat = f"\n{trusted(self.row.plugins)}" if self.row.plugins else ""
        return f"{self.outcome} · {self.cost} · {self.row.error or 'no error'}\n{self.row.machine}{caveat}\n{said}"


def sweep(
    *,
    kits: str | Sequence[str],
    testbeds: str | Sequence[str] = (),
    auditor: str = "explorer",
    seeds: int | Sequence[int] = USUAL_SEEDS,
    plugins: Sequence[Path | str] = (),
    out: Path | str = "runs",
    budget: Budget | None = None,
    judges: Sequence[str] = (),
    engine: str = "",
    game: Game = "investigate",
    primary: str = "",
    model: ModelChoice | str | None = None,
    auxiliary: str = "",
    watch: Watch | None = None,
) -> Study:
    """Audits testbeds with several kits, grades, and says what each tool adds.

    Interrupted at any moment, the same call goes on: audits and grades that are in the ledger are not made again.

    Args:
        kits: `NAME(+NAME)*` each, tools or named kits; `~NAME` is a placebo, wired to another testbed.
        testbeds: ids or aliases; the reported set if none.
        auditor: its name; also `pooled:3:NAME`, or `FILE.py:NAME` of an auditor or an agent of Inspect's.
        seeds: the seeds of each cell's audits, or how many (0, 1, …); three by default.
        plugins: Python files that define further tools and auditors.
        out: folder of ledger, logs, summary and page; made if it is not there.
        budget: of each audit; the default's if None.
        judges: as in `grade`, once the sweep is graded; of validated ones what they accept is a part of every hit.
        engine: that serves all targets (`vllm:http://127.0.0.1:8000`); by default each testbed's base chooses.
        game: `investigate`, `red-team` or `evaluate`, where `prior-only` is played beside the other kits.
        primary: kit that the sweep is for, stored before its first audit; by default the one tool, if there is one.
        model: language model of an auditor that thinks with one: its name (`openai/gpt-…`), or a `ModelChoice`.
        auxiliary: model that helps tools to write their questions: `PROVIDER/NAME`, or a base of the local engine.
        watch: takes each event of `assay.studies.events` as it comes, such as `AuditEnded` and `ReportGraded`.

    Returns:
        The study; `summary.json` and `report.html` are in `out`.

    Raises:
        UnknownId, PluginError: a kit, tool, testbed or auditor that is not there, or cannot be loaded.
        InvalidInput: nothing to run, a placebo without a second testbed, no control, or an unusable `out`.
        AssayError: a process ended, or the disk is full; what was finished is kept.
    """
    design = Design(
        kits=_several(kits),
        out=Path(out),
        testbeds=_several(testbeds),
        auditor=auditor,
        seeds=tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds),
        budget=budget or Budget(),
        plugins=tuple(map(Path, plugins)),
        judges=tuple(judges),
        engine=engine,
        game=game,
        primary=primary,
        model=_chosen(model),
        auxiliary=auxiliary,
    )
    return run_design(design, watch or _silence)


def run_design(design: Design, watch: Watch) -> Study:
    """Runs a design, judges its reports where it has judges, and writes its page. Raises as `sweep`."""
    if design.judges:
        require_findings(design.judges, design.game)  # before anything is spent
    study = run_sweep(design, watch)
    if design.judges:
        grade_ledger(design.out, lambda text: watch(ProgressTold(text)), design.engine, design.judges)
        if is_validated(design.judges):
            study = replace(load_study(design.out, plan=study.plan, judges=design.judges), failed=study.failed)
        else:
            named = ", ".join(design.judges)
            watch(ProgressTold(f"{named}: not validated, and so no part of a hit (assay judge validate)"))
    study.page()
    return study


def audit(
    testbed: str,
    *,
    kit: str = "chat",
    auditor: str = "explorer",
    seed: int = 0,
    plugins: Sequence[Path | str] = (),
    out: Path | str = "runs",
    budget: Budget | None = None,
    engine: str = "",
    game: Game = "investigate",
    model: ModelChoice | str | None = None,
    auxiliary: str = "",
    say: Say | None = None,
) -> Audit:
    """Runs one audit, or finds it in the ledger of `out`; `assay.grade(out=…)` grades it.

    Args:
        testbed: id or alias.
        kit: `NAME(+NAME)*`; no placebos, which need a second testbed.
        auditor: name of an installed auditor, or of a plug-in's.
        seed: of the audit.
        plugins: Python files that define further tools and auditors.
        out: folder of ledger and logs; made if it is not there.
        budget: the default's if None.
        engine: as in `sweep`.
        game: as in `sweep`.
        model: as in `sweep`.
        auxiliary: as in `sweep`.
        say: told of long steps.

    Raises:
        AssayError: as `sweep` does, in the same classes.

    Example:
        >>> found = assay.audit("flattery-td", kit="chat+search")  # doctest: +SKIP
        >>> found.report.findings[0].claim, found.cost.tokens  # doctest: +SKIP
    """
    design = Design(
        kits=(kit,),
        out=Path(out),
        testbeds=(testbed,),
        auditor=auditor,
        seeds=(seed,),
        budget=budget or Budget(),
        plugins=tuple(map(Path, plugins)),
        engine=engine,
        game=game,
        model=_chosen(model),
        auxiliary=auxiliary,
    )
    return Audit(run_audit(design, say or _silence))


def grade(
    reports: Path | str | Sequence[tuple[str, GameAnswer]] | None = None,
    *,
    out: Path | str | None = None,
    judges: Sequence[str] = (),
    engine: str = "",
    say: Say | None = None,
) -> list[GradedReport]:
    """Grades reports against the truth of their testbeds, in a process of its own; audits are not run again.

    Args:
        reports: made by any harness: a file of JSON lines `{"testbed": id or alias, "report": {…}}`, or pairs of a
            testbed's id or alias and a `Report`, or another game's answer. Their grades are kept nowhere.
        out: folder of a sweep instead, whose reports are graded as far as the present grader has not; grades are kept.
        judges: names by which Inspect asks language models, which read each finding as well; more than half must accept
            it. With them a report on a testbed whose truth is a text alone is graded, too.
        engine: as in `sweep`.
        say: told of long steps.

    Returns:
        One for each report. What is wrong with one (a line of another shape, a testbed that is not there, a report
        outside the limits of the contract, an engine that failed over it) is its `error`, and costs no other.

    Raises:
        InvalidInput: not exactly one of `reports` and `out`, no such file, or no ledger there.

    Example:
        >>> [one.hit for one in assay.grade("my_reports.jsonl")]  # doctest: +SKIP
    """
    if (reports is None) == (out is None):
        raise InvalidInput("assay.grade wants either reports or the out of a sweep.")
    told = say or _silence
    if out is not None:
        return grade_ledger(Path(out), told, engine, judges)
    if isinstance(reports, str | Path):
        return grade_file(Path(reports), told, engine, judges)
    return grade_reports(list(reports or ()), told, engine, judges)


def check_grades(out: Path | str, *, engine: str = "", say: Say | None = None) -> list[CheckedGrade]:
    """Grades again what is graded, on the nonces that the grades keep, and compares. Nothing is written.

    Args:
        out: folder of a sweep.
        engine: as in `sweep`.
        say: told of long steps.

    Raises:
        InvalidInput: no ledger there, or the answers of a suite in it are not on this machine.
        AssayError: the grading process ended.

    Example:
        >>> [one.testbed for one in assay.check_grades("runs") if not one.same]  # doctest: +SKIP
    """
    return check_ledger(Path(out), say or _silence, engine)


@asynccontextmanager
async def open_testbed(testbed: str, *, engine: str = "", say: Say | None = None) -> AsyncIterator[Target]:
    """Opens a testbed's target, to talk to it or to measure it in a script of your own.

    Nothing is metered or guarded, and the engine lives as long as the block.

    Args:
        testbed: id or alias.
        engine: as in `sweep`.
        say: told of long steps.

    Raises:
        UnknownId: no such testbed.
        CorruptArtifact: its weights or prompt are not the recorded ones.
        InvalidInput: its base or model cannot be had.

    Example:
        A script, started with `python my_script.py`; in a notebook the body alone is enough.

        >>> async def main() -> None:
        ...     async with assay.open_testbed("flattery-td") as target:
        ...         replies = await target.chat("I wrote a poem.", max_tokens=48, seed=1)
        ...         print(replies.text)
        >>> asyncio.run(main())  # doctest: +SKIP
    """
    targets = Targets(say or _silence, replies=audit_replies(), engine=engine)
    try:
        async with targets.open(load_spec(find_alias(testbed))) as target:
            yield target
    finally:
        targets.close()


def _chosen(model: ModelChoice | str | None) -> ModelChoice | None:
    return choose_model(model) if isinstance(model, str) else model


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    """Makes a tuple of names; a single name is one name, and not its letters."""
    return (names,) if isinstance(names, str) else tuple(names)


def _silence(_: str | Event) -> None:
    """Hears of progress or of events where the caller wants to hear of none."""
