"""Commands about auditors."""

from __future__ import annotations

from pathlib import Path

import typer

from assay.cli.show import Json, PluginFiles, show

auditors = typer.Typer(invoke_without_command=True)


@auditors.callback()
def auditors_list(context: typer.Context, plugin: PluginFiles = None, as_json: Json = False) -> None:
    """List the auditors, or check those of a plug-in.

    Example: assay auditors --json
    """
    if context.invoked_subcommand is None:
        from assay.studies.offers import find_offers

        rows = [
            {
                "auditor": a.name,
                "version": a.version,
                "llm": a.llm,
                "games": a.games,
                "digest": a.digest[:12],
                "plugin": a.plugin.label if a.plugin else "",
                "missing": a.missing,
                "doc": a.doc.splitlines()[0] + (f" Not here: it {a.missing}." if a.missing and not as_json else ""),
            }
            for a in find_offers(plugin or ()).auditors.values()
        ]
        show(rows, as_json, ("auditor", "version", "llm", "games", "doc"))


@auditors.command("check")
def auditors_check(file: Path, as_json: Json = False) -> None:
    """Run the conformance suite on every auditor of a file; exit status 1 if one fails.

    Example: assay auditors check examples/my_auditor.py
    """
    from assay.audits.conformance.auditor_checks import check_file

    rows = check_file(file)
    show(rows, as_json, ("auditor", "check", "passed", "detail"))
    if not all(row["passed"] for row in rows):
        raise typer.Exit(1)
