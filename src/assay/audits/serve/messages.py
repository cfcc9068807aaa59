"""What the process that talks to an agent and the desk, which owns the ledger, say to each other."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field

from assay._util.hashing import digest_of
from assay._util.yaml_models import Data
from assay.audits.cell import Job
from assay.audits.described import AuditorInfo
from assay.audits.plugin_source import PluginSource
from assay.core.answer import GAMES, Game

SERVER_VERSION = 2  # raised when what an agent is told or offered changes; in the run key of every served audit
_LONGEST = 60  # characters of what an agent says of itself
_UNFIT = re.compile(r"[^\w .:/+-]+")


class AgentCard(Data):
    """Says who plays, as the agent itself says: nobody checks it.

    Attributes:
        name, version, model: of the agent; "" where it says nothing.
    """

    name: str
    version: str = ""
    model: str = ""

    @classmethod
    def of(cls, name: object, version: object, model: object) -> AgentCard:
        """Makes a card of whatever an agent sent: short, on one line, without what could steer a page or a terminal."""
        return cls(name=_fit(name) or "unnamed agent", version=_fit(version), model=_fit(model))

    @property
    def label(self) -> str:
        """Writes it as rows and tables tell it: `name@version (model)`."""
        return self.name + (f"@{self.version}" if self.version else "") + (f" ({self.model})" if self.model else "")

    @property
    def title(self) -> str:
        """Writes it as numbers are titled by."""
        return f"{self.label}, as it says of itself"

    @property
    def info(self) -> AuditorInfo:
        """Describes it as an auditor: what it says, and how it is served, is all that its run keys know of it."""
        digest = digest_of(["served", SERVER_VERSION, self.name, self.version, self.model])
        return AuditorInfo(name="served", version=SERVER_VERSION, digest=digest, llm=True, doc=self.title, games=GAMES)


def _fit(text: object) -> str:
    return " ".join(_UNFIT.sub("_", text).split())[:_LONGEST].strip() if isinstance(text, str) else ""


class Entry(Data):
    """Keeps one call of a tool, as the agent saw it answered.

    Attributes:
        tool: its name.
        arguments: as the agent gave them.
        calls: each single call it was made of, as `audits.transcripts` writes it down.
        shown: what the agent was told, as plain data.
        spent: (queries, input tokens, output tokens) of the audit so far.
        by_tool: tool → the same.
        seconds: of the audit so far.
    """

    tool: str
    arguments: dict[str, Any]
    calls: list[dict[str, Any]]
    shown: dict[str, Any]
    spent: tuple[int, int, int]
    by_tool: dict[str, tuple[int, int, int]]
    seconds: float


class Offer(Data):
    """Hands over one audit to be played, or to be taken up again.

    Attributes:
        name: of the target, for the agent: drawn anew whenever it is offered, so that an earlier client's is void.
        agent: who plays it.
        job: of one cell.
        entries: the calls that were made before; none for a new audit.
        left: how many further audits are waiting for this agent.
        retired: the name under which this process served it before, "" if it did not.
    """

    name: str
    agent: AgentCard
    job: Job
    entries: list[Entry] = []
    left: int = 0
    retired: str = ""


class Question(Data):
    """Asks the desk for something.

    Attributes:
        want: an audit for an agent; the audit of this name; to keep an audit as it stands; to end it; or nothing,
            where the desk is told the port that is listened at.
        agent: for whom.
        name: of the target.
        entry: the call to be kept.
        row: the audit's, as it stands.
        port: of the server.
    """

    want: Literal["next", "again", "keep", "end", "listening"]
    agent: AgentCard | None = None
    name: str = ""
    entry: Entry | None = None
    row: dict[str, Any] | None = None
    port: int = 0


class Told(Data):
    """Answers.

    Attributes:
        offer: an audit; None where there is none.
        problem: why not, for the agent; "" where all is well.
    """

    offer: Offer | None = None
    problem: str = ""


class ServeOrder(Data):
    """Tells a process to serve.

    Attributes:
        name: of the server, which says nothing.
        game: that is played.
        tools: names of all that any kit has.
        plugins: files that define further tools.
        pipe: the open files of the client's standard input and output; None over HTTP.
        lines: the client is a program of Assay's own, which speaks in lines and not by the protocol.
        host, port: to listen at; port 0 takes a free one.
    """

    name: str
    game: Game = "investigate"
    tools: list[str]
    plugins: list[PluginSource] = []
    pipe: tuple[int, int] | None = None
    lines: bool = False
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
