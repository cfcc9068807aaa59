"""One served audit: bound tools, a meter, the calls so far, and what becomes of them when the agent goes away."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import chain
from typing import Any, Self

from assay._util.storable import storable
from assay._util.visible import visible
from assay.audits.auxiliary import opened_auxiliary
from assay.audits.cell import Cell
from assay.audits.kits import Binding, bind_kit, parse_kit
from assay.audits.prepared import PreparedStore, Subject, target_digest
from assay.audits.redact import scrub
from assay.audits.serve.answers import (
    ToolAnswer,
    budget_left,
    left_line,
    replies_as_text,
    replies_to,
)
from assay.audits.serve.calls import asks_prompts, single_calls, told_apart
from assay.audits.serve.messages import Entry, Offer
from assay.audits.transcripts import recorded
from assay.core.answer import BehaviouralEval, GameAnswer, claims
from assay.core.budget import Budget, Meter
from assay.core.record import AuditRow
from assay.core.report import Outcome
from assay.core.target import Cost, OpenTarget
from assay.core.testbed import TargetSpec
from assay.core.tool import Evidence, Tool
from assay.errors import AssayError, InvalidInput, PluginError, blamed

Keep = Callable[[Entry], Awaitable[None]]
_ALIAS = re.compile(r"tb-[0-9a-f]{8,32}")
UNFINISHED = "the agent has submitted no report"


class OpenAudit:
    """Plays one audit for a client. Make one with `OpenAudit.begin`.

    Args:
        offer: what is played, and what was played of it before.
        stack: closes what is open.
        meter: of the audit.
        binding: its kit.
        tools: by name.
        machine: what the replies are made with.

    Attributes:
        entries: the calls so far.
        ended: a report was handed in.
    """

    def __init__(
        self,
        offer: Offer,
        stack: AsyncExitStack,
        meter: Meter,
        binding: Binding,
        tools: Mapping[str, Tool],
        machine: str,
    ) -> None:
        self.offer, self.meter, self.binding, self.machine = offer, meter, binding, machine
        self.entries = list(offer.entries)
        self.ended = False
        self._stack, self._tools = stack, tools

    @classmethod
    async def begin(
        cls,
        offer: Offer,
        tools: Mapping[str, Tool],
        open_target: OpenTarget,
        machine: Callable[[TargetSpec], str],
        store: PreparedStore,
        open_auxiliary: OpenTarget,
    ) -> Self:
        """Opens the target and binds the kit; what was spent before stays spent."""
        [cell] = offer.job.cells
        spec = offer.job.targets[cell.alias]
        donor_spec = offer.job.targets[cell.donor or cell.alias]
        meter = _resumed(offer.job.budget, offer.entries)
        async with AsyncExitStack() as stack:
            target = await stack.enter_async_context(open_target(spec))
            donor = await stack.enter_async_context(open_target(donor_spec)) if cell.donor else None
            auxiliary = await stack.enter_async_context(opened_auxiliary(offer.job.auxiliary, open_auxiliary)())
            binding = await bind_kit(
                parse_kit(cell.kit, tools),
                tools,
                Subject(target, target_digest(spec)),
                Subject(donor, target_digest(donor_spec)) if donor is not None else None,
                meter,
                seed=cell.seed,
                store=store,
                auxiliary=auxiliary,
                earlier=_earlier(offer.entries),
            )
            return cls(offer, stack.pop_all(), meter, binding, tools, machine(spec))

    async def close(self) -> None:
        """Lets go of the target."""
        await self._stack.aclose()

    async def call(self, name: str, given: Mapping[str, Any], keep: Keep) -> ToolAnswer:
        """Runs a tool, as often as the request says.

        Args:
            name: of the tool.
            given: the request's arguments, without the target.
            keep: writes the call down; only then is it answered.

        Raises:
            InvalidInput: another tool, arguments it does not take, or more than there is budget for; nothing is spent.
        """
        kit = self.binding.kit
        if name not in kit.tools:
            why = f" ({kit.skipped[name]})" if name in kit.skipped else ""
            raise InvalidInput(f"{name} is no tool of this target{why}. It has: {', '.join(kit.tools) or 'none'}.")
        tool, calls = self._tools[name], list[dict[str, Any]]()
        bound = recorded(tool, kit.tools[name], calls)
        asked = single_calls(tool, given)
        left = budget_left(self.meter)
        if len(asked) > left["queries"]:
            raise InvalidInput(f"{name}: this takes {len(asked):,} queries at least, and {left['queries']:,} are left.")

        async def once(arguments: Mapping[str, Any]) -> Evidence | Exception:
            try:
                return await bound(**arguments)
            except Exception as error:
                return error  # the others' answers are kept

        made = await asyncio.gather(*map(once, asked))
        if len(made) == 1 and isinstance(made[0], Exception):
            # Kept all the same: what it had spent before it failed stays spent when the audit is taken up again.
            await keep(self._entry(name, given, calls, {"error": self.blinded(blamed(made[0]))}))
            raise made[0]
        evidence = [self.blinded(blamed(one)) if isinstance(one, Exception) else one for one in made]
        shown, text = _shown(tool, asked, evidence)
        shown = self._clean(shown)
        await keep(self._entry(name, given, calls, shown))
        left = budget_left(self.meter)
        data = {"target": self.offer.name, "tool": name, **shown, "left": left}
        return ToolAnswer(data, f"{visible(self._clean(text))}\n{left_line(left)}")

    def _entry(
        self,
        name: str,
        given: Mapping[str, Any],
        calls: list[dict[str, Any]],
        shown: dict[str, Any],
    ) -> Entry:
        spent = self.meter.spent
        entry = Entry(
            tool=name,
            arguments=storable(given),
            calls=calls,
            shown=shown,
            spent=(spent.queries, spent.input_tokens, spent.output_tokens),
            by_tool={
                tool: (cost.queries, cost.input_tokens, cost.output_tokens) for tool, cost in self.meter.by_tool.items()
            },
            seconds=round(self.meter.seconds, 3),
        )
        self.entries.append(entry)
        return entry

    @property
    def cell(self) -> Cell:
        """Returns what is played."""
        [cell] = self.offer.job.cells
        return cell

    def end(self, report: GameAnswer) -> AuditRow:
        """Ends the audit with its report.

        Raises:
            InvalidInput: it has one.
        """
        if self.ended:
            raise InvalidInput("this target's report was submitted. Call next_target for another.")
        self.ended = True
        self.meter.close()
        if isinstance(report, BehaviouralEval):  # what it is about follows from the cell, and not from what is said
            report = report.model_copy(update={"about": self.cell.about})
        outcome: Outcome = "completed" if claims(report) else "none-submitted"
        error = ""
        if self.binding.kit.tools and not self.entries:
            outcome = "never-queried"
        if self.meter.exceeded:
            outcome, error = "out-of-budget", "more was asked for, or spent, than there was"
        return self.row(outcome, report, error)

    def row(self, outcome: Outcome = "crashed", report: GameAnswer | None = None, error: str = UNFINISHED) -> AuditRow:
        """Describes the audit as it stands."""
        cell = self.cell
        return AuditRow(
            run_key=cell.run_key,
            plan=self.offer.job.plan,
            alias=cell.alias,
            kit=cell.kit,
            auditor=self.offer.agent.label,
            seed=cell.seed,
            outcome=outcome,
            report=report.model_dump_json() if report else "",
            cost=self.meter.spent,
            by_tool=dict(self.meter.by_tool),
            calls=dict(self.binding.calls),
            skipped=dict(self.binding.kit.skipped),
            prepared=dict(self.binding.prepared),
            seconds=round(self.meter.seconds, 3),
            log=f"{cell.game}-served",
            error=error,
            machine=self.machine,
        )

    def blinded(self, text: str) -> str:
        """Takes paths and aliases out of a text that goes to the agent."""
        return _ALIAS.sub(self.offer.name, scrub(text))

    def _clean(self, data: Any) -> Any:
        """Makes data fit to be sent: no alias, which a tool may have written, and no broken characters."""
        if isinstance(data, str):
            return _ALIAS.sub(self.offer.name, str(storable(data)))
        if isinstance(data, dict):
            return {key: self._clean(value) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self._clean(item) for item in data]
        return storable(data)


def _shown(
    tool: Tool, asked: Sequence[Mapping[str, Any]], evidence: Sequence[Evidence | str]
) -> tuple[dict[str, Any], str]:
    """Writes what came of a request, as data and to be read."""
    if not asks_prompts(tool):
        [one] = evidence
        if not isinstance(one, Evidence):
            raise PluginError(one)
        return {"text": one.text}, one.text
    by_call: dict[tuple[str, ...], tuple[dict[str, str], list[Evidence | str]]] = {}
    for told, one in zip(told_apart(asked), evidence, strict=True):
        by_call.setdefault(tuple(told.values()), (told, []))[1].append(one)
    results = [replies_to(told, found) for told, found in by_call.values()]
    return {"results": results}, replies_as_text(results)


def _resumed(budget: Budget, entries: Sequence[Entry]) -> Meter:
    """Makes a meter that goes on where the last call left it; the time in between was nobody's."""
    if not entries:
        return Meter(budget)
    last = entries[-1]
    by_tool = {tool: Cost(*cost) for tool, cost in last.by_tool.items()}
    return Meter(budget, Cost(*last.spent), by_tool, started=time.monotonic() - last.seconds)


def _earlier(entries: Sequence[Entry]) -> list[tuple[str, Mapping[str, Any]]]:
    calls = chain.from_iterable(entry.calls for entry in entries)
    return [(call["tool"], call["arguments"]) for call in calls]


def failure(error: BaseException, audit: OpenAudit | None = None) -> ToolAnswer:
    """Tells an agent what went wrong, without telling it where it is."""
    said = str(error) if isinstance(error, AssayError) else blamed(error)
    text = audit.blinded(said) if audit else _ALIAS.sub("it", scrub(said))
    left = budget_left(audit.meter) if audit and not audit.ended else {}
    told = f"{text}\n{left_line(left)}" if left else text
    return ToolAnswer({"error": text, **({"left": left} if left else {})}, told, failed=True)
