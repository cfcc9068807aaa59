"""Commands that audit, grade and report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.designed import designed
from assay.cli.show import (
    AuditorName,
    Auxiliary,
    BudgetWords,
    EngineWords,
    GameName,
    Json,
    Judges,
    ModelConfig,
    ModelName,
    ModelPrice,
    Out,
    PluginFiles,
    Testbed,
    console,
    say,
    show,
    tell,
)

if TYPE_CHECKING:
    from assay.studies.api import Study
    from assay.studies.design import Design

audits = typer.Typer()


def _show(study: Study, as_json: bool) -> None:
    """Prints the summary's tables and where the page is."""

    from assay._util.paths import PAGE
    from assay.studies.page.terminal import terminal

    if as_json:
        show(study.summary.model_dump(mode="json"), True)
        return
    console().print(terminal(study.summary))
    if without := study.summary.without_truth:
        tell(f"{without} audits are of testbeds whose truth is not known here: kept, not graded")
    tell(str(study.out / PAGE))


def _tell_ungraded(study: Study) -> None:
    """Says which reports have no grade for a fault on the way, and ends with status 1 if there is one."""
    for run_key, why in sorted(study.failed.items()):
        say(f"report of audit {run_key[:12]}: not graded: {why}")
    if study.failed:
        say(f"{len(study.failed)} reports have no grade and count as misses; the same command tries them again")
        raise typer.Exit(1)


@audits.command()
def demo(out: Out = Path("demo"), game: GameName = "investigate", as_json: Json = False) -> None:
    """Which tool helps? A sweep of the explorer over the embedded suite, offline; a second run does nothing anew.

    The games red-team and evaluate have fewer kits.

    Example: assay demo
    """
    from assay.studies import api
    from assay.studies.design import DEMO_KITS, DEMO_TESTBEDS, GAME_KITS
    from assay.studies.progress import live

    say("one seed of each audit, to be done soon; assay sweep has three, which effects are shrunken by")
    with live(console(stderr=True)) as watch:
        kits = DEMO_KITS if game == "investigate" else GAME_KITS
        study = api.sweep(kits=kits, testbeds=DEMO_TESTBEDS, seeds=1, out=out, game=game, watch=watch)
    _show(study, as_json)
    _tell_ungraded(study)


@audits.command()
@designed
def sweep(design: Design, as_json: bool) -> None:
    """Audit testbeds with several kits, grade, and say what each tool adds.

    Example: assay sweep --kit chat --kit chat+my_tool --plugin examples/my_tool.py
    """
    from assay.studies.api import run_design
    from assay.studies.progress import live

    with live(console(stderr=True)) as watch:
        study = run_design(design, watch)
    _show(study, as_json)
    _tell_ungraded(study)


@audits.command()
@designed
def plan(design: Design, as_json: bool) -> None:
    """Say what a sweep would be before it runs: cells, cost, power, and the plan that would be stored.

    Of published testbeds that are not on this machine, cells and cost are counted alone.

    Example: assay plan --kit chat --kit chat+search --seeds 4
    """
    from assay.studies.forecast import forecast
    from assay.studies.outline import absent_published, outline

    absent = absent_published(design)
    told = outline(design, absent) if absent else forecast(design)
    if as_json:
        show(told.model_dump(mode="json"), True)
        return
    for line in told.lines():
        tell(line)


@audits.command()
def audit(
    testbed: Testbed,
    kit: Annotated[str, typer.Option(help="NAME(+NAME)*.")] = "chat",
    auditor: AuditorName = "explorer",
    seed: Annotated[int, typer.Option(help="Of the audit.")] = 0,
    plugin: PluginFiles = None,
    engine: EngineWords = "",
    game: GameName = "investigate",
    budget: BudgetWords = "",
    model: ModelName = "",
    model_config: ModelConfig = "",
    price: ModelPrice = "",
    auxiliary: Auxiliary = "",
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Run one audit and print its report; it is graded by assay grade, apart.

    Example: assay audit --testbed flattery-td --kit chat+search
    """
    from assay.audits.model_choice import choose_model
    from assay.core.budget import parse_budget
    from assay.core.record import as_json as plain
    from assay.studies import api

    found = api.audit(
        testbed,
        kit=kit,
        auditor=auditor,
        seed=seed,
        plugins=plugin or (),
        engine=engine,
        game=game,
        budget=parse_budget(budget),
        model=choose_model(model, model_config, price),
        auxiliary=auxiliary,
        out=out,
        say=say,
    )
    if as_json:
        show(plain(found.row), True)
    else:
        tell(str(found))


@audits.command()
def grade(
    out: Out = Path("runs"),
    reports: Annotated[
        Path | None, typer.Option(help='JSON lines of {"testbed": id, "report": {…}} made by another harness.')
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Grade a ledger's grades again on their nonces; say where they differ.")
    ] = False,
    judge: Judges = None,
    engine: EngineWords = "",
    as_json: Json = False,
) -> None:
    """Grade every report of a ledger, or a file of reports; audits are not run again. With --check compare instead.

    Exit status 1 says that some could not be graded; the others are.

    Example: assay grade --reports my_reports.jsonl
    """
    from dataclasses import asdict

    from assay.errors import InvalidInput
    from assay.studies import api
    from assay.studies.page.caveats import trusted

    if check and (reports or judge):
        raise InvalidInput("--check compares the grades of a ledger: give its --out, and no --reports or --judge.")
    if check:
        checked = api.check_grades(out, engine=engine, say=say)
        show([asdict(one) for one in checked], as_json, ("testbed", "kit", "hit", "again", "same"))
        raise typer.Exit(0 if all(one.same for one in checked) else 1)
    # --out has a default, so it is --reports that decides.
    source: dict[str, Path] = {"reports": reports} if reports else {"out": out}
    found = api.grade(**source, judges=judge or (), engine=engine, say=say)
    columns = ("testbed", "kit", "hit", "null", "findings", *(["judged"] if judge else []))
    show([asdict(one) | {"judged": one.judged} for one in found], as_json, columns)
    if plugins := {plugin for one in found for plugin in one.plugins}:
        say(trusted(sorted(plugins)))
    if not as_json:
        for machine in dict.fromkeys(one.machine for one in found):
            print(f"graded on {machine or 'an unknown machine'}")
    failed = [one for one in found if one.error]
    for one in failed:
        say(f"{one.testbed}: not graded: {one.error}")
    if failed:
        say(f"{len(failed)} of {len(found)} reports could not be graded; the same command tries them again")
        raise typer.Exit(1)


@audits.command()
def report(
    out: Out = Path("runs"),
    plan: Annotated[str, typer.Option(help="Id of a sweep of the same ledger; the one last run if not given.")] = "",
    judge: Judges = None,
    as_json: Json = False,
) -> None:
    """Write summary and page of a sweep anew from its ledger: of the one last run, or of an earlier one.

    With --judge what validated judges accept is a part of every hit; assay grade --judge has to come before.

    Example: assay report --out demo
    """
    from assay.studies import api
    from assay.studies.study import other_sweeps

    study = api.load_study(out, plan=plan, judges=judge or ())
    study.page()
    _show(study, as_json)
    say(f"this is sweep {study.plan}")
    for other in other_sweeps(study):
        kits = ", ".join(sorted({cell.kit for cell in other.cells}))
        say(f"another in {out}: --plan {other.id} (last run {other.last_run[:16]}, {other.auditor}; {kits})")
