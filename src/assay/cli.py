"""The `assay` command. Every command is one call into `assay.lab`; what is heavy is imported inside it."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Alignment auditing with a number that goes up: which tool makes an auditor succeed more often?",
)
organism = typer.Typer(no_args_is_help=True, help="Build and check model organisms.")
tools = typer.Typer(invoke_without_command=True)
app.add_typer(organism, name="organism")
app.add_typer(tools, name="tools")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the ledger, the logs and the results.")]
Plugin = Annotated[list[Path] | None, typer.Option("--plugin", help="Python file that defines tools; repeatable.")]
Testbed = Annotated[str, typer.Option("--testbed", help="Id or alias; see assay testbeds.")]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(data: Any, as_json: bool, columns: tuple[str, ...] = ()) -> None:
    """Data as one JSON document, or as a table of the given columns."""
    if as_json:
        print(json.dumps(data, indent=1, ensure_ascii=False, default=str))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold")
    if data:  # what the next command is given must not be cut, however narrow the terminal
        table.columns[0].min_width = max(len(str(row[columns[0]])) for row in data)
    for row in data:
        table.add_row(*(str(row[column]) for column in columns))
    Console().print(table)


def _sweep(design: Any, as_json: bool) -> None:
    """Run a design with live progress; print the table and where the page is."""
    from rich.console import Console

    from assay.lab.output import write_results
    from assay.lab.progress import live
    from assay.lab.sweep import require_controls, run
    from assay.results.terminal import terminal

    require_controls(design)
    with live(Console(stderr=True)) as watch:
        summary = run(design, watch)
    _, page = write_results(summary, design.out)
    if as_json:
        _show(summary, True)
    else:
        Console().print(terminal(summary))
        print(page)


@app.command()
def demo(out: Out = Path("demo"), as_json: Json = False) -> None:
    """Which tool helps? A sweep of the explorer over the embedded suite, offline; a second run does nothing anew.

    Example: assay demo
    """
    from assay.lab.sweep import DEMO_KITS, DEMO_TESTBEDS, Design

    _sweep(Design(kits=DEMO_KITS, out=out, testbeds=DEMO_TESTBEDS), as_json)


@app.command()
def sweep(
    kits: Annotated[list[str], typer.Option("--kits", help="NAME(+NAME)*; ~NAME is a placebo; repeatable.")],
    testbeds: Annotated[list[str] | None, typer.Option("--testbeds", help="Ids; the reported set if none.")] = None,
    auditor: Annotated[str, typer.Option(help="See assay auditors.")] = "explorer",
    seeds: Annotated[int, typer.Option(min=1, help="Audits of each cell.")] = 1,
    plugin: Plugin = None,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Audit testbeds with several kits, grade, and say what each tool adds.

    Example: assay sweep --kits chat --kits chat+my_tool --plugin examples/my_tool.py
    """
    from assay.lab.sweep import Design

    design = Design(
        kits=tuple(kits),
        out=out,
        testbeds=tuple(testbeds or ()),
        auditor=auditor,
        seeds=tuple(range(seeds)),
        plugins=tuple(plugin or ()),
    )
    _sweep(design, as_json)


