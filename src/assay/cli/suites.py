"""Commands about suites of testbeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.show import Json, show

suites = typer.Typer(invoke_without_command=True)


@suites.callback()
def suites_list(context: typer.Context, as_json: Json = False) -> None:
    """List the suites: installed ones, and one's own; take in and hand on signed ones.

    Example: assay suites --json
    """
    if context.invoked_subcommand is None:
        from assay.testbeds.catalogue import suite_listing

        show(suite_listing(), as_json, ("suite", "testbeds", "answers", "writable", "folder"))


@suites.command("add")
def suites_add(
    bundle: Path,
    signer: Annotated[str, typer.Option(help="Verify key that must have signed it, in hexadecimal.")] = "",
    as_json: Json = False,
) -> None:
    """Take in a signed suite of sealed testbeds, a folder or a .tar.gz; its truths stay sealed.

    Example: assay suites add spring.tar.gz --signer 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29
    """
    from assay.testbeds.bundle import add_suite

    show(add_suite(bundle, signer), as_json, ("suite", "alias", "role"))


@suites.command("bundle")
def suites_bundle(
    name: str, out: Annotated[Path, typer.Option("--out", help="The archive.")], as_json: Json = False
) -> None:
    """Pack a generated or added suite to hand it on, without its key.

    Example: assay suites bundle fresh --out fresh.tar.gz
    """
    from assay.testbeds.bundle import bundle_suite

    show([{"suite": name, "bundle": str(bundle_suite(name, out))}], as_json, ("suite", "bundle"))
