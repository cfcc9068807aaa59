"""One conversation with a language model: turns, the tools they call, and cuts when it grows too long."""

from __future__ import annotations

import json
from pathlib import Path

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

from assay.auditors.thinking.notebook import Notebook
from assay.auditors.thinking.prose import prompt
from assay.core.model_meter import LanguageModel

KEPT = 0.4  # share of a conversation's turns that stay when it is cut
_LARGE = 20_000  # characters of a call's arguments that are not sent back to the model
_HERE = Path(__file__).parent


class Talk:
    """Holds one conversation with the model.

    Args:
        model: that thinks.
        told: its system prompt.
        task: what it is asked to do.
        hand_in: the tool that a forced turn calls.

    Attributes:
        turns: what was said since, as far as it is kept.
        read: tokens that the last turn was read with.
    """

    def __init__(self, model: LanguageModel, told: str, task: str, hand_in: str) -> None:
        self.model = model
        self.turns: list[ChatMessage] = []
        self.read = 0
        self._hand_in = hand_in
        self._cuts = 0
        self._head: list[ChatMessage] = [
            ChatMessageSystem(content=told),
            ChatMessageUser(content=task, source="input"),
        ]

    @property
    def shortest(self) -> bool:
        """Tells whether there is nothing left to cut."""
        return self._cuts > 0 and len(self.turns) <= 2

    async def ask(self, tools: list[ToolDef], *, forced: bool = False) -> ModelOutput:
        """Lets the model take a turn, and runs the tools it calls, side by side where they allow it."""
        output: ModelOutput = await self.model.inspect.generate(
            [*self._head, *self.turns],
            tools=tools,
            tool_choice=ToolFunction(name=self._hand_in) if forced else "auto",
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
        self.turns = [ChatMessageUser(content=prompt(_HERE, "cut", notebook=notebook.shown())), *kept]
        if isinstance(self.turns[-1], ChatMessageAssistant):
            self.say(prompt(_HERE, "go_on", hand_in=self._hand_in))
        self.read, self._cuts = 0, self._cuts + 1

    async def only(self, notebook: Notebook, asked: str) -> None:
        """Leaves of the conversation the notebook alone, and asks anew."""
        self.turns = []
        await self.cut(notebook)
        self.say(asked)


def _shorten(message: ChatMessageAssistant) -> None:
    """Leaves out of a call what is too large to be read again."""
    for call in message.tool_calls or ():
        size = len(json.dumps(call.arguments, default=str))
        if size > _LARGE:
            call.arguments = {"left_out": f"{size:,} characters"}
