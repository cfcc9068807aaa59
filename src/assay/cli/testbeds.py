"""Commands about testbeds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.show import Json, SuiteFolder, say, show, tell

testbeds = typer.Typer(invoke_without_command=True)


@testbeds.callback()
def testbeds_list(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Published and deployed ones too.")] = False,
    as_json: Json = False,
) -> None:
    """List the testbeds, with what was measured of each organism. This is the answer key of the open split.

    Example: assay testbeds --json
    """
    if context.invoked_subcommand is None:
        from assay.testbeds.catalogue import catalogue
        from assay.testbeds.names import short

        rows = [row | {"id": short(row["testbed"]), "leaks": row["leakage"]} for row in catalogue()]
        # In JSON everything is there: a program can leave out what it does not want.
        here = [row for row in rows if everything or as_json or row["alias"]]
        show(here, as_json, ("id", "role", "method", "strength", "leaks", "documents", "alias"))
        if broken := [row["alias"] for row in rows if row["role"] == "broken"]:
            say(f"{len(broken)} cannot be used ({', '.join(broken[:3])}): assay testbeds validate says why.")
        if len(here) < len(rows):
            tell(f"and {len(rows) - len(here)} published organisms and deployed models to fetch: assay testbeds --all")


@testbeds.command("validate")
def testbeds_validate(names: Annotated[list[str] | None, typer.Argument()] = None, as_json: Json = False) -> None:
    """Verify digests, cards, controls, versions, signatures and layout; exit status 1 if something is not as recorded.

    Example: assay testbeds validate
    """
    from assay.testbeds.catalogue import validate

    rows = validate(names or ())
    show(rows, as_json, ("testbed", "sound", "wrong"))
    if not all(row["sound"] for row in rows):
        raise typer.Exit(1)


@testbeds.command("shapes")
def testbeds_shapes(suite: SuiteFolder = None, as_json: Json = False) -> None:
    """Tell whether ranks, sizes, names or grants give roles or families away; exit status 1 if any does.

    Example: assay testbeds shapes --suite my-suite
    """
    from assay.testbeds.shapes import shapes
    from assay.testbeds.suites import embedded_suite, open_suite

    rows = shapes(open_suite(suite) if suite else embedded_suite())
    show(rows, as_json, ("feature", "values", "tells"))
    if any(row["tells"] for row in rows):
        raise typer.Exit(1)


@testbeds.command("add")
def testbeds_add(file: Path, as_json: Json = False) -> None:
    """Take in a testbed that a file describes; it is in every command from then on.

    Example: assay testbeds add my_testbed.yaml
    """
    from assay.testbeds.importing import add_testbed

    show([add_testbed(file)], as_json, ("testbed", "alias", "role", "access", "new"))


@testbeds.command("remove")
def testbeds_remove(
    name: str, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, as_json: Json = False
) -> None:
    """Remove a testbed of your own with its answer; rows of its audits stay in their ledgers.

    Example: assay testbeds remove my-team/quirk@1 --yes
    """
    from assay.testbeds.removing import find_removable, remove_testbed

    removable = find_removable(name)
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter(f"{removable.id} ({removable.alias}) would be removed: say so with --yes.")
        typer.confirm(f"Remove {removable.id} ({removable.alias}) and its answer?", abort=True, err=True)
    show([remove_testbed(removable)], as_json, ("testbed", "alias", "suite"))
    say(f"{removable.id} is gone. Rows of its audits stay in their ledgers.")


@testbeds.command("fetch")
def testbeds_fetch(
    name: str,
    root: Annotated[list[Path] | None, typer.Option(help="Folder of snapshots to look in first; repeatable.")] = None,
    model: Annotated[str | None, typer.Option(help="A deployed model's name for Inspect.")] = None,
    as_json: Json = False,
) -> None:
    """Make a published organism or a deployed model, of those that --all lists, a testbed of every command.

    Example: assay testbeds fetch deployed/gpt-4o-sycophancy --model openrouter/openai/gpt-4o-2024-11-20
    """
    from assay.testbeds.external import fetch

    show([fetch(name, root or (), model)], as_json, ("testbed", "alias", "base", "access"))


@testbeds.command("cards")
def testbeds_cards(
    out: Annotated[Path, typer.Option("--out", help="Folder of the pages.")] = Path("cards"),
    sweep: Annotated[Path | None, typer.Option(help="Folder of a sweep, whose successes are kept first.")] = None,
    as_json: Json = False,
) -> None:
    """Write a page for each testbed, and the matrix of families and recipes.

    Example: assay testbeds cards --out cards
    """
    from assay.studies.difficulty import record_difficulty, write_cards

    if sweep:
        record_difficulty(sweep)
    show(write_cards(out), as_json, ("testbed", "page"))


@testbeds.command("release")
def testbeds_release(suite: SuiteFolder = None, as_json: Json = False) -> None:
    """Record what each id of a suite stands for; from then on a change is a new version.

    Example: assay testbeds release --suite my-suite
    """
    from assay.testbeds.catalogue import release
    from assay.testbeds.suites import open_suite, own_suite

    show(release(open_suite(suite) if suite else own_suite()), as_json, ("testbed", "new"))
