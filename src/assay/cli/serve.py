"""Commands by which an agent from outside plays audits."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.designed import SeedCount, SeedList, Testbeds
from assay.cli.show import BudgetWords, EngineWords, GameName, Json, Out, PluginFiles, say, show, tell

if TYPE_CHECKING:
    from assay.cli.play_session import PlaySession

serving = typer.Typer()

_NoKits = Annotated[list[str] | None, typer.Option("--kit", help="NAME(+NAME)*; ~NAME is a placebo; repeatable.")]
_Port = Annotated[
    int | None, typer.Option("--http", help="Listen at this port, 0 for a free one; standard input and output if not.")
]


@serving.command()
def serve(
    kits: _NoKits = None,
    testbeds: Testbeds = None,
    seeds: SeedCount = 1,
    seed: SeedList = None,
    budget: BudgetWords = "",
    plugin: PluginFiles = None,
    engine: EngineWords = "",
    game: GameName = "investigate",
    out: Out = Path("runs"),
    http: _Port = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    stored: Annotated[str, typer.Option(help="Name of what --print-config has stored, in place of the above.")] = "",
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Store this under a name that tells nothing; print an agent's settings."),
    ] = False,
) -> None:
    """Serve audits to an agent that speaks the Model Context Protocol; its rows go to the ledger of --out.

    Example: assay serve --kit chat --kit chat+search --testbed flattery-td --testbed twin-td --http 8123
    """
    from assay.audits.serve.protocol import need_mcp
    from assay.core.budget import parse_budget
    from assay.studies import served

    need_mcp()
    if stored:
        plan = served.stored_plan(stored)
    else:
        plan = served.ServedPlan.of(
            kits=kits or ["chat"],
            testbeds=testbeds or (),
            seeds=seed or range(seeds),
            budget=parse_budget(budget),
            plugins=plugin or (),
            engine=engine,
            out=out,
            game=game,
        )
    if print_config:
        show(served.settings(plan, host, http), True)
        return
    served.serve_plan(plan, (host, http) if http is not None else None, say)


@serving.command()
def call(
    url: Annotated[str, typer.Argument(help="Of a server, http://127.0.0.1:8123/mcp say.")],
    tool: Annotated[str, typer.Argument(help="Name of the tool; what there is is listed if none is given.")] = "",
    arguments: Annotated[str, typer.Argument(help="JSON object; - reads it from standard input.")] = "{}",
    as_json: Json = False,
) -> None:
    """Call one tool of a served audit, for agents that have a shell and no protocol.

    Exit status 1 says that the server refused the call.

    Example: assay call http://127.0.0.1:8123/mcp next_target '{"model": "my-model"}'
    """
    from assay.audits.serve import client

    if not as_json:
        raise typer.Exit(client.main([url, *([tool, arguments] if tool else [])]))
    if not tool:
        show(client.list_tools(url), True)
        return
    _, data, failed = client.call_tool(
        url, tool, client.read_arguments(sys.stdin.read() if arguments == "-" else arguments)
    )
    show(data, True)
    raise typer.Exit(int(failed))


@serving.command()
def play(
    kit: Annotated[str, typer.Option(help="NAME(+NAME)*.")] = "chat",
    testbeds: Testbeds = None,
    player: Annotated[str, typer.Option("--as", help="Your name, as the ledger has it.")] = "person",
    seed: Annotated[int, typer.Option(help="Of the audit.")] = 0,
    engine: EngineWords = "",
    game: GameName = "investigate",
    budget: BudgetWords = "",
    out: Out = Path("runs"),
) -> None:
    """Audit a model yourself, by typed lines; what it hides is told after you have submitted your report.

    Of several testbeds, or of the reported set if none is named, one is drawn.

    Example: assay play --kit chat+search
    """
    from assay.audits.serve.messages import AgentCard
    from assay.cli.play_session import PlaySession
    from assay.core.budget import parse_budget
    from assay.errors import InvalidInput
    from assay.studies import playing, served
    from assay.studies.design import Design

    design = Design(
        kits=(kit,),
        out=out,
        testbeds=tuple(testbeds or ()),
        seeds=(seed,),
        engine=engine,
        game=game,
        budget=served.countable(parse_budget(budget)),
    )
    card = AgentCard.of(player, "", "")
    before = playing.ended(design, card)
    with playing.table(design, card, say) as talk:
        told = talk.call("next_target", {})
        if not told.data.get("target"):
            raise InvalidInput(told.text)
        session = PlaySession(talk.call, told.data, game)
        tell(f"{told.data['task']}\nTools: {', '.join(session.tools) or 'none'}. help says what you can type.")
        for line in _typed_lines(session):
            try:
                tell(session.line(line))
            except InvalidInput as error:
                tell(str(error))
    row = playing.last_audit(design, card, before) if session.submitted else None
    for line in playing.verdict(design, row, say) if row else ():
        tell(line)


def _typed_lines(session: PlaySession) -> Iterator[str]:
    """Yields what is typed until the session is over; in a terminal with history and completion by the tab key."""
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):  # a system without it has plain lines
            import readline

            def completed(begun: str, number: int) -> str | None:
                return dict(enumerate(session.complete(begun))).get(number)

            readline.set_completer(completed)
            readline.parse_and_bind("tab: complete")
    while not session.over:
        try:
            yield input(session.prompt if sys.stdin.isatty() else "")
        except EOFError:
            return