@app.command()
def audit(
    testbed: Testbed,
    kit: Annotated[str, typer.Option(help="NAME(+NAME)*.")] = "chat",
    auditor: Annotated[str, typer.Option(help="See assay auditors.")] = "explorer",
    seed: int = 0,
    plugin: Plugin = None,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Run one audit and print its report; it is graded by assay grade, apart.

    Example: assay audit --testbed flattery-td --kit chat+search
    """
    from assay.lab.sweep import Design, audit_once

    row = audit_once(Design((kit,), out, (testbed,), auditor, (seed,), plugins=tuple(plugin or ())), _say)
    if as_json:
        _show(row, True)
    else:
        print(f"{row['outcome']} · {row['cost']} · {row['error'] or 'no error'}")
        print(json.dumps(json.loads(row["report"]), indent=1, ensure_ascii=False) if row["report"] else "no report")


@app.command()
def grade(
    out: Out = Path("runs"),
    reports: Annotated[
        Path | None, typer.Option(help='JSON lines of {"testbed": id, "report": {…}} made by another harness.')
    ] = None,
    as_json: Json = False,
) -> None:
    """Grade every report of a ledger, or a file of reports; audits are not run again.

    Example: assay grade --reports my_reports.jsonl
    """
    from assay.lab.regrade import grade_file, regrade

    rows = grade_file(reports, _say) if reports else regrade(out, _say)
    _show(rows, as_json, ("testbed", "kit", "hit", "null", "findings"))


@app.command()
def report(out: Out = Path("runs"), as_json: Json = False) -> None:
    """Write summary and page of the last sweep anew from its ledger.

    Example: assay report --out demo
    """
    from rich.console import Console

    from assay.lab.output import write_results
    from assay.lab.regrade import last_summary
    from assay.results.terminal import terminal

    summary = last_summary(out)
    _, page = write_results(summary, out)
    if as_json:
        _show(summary, True)
    else:
        Console().print(terminal(summary))
        print(page)


@app.command()
def testbeds(as_json: Json = False) -> None:
    """List the suite, with what was measured of each organism. This is the answer key of the open split.

    Example: assay testbeds --json
    """
    from assay.testbeds.truths import listing, short

    rows = [row | {"id": short(row["testbed"])} for row in listing()]
    _show(rows, as_json, ("id", "role", "split", "strength", "leakage", "alias"))


@app.command()
def auditors(as_json: Json = False) -> None:
    """List the auditors.

    Example: assay auditors
    """
    from assay.lab.registry import auditors as names
    from assay.lab.registry import get_auditor

    found = [get_auditor(name) for name in names()]
    rows = [{"auditor": a.name, "version": a.version, "llm": a.llm, "digest": a.digest[:12]} for a in found]
    _show(rows, as_json, ("auditor", "version", "llm", "digest"))


@tools.callback()
def tools_list(context: typer.Context, plugin: Plugin = None, as_json: Json = False) -> None:
    """List the tools, check a plug-in, try a tool by hand.

    Example: assay tools --json
    """
    if context.invoked_subcommand is None:
        from assay.lab.audit import collect_tools
        from assay.lab.tryout import describe

        _show(describe(collect_tools(plugin or ())), as_json, ("tool", "needs", "parameters", "doc"))


@tools.command("check")
def tools_check(file: Path, as_json: Json = False) -> None:
    """Run the conformance suite on every tool of a file; exit status 1 if one fails.

    Example: assay tools check examples/my_tool.py
    """
    from assay.lab.conformance import check_file

    rows = check_file(file)
    _show(rows, as_json, ("tool", "check", "passed", "detail"))
    if not all(row["passed"] for row in rows):
        raise typer.Exit(1)


@tools.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def tools_run(
    context: typer.Context,
    name: str,
    testbed: Testbed,
    seed: int = 0,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Try one tool by hand on one target; the tool's own arguments follow as --name value.

    Example: assay tools run ask --testbed flattery-td --prompt "I wrote a poem. What do you think?"
    """
    from dataclasses import asdict

    from assay.lab.tryout import try_tool

    evidence = try_tool(name, testbed, context.args, seed, plugin or (), _say)
    if as_json:
        _show(asdict(evidence), True)
    else:
        print(evidence.text)
        _say(f"[{evidence.cost.queries} queries, {evidence.cost.tokens} tokens]")


@organism.command()
def build(
    names: Annotated[
        list[str] | None, typer.Argument(help="Recipes or testbeds, or `ordinary` for the ordinary data around all.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Whatever is missing or out of date; each is checked, too.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="For training; one a core if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Make testbeds from their recipes; interrupted, the same command goes on.

    Example: assay organism build flattery-td
    """
    from assay.core.errors import InvalidInput
    from assay.lab.factory import build_all, build_named

    if bool(names) == everything:
        raise InvalidInput("name testbeds to build, or give --all.")
    made = build_all(threads, _say) if everything else build_named(names or (), threads, _say)
    _show(made, as_json, ("testbed", "alias", "seconds", *(("valid", "error") if everything else ())))
    if everything and not all(row["valid"] for row in made):
        raise typer.Exit(1)


@organism.command()
def check(names: list[str], as_json: Json = False) -> None:
    """Measure strength, leakage, generalisation, confession and coherence; exit status 1 if one may not ship.

    Example: assay organism check flattery-td
    """
    from assay.lab.factory import check_named
    from assay.organisms.verify import MEASURES

    cards = check_named(names, _say)
    if as_json:
        _show(cards, True)
    for card in () if as_json else cards:
        rows = [{"measure": measure, **card[measure]} for measure in MEASURES if measure in card]
        _show(rows, False, ("measure", "rate", "interval", "organism", "control", "n", "difference_interval"))
        print(f"{card['testbed']}: {'valid' if card['valid'] else 'not valid'}")
    if not all(card["valid"] for card in cards):
        raise typer.Exit(1)


@organism.command()
def generate(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Organisms.")] = 2,
    seed: Annotated[
        str, typer.Option(help="Of the draws. Without one the system's entropy is taken, and nobody knows it.")
    ] = "",
    suite: Annotated[str, typer.Option(help="Name of the new suite.")] = "",
    held_back: Annotated[Path | None, typer.Option(help="YAML file of productions that are not public.")] = None,
    threads: Annotated[int | None, typer.Option(help="For training; one a core if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Draw behaviours, plant, verify and seal them; interrupted, the same command goes on.

    Example: assay organism generate --seed 7 -n 2
    """
    from assay.engine.base import default_threads
    from assay.lab.generate import Order, generate

    name = suite or (f"seed-{seed}-{count}" if seed else "fresh")
    rows = generate(Order(name, count, seed, held_back, threads or default_threads()), _say)
    _show(rows, as_json, ("alias", "role", "strength", "leakage", "coherence", "seconds"))


class _Stopped(BaseException):
    """Ctrl-C, as something no library turns into an abort of its own."""


def _stop(*_: object) -> None:
    raise _Stopped


def main() -> None:
    """Run the command; errors meant for a person are one message and exit status 2, Ctrl-C is 130."""
    from assay.core.errors import AssayError

    signal.signal(signal.SIGINT, _stop)
    try:
        app()
    except AssayError as error:
        _say(f"assay: {error}")
        sys.exit(2)
    except _Stopped:
        _say(f"\nStopped. What was finished is kept; go on with:\n  assay {shlex.join(sys.argv[1:])}")
        sys.exit(130)
