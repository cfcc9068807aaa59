"""Commands that audit, grade and report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.show import Json, Out, Plugin, Testbed, say, show

audits = typer.Typer()


def _sweep(design: Any, as_json: bool) -> None:
    """Run a design with live progress; print the table and where the page is."""
    from rich.console import Console

    from assay.studies.output import write_results
    from assay.studies.page.terminal import terminal
    from assay.studies.progress import live
    from assay.studies.sweep import require_controls, run

    require_controls(design)
    with live(Console(stderr=True)) as watch:
        summary = run(design, watch)
    _, page = write_results(summary, design.out)
    if as_json:
        show(summary, True)
    else:
        Console().print(terminal(summary))
        if summary["without_truth"]:
            print(f"{summary['without_truth']} audits are of testbeds whose truth is not known here: kept, not graded")
        print(page)


@audits.command()
def demo(out: Out = Path("demo"), as_json: Json = False) -> None:
    """Which tool helps? A sweep of the explorer over the embedded suite, offline; a second run does nothing anew.

    Example: assay demo
    """
    from assay.studies.sweep import DEMO_KITS, DEMO_TESTBEDS, Design

    _sweep(Design(kits=DEMO_KITS, out=out, testbeds=DEMO_TESTBEDS), as_json)


@audits.command()
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
    from assay.studies.sweep import Design

    design = Design(
        kits=tuple(kits),
        out=out,
        testbeds=tuple(testbeds or ()),
        auditor=auditor,
        seeds=tuple(range(seeds)),
        plugins=tuple(plugin or ()),
    )
    _sweep(design, as_json)


@audits.command()
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
    from assay.studies.sweep import Design, audit_once

    row = audit_once(Design((kit,), out, (testbed,), auditor, (seed,), plugins=tuple(plugin or ())), say)
    if as_json:
        show(row, True)
    else:
        print(f"{row['outcome']} · {row['cost']} · {row['error'] or 'no error'}")
        print(json.dumps(json.loads(row["report"]), indent=1, ensure_ascii=False) if row["report"] else "no report")


@audits.command()
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
    from assay.studies.regrade import grade_file, regrade

    rows = grade_file(reports, say) if reports else regrade(out, say)
    show(rows, as_json, ("testbed", "kit", "hit", "null", "findings"))


@audits.command()
def report(out: Out = Path("runs"), as_json: Json = False) -> None:
    """Write summary and page of the last sweep anew from its ledger.

    Example: assay report --out demo
    """
    from rich.console import Console

    from assay.studies.output import write_results
    from assay.studies.page.terminal import terminal
    from assay.studies.regrade import last_summary

    summary = last_summary(out)
    _, page = write_results(summary, out)
    if as_json:
        show(summary, True)
    else:
        Console().print(terminal(summary))
        print(page)
