"""What is served, as data: stored under a name that tells nothing, so that an agent's settings name no testbed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assay._util.atomic import write_text
from assay._util.paths import home
from assay._util.progress import Say
from assay._util.strict_json import parse_json
from assay._util.text_files import read_text
from assay._util.yaml_models import Data
from assay.core.answer import Game
from assay.core.budget import Budget
from assay.errors import InvalidInput, UnknownId
from assay.studies.design import Design
from assay.studies.serving import new_name, serve
from assay.testbeds.truths import find_alias

_NAME = re.compile(r"audit-[0-9a-f]{6}")


class ServedPlan(Data):
    """Says what agents are to play.

    Attributes:
        name: of the server.
        kits, seeds, game: as of `Design`.
        testbeds: aliases; none for the reported set.
        budget: queries, tokens, seconds of each audit.
        plugins, out: absolute paths.
        engine: words that choose the engine of all targets.
    """

    name: str
    kits: tuple[str, ...]
    testbeds: tuple[str, ...]
    seeds: tuple[int, ...]
    budget: tuple[int, int, float]
    plugins: tuple[Path, ...]
    out: Path
    engine: str = ""
    game: Game = "investigate"

    @classmethod
    def of(
        cls,
        *,
        kits: Iterable[str],
        testbeds: Iterable[str],
        seeds: Iterable[int],
        budget: Budget,
        plugins: Iterable[Path],
        out: Path,
        engine: str,
        game: Game,
    ) -> ServedPlan:
        """Makes one of what a person wrote.

        Raises:
            UnknownId: no such testbed.
            InvalidInput: the budget limits what nobody here can count.
        """
        limits = countable(budget)
        return cls(
            name=new_name(),
            kits=tuple(kits),
            testbeds=tuple(map(find_alias, testbeds)),
            seeds=tuple(seeds),
            budget=(limits.queries, limits.tokens, limits.seconds),
            plugins=tuple(path.absolute() for path in plugins),
            out=out.absolute(),
            engine=engine,
            game=game,
        )

    @property
    def design(self) -> Design:
        """Returns it as the desk plans it."""
        return Design(
            kits=self.kits,
            out=self.out,
            testbeds=self.testbeds,
            seeds=self.seeds,
            budget=Budget(*self.budget),
            plugins=self.plugins,
            engine=self.engine,
            game=self.game,
        )


def countable(budget: Budget) -> Budget:
    """Returns a budget that a server can keep: what an agent's own model reads and costs, it never hears of.

    Raises:
        InvalidInput: the budget limits that.
    """
    if budget.money is not None or budget.auditor_tokens != Budget().auditor_tokens:
        raise InvalidInput(
            "who is served pays for a model of their own, and nobody here can count what that reads and costs: limit "
            "queries, tokens and seconds (of the target), and an agent's own tokens and money where it runs."
        )
    return budget


def _folder() -> Path:
    return home() / "served"


def stored_plan(name: str) -> ServedPlan:
    """Reads a stored plan.

    Raises:
        UnknownId: there is none of that name.
    """
    path = _folder() / f"{name}.json"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise UnknownId("stored plan", name, (one.stem for one in _folder().glob("*.json")))
    return ServedPlan.model_validate(parse_json(read_text(path), str(path)))


def settings(plan: ServedPlan, host: str, port: int | None) -> dict[str, Any]:
    """Stores a plan, and returns the settings of a coding agent: one server, by either transport.

    Args:
        plan: to be served.
        host: where it will listen over HTTP.
        port: the same; a usual one if None.

    Raises:
        InvalidInput: port 0, of which nobody knows yet which it will be.
        NotWritten: it cannot be stored.
    """
    if port == 0:
        raise InvalidInput("--print-config with --http 0: give the port, since a free one is drawn anew each time.")
    write_text(_folder() / f"{plan.name}.json", plan.model_dump_json(indent=1), mode=0o600)
    # The program beside this Python: an agent's settings are read without the shell in which it was activated.
    command = str(Path(sys.executable).with_name("assay"))
    words = ["serve", "--stored", plan.name]
    place = port or 8123
    return {
        "stdio": {"mcpServers": {plan.name: {"command": command, "args": words}}},
        "http": {
            "first": f"{command} {' '.join(words)} --http {place}",
            "mcpServers": {plan.name: {"type": "http", "url": f"http://{host}:{place}/mcp"}},
        },
    }


def serve_plan(plan: ServedPlan, http: tuple[str, int] | None, say: Say) -> None:
    """Serves a plan; raises as `serve`."""

    host = http[0] if http else ""

    def listening(port: int) -> None:
        say(f"agents are listened to at http://{host}:{port}/mcp; end with Ctrl-C")

    serve(plan.design, name=plan.name, http=http, say=say, listening=listening)
