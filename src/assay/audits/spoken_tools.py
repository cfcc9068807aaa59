"""Offers tools in words to a model that takes none: it is told of them, and what it writes as a call is read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    ModelOutput,
)
from inspect_ai.tool import ToolCall, ToolChoice, ToolInfo

from assay._util.strict_json import parse_json
from assay.errors import InvalidInput

_CALL = re.compile(r"<call>(.*?)(?:</call>|\Z)", re.DOTALL)
_HOW = 'To use a tool, write <call>{"tool": NAME, "arguments": {…}}</call>; several at once are several of these.'


def as_words(messages: Sequence[ChatMessage], tools: Sequence[ToolInfo], choice: ToolChoice) -> list[ChatMessage]:
    """Tells of tools in the system prompt, and of calls and their results in the turns."""
    listed = [f"- {tool.name}({', '.join(tool.parameters.properties)}): {tool.description}" for tool in tools]
    # Whole: of a tool that hands in, the description says how a report is written.
    named = "" if isinstance(choice, str) else f": {choice.name}"
    must = "" if choice == "auto" else f" You must use one now{named}."
    told = "\n".join([f"{_HOW}{must}", "Tools:", *listed])
    turns: list[ChatMessage] = []
    system = [message.text for message in messages if message.role == "system"]
    turns.append(ChatMessageSystem(content="\n\n".join([*system, told])))
    for message in messages:
        if isinstance(message, ChatMessageAssistant):
            calls = [_written(call) for call in message.tool_calls or ()]
            turns.append(ChatMessageAssistant(content="\n".join([message.text, *calls]).strip()))
        elif not isinstance(message, ChatMessageSystem):
            text = message.text
            if isinstance(message, ChatMessageTool):
                text = f"Result of {message.function}: {message.error.message if message.error else text}"
            if isinstance(turns[-1], ChatMessageUser):  # many templates want turns to alternate
                turns[-1] = ChatMessageUser(content=f"{turns[-1].text}\n\n{text}")
            else:
                turns.append(ChatMessageUser(content=text))
    return turns


def _written(call: ToolCall) -> str:
    return f"<call>{json.dumps({'tool': call.function, 'arguments': call.arguments}, ensure_ascii=False)}</call>"


def as_calls(output: ModelOutput, tools: Sequence[ToolInfo]) -> ModelOutput:
    """Reads calls out of what a model wrote. One that cannot be read is a call with a fault, for it to be told."""
    if output.empty:
        return output
    message = output.message
    calls = [_read(text, number, tools) for number, text in enumerate(_CALL.findall(message.text))]
    if not calls:
        return output
    spoken = ChatMessageAssistant(
        content=_CALL.sub("", message.text).strip(), tool_calls=calls, model=message.model, source="generate"
    )
    choice = output.choices[0].model_copy(update={"message": spoken, "stop_reason": "tool_calls"})
    return output.model_copy(update={"choices": [choice, *output.choices[1:]]})


def _read(text: str, number: int, tools: Sequence[ToolInfo]) -> ToolCall:
    name, arguments, fault = "unreadable", {}, None
    try:
        given: Any = parse_json(text, "call")
        name, arguments = given["tool"], given.get("arguments", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise TypeError
    except (InvalidInput, TypeError, KeyError, AttributeError) as error:
        name = tools[0].name if tools else "unreadable"
        arguments, fault = {}, f"this is no call ({error or 'wrong types'}). {_HOW}"
    return ToolCall(id=f"call_{number}", function=name, arguments=arguments, parse_error=fault)
