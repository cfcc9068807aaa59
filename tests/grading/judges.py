"""Scripted judges: Inspect's mock model, answering by a function of what it is asked."""

import json
import re
from collections.abc import Callable
from typing import Any

from inspect_ai.model import ChatMessage, ModelOutput, ModelUsage, get_model

from assay.engine.cache import ReplyCache
from assay.engine.remote.asked import AskedModel
from assay.grading.judge.ask import Judge
from assay.grading.judge.panel import Panel

Asked = list[tuple[str, str]]  # role and text of each turn
Says = Callable[[Asked], Any]  # what the model says: text, plain data that is written as JSON, an output, or an error


def model(says: Says, name: str = "mock/judge") -> AskedModel:
    """A model that answers by a function."""

    def answer(turns: list[ChatMessage], *_: object) -> ModelOutput:
        said = says([(turn.role, turn.text) for turn in turns])
        if isinstance(said, Exception):
            raise type(said)(*said.args)  # each time another one, as a provider does
        if not isinstance(said, ModelOutput):
            said = ModelOutput.from_content("mockllm", said if isinstance(said, str) else json.dumps(said))
        said.usage = ModelUsage(input_tokens=100, output_tokens=10)  # or a tokenizer is downloaded to count them
        return said

    return AskedModel(get_model("mockllm/model", custom_outputs=answer, memoize=False), name)


def judge(says: Says, name: str = "mock/judge", kept: ReplyCache | None = None) -> Judge:
    """A judge that keeps nothing, unless it is given a store."""
    return Judge(model(says, name), kept or ReplyCache(None))


def panel(*says: Says) -> Panel:
    """A panel of judges with names of their own."""
    return Panel([judge(one, f"mock/{number}") for number, one in enumerate(says)])


def blocks(asked: Asked) -> dict[str, Any]:
    """The data that a question holds, read as a person would who trusts the tags alone."""
    text = next(text for role, text in asked if role == "user")
    found: dict[str, Any] = {}
    for name, _, inside in re.findall(r"<(\w+)-([0-9a-f]{16})>\n(.*?)\n</\1-\2>", text, re.DOTALL):
        found[name] = json.loads(inside)
    return found


def verdict(word: str) -> dict[str, str]:
    return {"reason": "so it is", "verdict": word}
