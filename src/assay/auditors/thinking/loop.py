"""The loop: a language model thinks, calls tools, reads what they show, and hands in before its budget ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from inspect_ai.tool import ToolDef

from assay.auditors.thinking.hand_in import HandIn
from assay.auditors.thinking.kit_tools import Spending
from assay.auditors.thinking.notebook import Notebook
from assay.auditors.thinking.prose import prompt
from assay.auditors.thinking.talk import Talk
from assay.core.auditor import Brief, Kit
from assay.errors import BudgetExceeded, ModelRefused, NoReport

CONTEXT = 24_000  # tokens; a conversation that was read with more is cut before the next turn
ANSWER_TOKENS = 3_000  # that are kept back for each try at handing in
LAST_SECONDS = 60.0  # of the audit, which are left for handing in
IDLE_TURNS = 3  # turns in a row without a call, after which the answer is asked for
REFUSALS = 3  # in a row, after which the model is taken at its word
LAST_TRIES = 3  # at handing in, when all else is over
TURNS = 400
_SPARE = 0.02  # share of the time at whose end a draft is handed in, whatever call is still under way
_HERE = Path(__file__).parent
_Given = TypeVar("_Given")


def about_kit(kit: Kit) -> str:
    """Says which tools there are not, and why."""
    if not kit.tools:
        return "You have no tools on the target in this audit: hand in what you expect, and how likely it is."
    skipped = [f"{name} ({why})" for name, why in kit.skipped.items()]
    return "Tools that are not there: " + "; ".join(skipped) if skipped else ""


@dataclass
class Thinking(Generic[_Given]):
    """One audit by a language model.

    Attributes:
        told: what it is, and how it works; the system prompt.
        tools: that it has beside its notebook and handing in.
        spending: of the audit so far.
        hand_in: takes what it is asked for.
        memory: writes out what beside the notebook must survive when turns are cut.
    """

    told: str
    tools: list[ToolDef]
    spending: Spending
    hand_in: HandIn[_Given]
    memory: Callable[[], str] = str

    async def play(self, brief: Brief) -> _Given:
        """Plays the audit.

        Args:
            brief: what it is asked to do.

        Raises:
            NoReport: it handed in nothing that could be taken.
            ModelRefused: it would not go on.
            BudgetExceeded: not even handing in fitted into the budget, and it had left no draft.
        """
        notebook = Notebook(self.memory)
        talk = Talk(self.spending.model, self.told, f"{brief.text}\n\n{self.spending.line()}", self.hand_in.name)
        limit = asyncio.timeout(self.spending.seconds_left - _SPARE * self.spending.budget.seconds)
        why = "the time is up"
        try:
            async with limit:
                why = await self._work(talk, notebook)
                if self.hand_in.answer is None:
                    await self._last_turn(talk, notebook, why)
        except (BudgetExceeded, TimeoutError) as error:
            if isinstance(error, TimeoutError) and not limit.expired():
                raise
            if self.hand_in.draft is None:
                raise BudgetExceeded(str(error) or "budget used up: the time for handing in") from None
        if self.hand_in.best is None:
            raise NoReport(
                f"{self.spending.model.name} handed in no report that could be taken ({why}; "
                f"{self.hand_in.refused} refused)."
            )
        return self.hand_in.best

    async def _work(self, talk: Talk, notebook: Notebook) -> str:
        """Lets the model work until it hands in, or has to.

        Returns:
            Why it ended.
        """
        tools = [*self.tools, *notebook.tools(), self.hand_in.tool()]
        idle = refusals = too_long = 0
        for _ in range(TURNS):
            if why := self._over(talk, idle):
                return why
            if talk.read > CONTEXT:
                await talk.cut(notebook)
            try:
                output = await talk.ask(tools)
            except BudgetExceeded:
                return "your own tokens are used up"
            if self.hand_in.answer is not None:
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
                talk.say(prompt(_HERE, "go_on", hand_in=self.hand_in.name))
        return f"{TURNS} turns were taken"

    def _over(self, talk: Talk, idle: int) -> str:
        """Tells why the answer has to be asked for now, "" if it has not."""
        if idle >= IDLE_TURNS:
            return f"nothing was called in {IDLE_TURNS} turns"
        if self.spending.seconds_left < LAST_SECONDS:
            return "the time is up"
        # What was read last is read again, and once more to mend an answer.
        if talk.read and talk.model.tokens_left < 2 * (talk.read + ANSWER_TOKENS):
            return "your own tokens are used up"
        return ""

    async def _last_turn(self, talk: Talk, notebook: Notebook, why: str) -> None:
        """Asks for the answer and for nothing else; a cut conversation where the whole does not fit."""
        self.hand_in.over = True
        tools = [self.hand_in.tool()]
        asked = prompt(_HERE, "last_turn", why=why, hand_in=self.hand_in.name)
        talk.say(asked)
        for _ in range(LAST_TRIES):
            try:
                output = await talk.ask(tools, forced=True)
            except BudgetExceeded:
                if talk.shortest:
                    raise
                await talk.only(notebook, asked)
                continue
            if self.hand_in.answer is not None:
                return
            if output.stop_reason == "model_length":
                await talk.only(notebook, asked)
            elif output.empty or not output.message.tool_calls:
                talk.say(asked)
