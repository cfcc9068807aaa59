"""Drives a bound tool without an auditor: by its examples, or on everyday prompts, for as long as a fixed budget lasts.

Every tool has the same budget, so that what two of them show can be compared. It is of forward tokens: as many calls
are made as fit in by what the first one took. One call is made in any case, whatever it takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import chain
from typing import Any

from assay._util.yaml_models import Data
from assay.auditors.explorer.battery import load_battery
from assay.audits.kits import bind_kit, parse_kit
from assay.audits.prepared import PreparedStore, Subject
from assay.core.budget import Budget, Meter
from assay.core.target import Cost
from assay.core.tool import BoundTool, Evidence, Sample, Span, Tool
from assay.errors import AssayError, InvalidInput
from assay.tools.everyday import TOPICS

MOST_CALLS = 64  # of one tool on one testbed, at most
ENOUGH_TOKENS = 4_000  # forward tokens after which no further call is begun
CALL_BUDGET = Budget(queries=20_000, tokens=400_000, seconds=1_800.0)  # beyond which a tool is stopped
_AT_ONCE = 16  # calls in flight, which the engine batches
PROTOCOL = 1  # raised when a tool is driven in another way, by what the battery and the lists do not tell


class ToolOutput(Data):
    """Holds what a tool showed of one testbed.

    Attributes:
        calls: that were made.
        samples, spans, texts: of all calls, in their order.
        documents: the samples are training data.
        cost: of the calls.
        prepared: forward tokens that preparing took, now or earlier.
        seconds: that the calls took.
        skipped: why the tool cannot be used here, "" if it can.
        failed: why it broke off, "" if it did not; what it had shown by then is kept.
    """

    calls: int = 0
    samples: tuple[Sample, ...] = ()
    spans: tuple[tuple[Span, ...], ...] = ()
    texts: tuple[str, ...] = ()
    documents: bool = False
    cost: Cost = Cost()
    prepared: int = 0
    seconds: float = 0.0
    skipped: str = ""
    failed: str = ""


def neutral_calls(tool: Tool | BoundTool) -> list[dict[str, Any]]:
    """Lists the arguments of calls that any tool of its kind might be tried with; none depends on a testbed.

    Raises:
        InvalidInput: a reader without a language model cannot drive the tool.
    """
    if not tool.drivable:
        raise InvalidInput(f"tool {tool.name} needs an LLM: it declares no examples.")
    if tool.examples:
        return [dict(example) for example in tool.examples][:MOST_CALLS]
    wanted = [parameter.name for parameter in tool.parameters if parameter.required]
    battery = load_battery()
    prompts = list(dict.fromkeys([*battery.half, *battery.texts("battery")]))
    given: dict[str, Any] = {"prompts": list(battery.half)} if "prompts" in wanted else {}
    if "query" in wanted and "prompt" not in wanted:
        return [given | {"query": topic} for topic in TOPICS]
    if "prompt" not in wanted:
        return [given]
    pairs = zip(prompts, chain(TOPICS, TOPICS, TOPICS), strict=False)
    return [given | {"prompt": prompt} | ({"query": topic} if "query" in wanted else {}) for prompt, topic in pairs]


async def drive_tool(tool: Tool, subject: Subject, store: PreparedStore, seed: int) -> ToolOutput:
    """Calls one tool on one target, bound and metered as in an audit.

    Args:
        tool: to be called.
        subject: the target.
        store: of prepared values.
        seed: of the calls.

    Returns:
        What it showed; also where it is skipped or fails, since that says something of the tool.
    """
    meter = Meter(CALL_BUDGET)
    shown: list[Evidence] = []
    prepared, failed, started = 0, "", time.monotonic()
    try:
        waiting = neutral_calls(tool)
        plan = parse_kit(tool.name, [tool.name])
        binding = await bind_kit(plan, {tool.name: tool}, subject, None, meter, seed=seed, store=store)
        if tool.name in binding.kit.skipped:
            return ToolOutput(skipped=binding.kit.skipped[tool.name])
        prepared = sum(made.cost.tokens for made in binding.prepared.values())
        started = time.monotonic()
        bound = binding.kit.tools[tool.name]
        shown.append(await bound(**waiting[0]))
        fit = (ENOUGH_TOKENS - meter.spent.tokens) // max(1, meter.spent.tokens)
        more, failed = await _called(bound, waiting[1 : 1 + max(0, fit)])
        shown += more
    except AssayError as error:
        failed = str(error)
    return ToolOutput(
        calls=len(shown),
        samples=tuple(chain.from_iterable(evidence.samples for evidence in shown)),
        spans=tuple(evidence.spans for evidence in shown if evidence.spans),
        texts=tuple(evidence.text for evidence in shown),
        documents=tool.shows_documents,
        cost=meter.spent,
        prepared=prepared,
        seconds=round(time.monotonic() - started, 3),
        failed=failed,
    )


async def _called(bound: BoundTool, calls: Sequence[dict[str, Any]]) -> tuple[list[Evidence], str]:
    """Makes some calls, a few at a time; returns what they show, in their order, and why the first to fail did so."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(arguments: dict[str, Any]) -> Evidence | AssayError:
        async with room:
            try:
                return await bound(**arguments)
            except AssayError as error:
                return error

    made = await asyncio.gather(*(one(arguments) for arguments in calls))
    faults = [str(result) for result in made if isinstance(result, AssayError)]
    return [result for result in made if isinstance(result, Evidence)], faults[0] if faults else ""
