"""The loop: a language model thinks, calls tools, reads what they show, and reports before its budget ends."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ModelOutput,
    execute_tools,
    trim_messages,
)
from inspect_ai.tool import ToolDef, ToolFunction

from assay.auditors.investigator.kit_tools import Spending, kit_tools
from assay.auditors.investigator.notebook import Notebook
from assay.auditors.investigator.prose import prompt, strategy
from assay.auditors.investigator.submission import SUBMIT, Submission
from assay.core.auditor import Brief, Kit
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel
from assay.core.report import Report
from assay.errors import BudgetExceeded, ModelRefused, NoReport

CONTEXT = 24_000  # tokens; a conversation that was read with more is cut before the next turn
KEPT = 0.4  # share of its turns that stay
REPORT_TOKENS = 3_000  # that are kept back for each try at the report
LAST_SECONDS = 60.0  # of the audit, which are left for the report
IDLE_TURNS = 3  # turns in a row without a call, after which the report is asked for
REFUSALS = 3  # in a row, after which the model is taken at its word
LAST_TRIES = 3  # at the report, when all else is over
TURNS = 400
_LARGE = 20_000  # characters of a call's arguments that are not sent back to the model


@dataclass
class _Talk:
    """Holds one conversation with the model.

    Attributes:
        head: what every turn begins with.
        turns: what was said since, as far as it is kept.
        read: tokens that the last turn was read with.
    """

    model: LanguageModel
    head: list[ChatMessage]
    turns: list[ChatMessage] = field(default_factory=list)
    read: int = 0
    cuts: int = 0

    async def ask(self, tools: list[ToolDef], *, forced: bool = False) -> ModelOutput:
        """Lets the model take a turn, and runs the tools it calls, side by side where they allow it."""
        output: ModelOutput = await self.model.inspect.generate(
            [*self.head, *self.turns],
            tools=tools,
            tool_choice=ToolFunction(name=SUBMIT) if forced else "auto",
        )
        if usage := output.usage:
            self.read = usage.input_tokens + (usage.input_tokens_cache_read or 0)
        if output.empty or output.stop_reason in ("content_filter", "model_length"):
            return output
        self.turns.append(output.message)
        if output.message.tool_calls:
            done = await execute_tools(self.turns, tools)
            self.turns += done.messages
            _shorten(output.message)
        return output

    def say(self, text: str) -> None:
        """Tells the model something."""
        self.turns.append(ChatMessageUser(content=text))

    async def cut(self, notebook: Notebook) -> None:
        """Leaves the oldest turns out and shows the notebook in their place."""
        kept = await trim_messages(self.turns, preserve=KEPT)
        # What comes before the first turn of the model's own is an earlier notebook, or what it was told.
        while kept and not isinstance(kept[0], ChatMessageAssistant):
            kept.pop(0)
        self.turns = [ChatMessageUser(content=prompt("cut", notebook=notebook.shown())), *kept]
        if isinstance(self.turns[-1], ChatMessageAssistant):
            self.say(prompt("go_on"))
        self.read, self.cuts = 0, self.cuts + 1


def _shorten(message: ChatMessageAssistant) -> None:
    """Leaves out of a call what is too large to be read again."""
    for call in message.tool_calls or ():
        size = len(json.dumps(call.arguments, default=str))
        if size > _LARGE:
            call.arguments = {"left_out": f"{size:,} characters"}


async def investigate(kit: Kit, brief: Brief, budget: Budget, model: LanguageModel, variant: str) -> Report:
    """Plays one audit.

    Args:
        kit: its tools; without any the model reports what it expects.
        brief: what it is asked to do.
        budget: of the audit.
        model: that thinks.
        variant: which strategy it is told.

    Raises:
        NoReport: it handed in none that could be taken.
        ModelRefused: it would not go on.
        BudgetExceeded: not even a report fitted into the budget.
    """
    spending, notebook, submission = Spending(budget, model), Notebook(), Submission()
    tools = [*kit_tools(kit, spending), *notebook.tools(), submission.tool()]
    told = prompt("system", strategy=strategy(variant), tools=_about(kit))
    first = f"{brief.text}\n\n{spending.line()}"
    talk = _Talk(model, [ChatMessageSystem(content=told), ChatMessageUser(content=first, source="input")])
    why = await _work(talk, tools, spending, notebook, submission)
    if submission.report is None:
        await _last_turn(talk, submission, notebook, why)
    if submission.report is None:
        raise NoReport(f"{model.name} handed in no report that could be taken ({why}; {submission.refused} refused).")
    return submission.report


def _about(kit: Kit) -> str:
    """Says which tools there are, and which are not."""
    if not kit.tools:
        return "You have no tools on the target in this audit: report what you expect, and how likely it is."
    skipped = [f"{name} ({why})" for name, why in kit.skipped.items()]
    return "Tools that are not there: " + "; ".join(skipped) if skipped else ""


async def _work(
    talk: _Talk, tools: list[ToolDef], spending: Spending, notebook: Notebook, submission: Submission
) -> str:
    """Lets the model work until it hands in a report, or has to.

    Returns:
        Why it ended.
    """
    idle = refusals = too_long = 0
    for _ in range(TURNS):
        if why := _over(talk, spending, idle):
            return why
        if talk.read > CONTEXT:
            await talk.cut(notebook)
        try:
            output = await talk.ask(tools)
        except BudgetExceeded:
            return "your own tokens are used up"
        if submission.report is not None:
            return "it was handed in"
        too_long = too_long + 1 if output.stop_reason == "model_length" else 0
        refusals = refusals + 1 if output.stop_reason == "content_filter" else 0
        if refusals >= REFUSALS:
            raise ModelRefused(f"{talk.model.name} refused {REFUSALS} times in a row: {output.completion[:200]}")
        if too_long > 1:
            return "the conversation does not fit into your context any more"
        if too_long:
            await talk.cut(notebook)
        called = not output.empty and bool(output.message.tool_calls)
        idle = 0 if called else idle + 1
        if not called:
            talk.say(prompt("go_on"))
    return f"{TURNS} turns were taken"


def _over(talk: _Talk, spending: Spending, idle: int) -> str:
    """Tells why the report has to be asked for now, "" if it has not."""
    if idle >= IDLE_TURNS:
        return f"nothing was called in {IDLE_TURNS} turns"
    if spending.seconds_left < LAST_SECONDS:
        return "the time is up"
    # What was read last is read again, and once more to mend a report.
    if talk.read and talk.model.tokens_left < 2 * (talk.read + REPORT_TOKENS):
        return "your own tokens are used up"
    return ""


async def _last_turn(talk: _Talk, submission: Submission, notebook: Notebook, why: str) -> None:
    """Asks for the report and for nothing else; a cut conversation where the whole does not fit."""
    tools: list[Any] = [submission.tool()]
    talk.say(prompt("last_turn", why=why))
    for _ in range(LAST_TRIES):
        try:
            output = await talk.ask(tools, forced=True)
        except BudgetExceeded:
            if talk.cuts and len(talk.turns) <= 2:
                raise
            await _shortest(talk, notebook, why)
            continue
        if submission.report is not None:
            return
        if output.stop_reason == "model_length":
            await _shortest(talk, notebook, why)
        elif output.empty or not output.message.tool_calls:
            talk.say(prompt("last_turn", why=why))


async def _shortest(talk: _Talk, notebook: Notebook, why: str) -> None:
    """Leaves of a conversation the notebook alone."""
    talk.turns = []
    await talk.cut(notebook)
    talk.say(prompt("last_turn", why=why))
