"""Commands about tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.show import Auxiliary, EngineWords, Json, PluginFiles, Testbed, console, say, show, tell

tools = typer.Typer(invoke_without_command=True)


@tools.callback()
def tools_list(context: typer.Context, plugin: PluginFiles = None, as_json: Json = False) -> None:
    """List the tools, show one's page, try one by hand, check it, score what its output holds.

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
                "families": list(tool.families),
                "source": tool.source,
                "version": tool.version,
                "plugin": tool.plugin.label if tool.plugin else "",
                "doc": tool.doc.splitlines()[0],
            }
            for _, tool in sorted(find_offers(plugin or ()).tools.items())
        ]
        show(rows, as_json, ("tool", "needs", "weight", "source", "doc"))


@tools.command("show")
def tools_show(
    name: str,
    study: Annotated[
        list[Path] | None,
        typer.Option(help="--out of a sweep whose effects are told; repeatable; runs if it is one."),
    ] = None,
    plugin: PluginFiles = None,
    as_json: Json = False,
) -> None:
    """Show a tool's page: what it does, source, access, cost, static value, effects, when it hurts.

    Example: assay tools show search
    """
    from assay._util.paths import SUMMARY
    from assay.errors import UnknownId
    from assay.studies.offers import find_offers
    from assay.studies.static.tool_page import told_page, tool_page

    known = find_offers(plugin or ()).tools
    if name not in known:
        raise UnknownId("tool", name, known)
    usual = [Path("runs")] if Path("runs", SUMMARY).is_file() else []
    page = tool_page(known[name], study or usual)
    if as_json:
        show(page.model_dump(mode="json"), True)
    else:
        tell(told_page(page))


@tools.command("check")
def tools_check(
    what: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A Python file with tools, or an installed tool.")],
    as_json: Json = False,
) -> None:
    """Run the conformance suite on every tool of a file, or on an installed one; exit status 1 if a check fails.

    Example: assay tools check examples/my_tool.py
    """
    from assay.audits.conformance.tool_checks import check_named

    rows = check_named(what)
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


@tools.command("score")
def tools_score(
    tool: Annotated[
        list[str] | None, typer.Option("--tools", help="Name; repeatable; all that need no LLM if none.")
    ] = None,
    testbed: Annotated[
        list[str] | None, typer.Option("--testbed", help="Id or alias; repeatable; those of suite and split if none.")
    ] = None,
    suite: Annotated[str, typer.Option(help="Whose testbeds; see assay suites.")] = "embedded",
    split: Annotated[str, typer.Option(help="reported, tuning or test; all if not given.")] = "",
    study: Annotated[
        Path | None, typer.Option(help="--out of a sweep, whose effects are put beside: the tool-to-agent gap.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; one under ASSAY_HOME if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Of the calls.")] = 0,
    plugin: PluginFiles = None,
    engine: EngineWords = "",
    as_json: Json = False,
) -> None:
    """Static value, without an agent: is the evidence in what a tool shows, and not in what it shows of the controls?

    Outputs are kept: the same command goes on where it was stopped.

    Example: assay tools score --tools reference --tools search --split tuning
    """
    from assay.studies.static.files import keep, scores_folder
    from assay.studies.static.score import ScoreDesign, score_tools
    from assay.studies.static.terminal import value_tables

    design = ScoreDesign(
        tools=tuple(tool or ()),
        testbeds=tuple(testbed or ()),
        suite=suite,
        split=split,
        plugins=tuple(plugin or ()),
        out=out or scores_folder(),
        study=study,
        seed=seed,
        engine=engine,
    )
    value = score_tools(design, say)
    places = keep(value, design.out)
    if as_json:
        show(value.model_dump(mode="json"), True)
    else:
        console().print(value_tables(value))
        for place in places:
            tell(str(place))
