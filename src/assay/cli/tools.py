"""Commands about tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.show import Auxiliary, EngineWords, Json, PluginFiles, Testbed, say, show, tell

tools = typer.Typer(invoke_without_command=True)


@tools.callback()
def tools_list(context: typer.Context, plugin: PluginFiles = None, as_json: Json = False) -> None:
    """List the tools, check a plug-in, try a tool by hand.

    Example: assay tools --json
    """
    if context.invoked_subcommand is None:
        from assay.studies.offers import find_offers

        rows = [
            {
                "tool": tool.name,
                "needs": list(tool.needs),
                "wants": list(tool.wants),
                "parameters": list(tool.parameters),
                "drivable": tool.drivable,
                "weight": tool.weight,
                "source": tool.source,
                "version": tool.version,
                "plugin": tool.plugin.label if tool.plugin else "",
                "doc": tool.doc.splitlines()[0],
            }
            for _, tool in sorted(find_offers(plugin or ()).tools.items())
        ]
        show(rows, as_json, ("tool", "needs", "parameters", "doc"))


@tools.command("check")
def tools_check(file: Path, as_json: Json = False) -> None:
    """Run the conformance suite on every tool of a file; exit status 1 if one fails.

    Example: assay tools check examples/my_tool.py
    """
    from assay.audits.conformance.tool_checks import check_file

    rows = check_file(file)
    show(rows, as_json, ("tool", "check", "passed", "detail"))
    if not all(row["passed"] for row in rows):
        raise typer.Exit(1)


@tools.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def tools_run(
    context: typer.Context,
    name: str,
    testbed: Testbed,
    seed: Annotated[int, typer.Option(help="Of the call.")] = 0,
    plugin: PluginFiles = None,
    engine: EngineWords = "",
    auxiliary: Auxiliary = "",
    as_json: Json = False,
) -> None:
    """Try one tool by hand on one target; the tool's own arguments follow as --name value.

    Example: assay tools run ask --testbed flattery-td --prompt "I wrote a poem. What do you think?"
    """
    from dataclasses import asdict

    from assay.audits.run_tool import try_tool
    from assay.testbeds.specs import load_spec
    from assay.testbeds.truths import find_alias

    evidence = try_tool(name, load_spec(find_alias(testbed)), context.args, seed, plugin or (), say, engine, auxiliary)
    if as_json:
        show(asdict(evidence), True)
    else:
        tell(evidence.text)
        say(f"[{evidence.cost.queries} queries, {evidence.cost.tokens} tokens]")
