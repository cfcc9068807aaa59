"""The desk of served audits: which audit an agent plays next, and what becomes of it in the ledger.

The process that talks to agents asks here. It knows no answers, and this one does, so that they share a pipe alone.
"""

from __future__ import annotations

import os
import random
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from assay._util.progress import Say
from assay.audits.cell import Cell
from assay.audits.kits import parse_kit
from assay.audits.serve.messages import AgentCard, Offer, Question, ServeOrder, Told
from assay.core.record import AuditRow, audit_row
from assay.errors import AssayError
from assay.studies.design import Design
from assay.studies.journals import Journal
from assay.studies.ledger import Ledger
from assay.studies.offers import find_offers
from assay.studies.plan import Plan, make_plan
from assay.studies.processes import WorkerProcess

IDLE_SECONDS = 1_800.0  # without a call, after which an audit may go to another client, when nothing else is left


class ServeProcess(WorkerProcess):
    """Talks to agents, and cannot know an answer."""

    kind = "serving"
    command = (sys.executable, "-P", "-m", "assay.audits.serve.worker")

    def hand(self, *handles: int) -> None:
        """Lets the process inherit open files; before it is started."""
        self._handed = handles

    def reply(self, told: Told) -> None:
        """Answers what the process asked."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(told.model_dump_json() + "\n")
        self._process.stdin.flush()


@dataclass
class _Held:
    """An audit that a client of this process plays.

    Attributes:
        journal: of it.
        plan, cell: it is of.
        last: when something was last heard of it, on the monotonic clock.
    """

    journal: Journal
    plan: Plan
    cell: Cell
    last: float = field(default_factory=time.monotonic)


class ServingDesk:
    """Answers what the serving process asks.

    Args:
        design: what is served; whoever plays takes the place of its auditor.
        ledger: of its folder.
        fault: is told what is wrong on this side.
        listening: is told the port.
    """

    def __init__(self, design: Design, ledger: Ledger, fault: Say, listening: Callable[[int], None]) -> None:
        self._design, self._ledger, self._fault, self._listening = design, ledger, fault, listening
        self._plans: dict[AgentCard, Plan] = {}
        self._order: dict[AgentCard, list[Cell]] = {}
        self._held: dict[str, _Held] = {}  # run key → what a client plays

    def answer(self, data: Mapping[str, Any]) -> Told:
        """Answers one question; what is wrong on this side is told to the person, and the agent hears that it is."""
        try:
            return self._answer(Question.model_validate(data))
        except AssayError as error:
            self._fault(str(error))
            return Told(problem="the server has a fault of its own, and cannot go on with this.")

    def _answer(self, asked: Question) -> Told:
        if asked.want == "next":
            return self._next(asked.agent or AgentCard.of("", "", ""))
        if asked.want == "again":
            return self._again(asked.name)
        if asked.want == "listening":
            self._listening(asked.port)
            return Told()
        held = next((one for one in self._held.values() if one.journal.name == asked.name), None)
        if held is None or asked.row is None:
            return Told(problem="this target was given to another client, or its audit has ended. Call next_target.")
        held.last = time.monotonic()
        if asked.entry is not None:
            held.journal.add(asked.entry)
        self._ledger.keep_served(_of_cell(audit_row(asked.row), held))
        if asked.want == "end":
            held.journal.end()
            del self._held[held.cell.run_key]
        return Told()

    def close(self) -> None:
        """Lets go of all audits; those without a report may be taken up again."""
        for held in self._held.values():
            held.journal.close()
        self._held.clear()

    def _next(self, agent: AgentCard) -> Told:
        """Chooses an audit: one that was begun and left, else a new one, else one that nobody has been heard of in."""
        plan = self._plan(agent)
        ended = {row.run_key for row in self._ledger.audits(plan.run_keys) if row.outcome != "crashed"}
        waiting = [cell for cell in self._order[agent] if cell.run_key not in ended]
        free = [cell for cell in waiting if cell.run_key not in self._held]
        for begun in (True, False):
            for cell in free:
                if (journal := self._free(cell, begun)) is not None:
                    return self._hand_out(journal, plan, cell, agent, waiting)
        for held in list(self._held.values()):
            if held.cell in waiting and time.monotonic() - held.last > IDLE_SECONDS:
                retired = held.journal.name
                return self._hand_out(held.journal, plan, held.cell, agent, waiting, retired)
        if waiting:
            return Told(problem=f"No target is left for you; {len(waiting)} are being played by others.")
        return Told(problem="No target is left. You are done.")

    def _free(self, cell: Cell, begun: bool) -> Journal | None:
        """Takes the journal of an audit that nobody plays, if it was begun, or was not."""
        if begun and not Journal.there(self._design.out, cell.run_key):
            return None  # before it is taken: two desks at once must not hide from each other what is new
        journal = Journal.take(self._design.out, cell.run_key)
        if journal is None or journal.ended or (begun and not journal.name):
            if journal is not None:
                journal.close()
            return None
        return journal

    def _again(self, name: str) -> Told:
        """Finds the audit that a client was playing before this process, or the one it talked to, was started anew."""
        for held in self._held.values():
            if held.journal.name == name:  # it could not be opened when it was handed out, or not be ended
                assert held.journal.agent is not None
                return Told(offer=_offer(held.journal, held.plan, held.cell, held.journal.agent))
        journal = Journal.find(self._design.out, name)
        if journal is None or journal.agent is None:
            return Told(problem="there is no such target to go on with. Call next_target.")
        if journal.ended:
            journal.close()
            return Told(problem="this target's report was submitted. Call next_target for another.")
        agent = journal.agent
        plan = self._plan(agent)
        cell = next((cell for cell in plan.cells if cell.run_key == journal.run_key), None)
        if cell is None:
            journal.close()
            return Told(problem="this target is of another plan than the one that is served now. Call next_target.")
        self._held[cell.run_key] = _Held(journal, plan, cell)
        return Told(offer=_offer(journal, plan, cell, agent))

    def _hand_out(
        self, journal: Journal, plan: Plan, cell: Cell, agent: AgentCard, waiting: list[Cell], retired: str = ""
    ) -> Told:
        journal.offer(agent)
        self._held[cell.run_key] = _Held(journal, plan, cell)
        left = sum(one.run_key not in self._held for one in waiting)
        return Told(offer=_offer(journal, plan, cell, agent, left, retired))

    def _plan(self, agent: AgentCard) -> Plan:
        """Resolves the design for an agent, whose audits are its own; in an order drawn once."""
        if agent not in self._plans:
            plan = make_plan(self._design, agent.info)
            self._ledger.save_plan(plan.id, plan.cells, agent.title)
            self._plans[agent] = plan
            self._order[agent] = random.SystemRandom().sample(plan.cells, len(plan.cells))
        return self._plans[agent]


def _offer(journal: Journal, plan: Plan, cell: Cell, agent: AgentCard, left: int = 0, retired: str = "") -> Offer:
    return Offer(
        name=journal.name,
        agent=agent,
        job=plan.job([cell]),
        entries=journal.entries,
        left=left,
        retired=retired,
    )


def _of_cell(row: AuditRow, held: _Held) -> AuditRow:
    """Returns a row as one of the audit that was handed out: whose it is follows from that, not from who sends it."""
    assert held.journal.agent is not None
    return replace(
        row,
        run_key=held.cell.run_key,
        plan=held.plan.id,
        alias=held.cell.alias,
        kit=held.cell.kit,
        seed=held.cell.seed,
        auditor=held.journal.agent.label,
        plugins=held.plan.trusted,
    )


def serve(
    design: Design,
    *,
    name: str = "",
    http: tuple[str, int] | None = None,
    lines: tuple[int, int] | None = None,
    say: Say,
    listening: Callable[[int], None] = lambda _: None,
) -> None:
    """Serves a design's audits until the client, or whoever runs this, ends it.

    Args:
        design: kits, testbeds, seeds, budget; its auditor plays no part.
        name: of the server, as clients are told it; one is drawn if "".
        http: host and port to listen at; None for one client on standard input and output.
        lines: open files of a program of Assay's own in their place (`audits.serve.lines`); they are closed here.
        say: told of long steps, over HTTP, and of faults. A client of the other kind may show its agent what is said.
        listening: told the port, once clients can come.

    Raises:
        UnknownId, InvalidInput, PluginError: the design cannot be served.
        AssayError: the serving process ended.
    """
    offers = find_offers(design.plugins)
    tools: set[str] = set()
    for text in design.kits:
        tools.update(tool for tool, _ in parse_kit(text, offers.tools).tools)
    if http:
        make_plan(design)  # what is wrong with it is told before an agent comes; one that waits for us has no patience
    pipe = lines or (None if http else _take_pipe())
    host, port = http or ("", 0)
    order = ServeOrder(
        name=name or new_name(),
        game=design.game,
        tools=sorted(tools),
        plugins=list(offers.files),
        pipe=pipe,
        lines=lines is not None,
        host=host,
        port=port,
    )
    with (
        Ledger.open(design.ledger) as ledger,
        ServeProcess(design.logs / "serve-process.log", say if http else _mute) as process,
    ):
        desk = ServingDesk(design, ledger, say, listening)
        process.hand(*(pipe or ()))
        try:
            for data in process.run(order):
                process.reply(desk.answer(data))
        finally:
            desk.close()
            for handle in pipe or ():
                os.close(handle)  # the other end hears that nobody is there


def _take_pipe() -> tuple[int, int]:
    """Keeps the client's files for the serving process alone: what this one prints is no part of the protocol."""
    pipe = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return pipe


def _mute(_: str) -> None:
    """Says nothing."""


def new_name() -> str:
    """Draws a name for a server, which says nothing."""
    return f"audit-{secrets.token_hex(3)}"
