"""What a client can ask for: the next target, the tools of its kit, a check of a report, its submission."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from assay._util.visible import visible
from assay.audits.briefs import brief_text
from assay.audits.prepared import PreparedStore
from assay.audits.serve.answers import ToolAnswer, budget_left, left_line
from assay.audits.serve.calls import TARGET
from assay.audits.serve.check import Seen, read_answer, tried, tried_as_text
from assay.audits.serve.desk_line import DeskLine
from assay.audits.serve.messages import AgentCard, Entry, Offer
from assay.audits.serve.open_audit import OpenAudit, failure
from assay.core.report_format import report_instructions
from assay.core.tool import Tool
from assay.engine.targets import EnginePool
from assay.errors import InvalidInput

_RETOLD = 24_000  # characters of earlier calls that are told to who takes an audit up, the last ones
_OWN = ("next_target", "check_report", "submit_report")


class Service:
    """Serves audits to any number of clients; each call names the target it is of.

    Args:
        tools: by name.
        desk: hands out audits, and keeps them.
        engines: targets are opened on.
        store: of prepared values.
    """

    def __init__(self, tools: Mapping[str, Tool], desk: DeskLine, engines: EnginePool, store: PreparedStore) -> None:
        self._tools, self._desk, self._engines, self._store = tools, desk, engines, store
        self._audits: dict[str, OpenAudit] = {}  # name of the target → its audit
        self._opening = asyncio.Lock()

    async def answer(self, name: str, arguments: Mapping[str, Any], client: AgentCard) -> ToolAnswer:
        """Answers one call; what goes wrong is an answer too.

        Args:
            name: of what is called.
            arguments: as the client gave them.
            client: as it introduced itself.
        """
        audit: OpenAudit | None = None
        try:
            if name == "next_target":
                return await self._next(arguments, client)
            audit = await self._audit(arguments)
            given = {key: value for key, value in arguments.items() if key != TARGET}
            if name == "check_report":
                return await _check(audit, given)
            if name == "submit_report":
                return await self._submit(audit, given)
            if name not in self._tools:
                known = ", ".join([*audit.binding.kit.tools, *_OWN])
                raise InvalidInput(f"there is no tool {visible(name)[:60]!r}. There are: {known}.")
            return await audit.call(name, given, lambda entry: self._keep(audit, entry))
        except Exception as error:  # tools are anyone's code; the client is told, and the audit goes on
            return failure(error, audit)

    async def close(self) -> None:
        """Lets go of all targets. What was not submitted is kept as it stands."""
        for audit in self._audits.values():
            await audit.close()
        self._audits.clear()

    async def _keep(self, audit: OpenAudit, entry: Entry) -> None:
        await self._desk.keep(audit.offer.name, audit.row(), entry)

    async def _next(self, arguments: Mapping[str, Any], client: AgentCard) -> ToolAnswer:
        guide = arguments.get("guide", True)
        if not isinstance(guide, bool):
            raise InvalidInput("next_target: guide is true or false.")
        agent = AgentCard.of(
            arguments.get("agent") or client.name,
            arguments.get("version") or client.version,
            arguments.get("model") or client.model,
        )
        offer, why = await self._desk.next_offer(agent)
        if offer is None:
            return ToolAnswer({"target": None, "why": why}, why)
        async with self._opening:
            return _introduced(await self._open(offer), guide)

    async def _audit(self, arguments: Mapping[str, Any]) -> OpenAudit:
        """Finds the audit that a call is of; after a restart it is taken up under the name the client knows."""
        name = arguments.get(TARGET)
        if not isinstance(name, str) or not name:
            raise InvalidInput("give target, the name that next_target gave you.")
        found = self._audits.get(name)
        if found is not None and not found.ended:
            return found
        async with self._opening:  # of two calls at once after a restart, the first one opens it
            if (found := self._audits.get(name)) is not None and not found.ended:
                return found
            return await self._open(await self._desk.offer_again(name[:100]))

    async def _open(self, offer: Offer) -> OpenAudit:
        """Begins what was offered, or goes on with it; one at a time."""
        if (earlier := self._audits.pop(offer.retired or offer.name, None)) is not None:
            await earlier.close()
        targets = self._engines.chosen(offer.job.engine)
        own = self._engines.chosen("")  # what helps tools is on no engine that was chosen for targets
        audit = await OpenAudit.begin(offer, self._tools, targets.open, targets.machine, self._store, own.open)
        self._audits[offer.name] = audit
        await self._desk.keep(offer.name, audit.row())
        return audit

    async def _submit(self, audit: OpenAudit, given: Mapping[str, Any]) -> ToolAnswer:
        report, problems = read_answer(audit.cell.game, _report(given))
        if report is None or problems:  # a predicate that grading would not try, too: it can still be mended
            raise InvalidInput("the report is not accepted, and nothing was submitted:\n- " + "\n- ".join(problems))
        row = audit.end(report)
        try:
            await self._desk.end(audit.offer.name, row)
        finally:
            self._audits.pop(audit.offer.name, None)
            await audit.close()
        return ToolAnswer({"submitted": True}, "The report is recorded. Call next_target for the next one.")


def _report(given: Mapping[str, Any]) -> object:
    if given.keys() != {"report"}:
        raise InvalidInput("give target and report, and nothing else.")
    return given["report"]


async def _check(audit: OpenAudit, given: Mapping[str, Any]) -> ToolAnswer:
    """Tells what is wrong with a report and what its predicates match, which costs nothing."""
    report, problems = read_answer(audit.cell.game, _report(given))
    lines = ["Problems:", *(f"- {problem}" for problem in problems)] if problems else ["No problem of form."]
    tries: list[dict[str, Any]] = []
    if report is not None:
        seen = Seen.of(audit.entries, audit.binding.kit.tools.values())
        tries = await asyncio.to_thread(tried, report, seen)  # a pattern may take its time on each of many replies
        lines.append(tried_as_text(tries))
    left = budget_left(audit.meter)
    data = {"problems": problems, "tried": tries, "left": left}
    return ToolAnswer(data, audit.blinded("\n".join(lines)) + f"\n{left_line(left)}")


def _introduced(audit: OpenAudit, guide: bool) -> ToolAnswer:
    """Tells an agent of its target; what was asked before it came is told again, if it was."""
    kit, left, cell = audit.binding.kit, budget_left(audit.meter), audit.cell
    task = brief_text(cell.game, cell.about)
    how = report_instructions(cell.game) if guide else "The report is written as you have been told."
    data: dict[str, Any] = {
        "target": audit.offer.name,
        "task": task,
        "tools": sorted(kit.tools),
        "left": left,
        "waiting": audit.offer.left,
        "report": how,
    }
    lines = [
        f"Target: {audit.offer.name}",
        task,
        f"Tools for it: {', '.join(sorted(kit.tools)) or 'none'}.",
    ]
    if kit.skipped:
        data["not_here"] = dict(kit.skipped)
        lines += [f"Not here: {name} ({why})." for name, why in kit.skipped.items()]
    if audit.entries:
        data["earlier_calls"], dropped = _retold(audit.entries)
        data["earlier_calls_left_out"] = dropped
        lines.append(
            f"It was begun before; {len(audit.entries)} calls were made, of which the last are in earlier_calls."
        )
        for call in data["earlier_calls"]:
            lines.append(f"{call['tool']} {call['arguments']} → {call['shown']}")
    lines += [left_line(left), "", how]
    return ToolAnswer(data, visible("\n".join(lines)))


def _retold(entries: list[Entry]) -> tuple[list[dict[str, Any]], int]:
    """Returns the last calls that there is room for, and how many were left out."""
    kept: list[dict[str, Any]] = []
    room = _RETOLD
    for entry in reversed(entries):
        call = {"tool": entry.tool, "arguments": entry.arguments, "shown": entry.shown}
        room -= len(str(call))
        if room < 0:
            break
        kept.append(call)
    return kept[::-1], len(entries) - len(kept)
