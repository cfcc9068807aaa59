"""How a tool of a kit is offered over the protocol: its schema, and the single calls that one request is made of.

A tool that asks one prompt takes a list of them here, and how often each is to be asked; its other texts, a system
prompt say, may be lists too, and every prompt is then asked under each. A language model is slow to write one request
after the other, and the engine answers many at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from pydantic import TypeAdapter

from assay.core.tool import Parameter, Tool
from assay.errors import InvalidInput

MOST_REPLIES = 500  # of one request: prompts times samples
_PROMPT, _PROMPTS, _SAMPLES, TARGET = "prompt", "prompts", "samples", "target"


def asks_prompts(tool: Tool) -> bool:
    """Tells whether a tool asks one prompt, and so can be given several."""
    names = {parameter.name for parameter in tool.parameters}
    return not names & {_PROMPTS, _SAMPLES} and any(
        parameter.name == _PROMPT and parameter.annotation is str and parameter.required
        for parameter in tool.parameters
    )


def input_schema(tool: Tool) -> dict[str, Any]:
    """Returns the JSON schema of what a client gives."""
    properties: dict[str, Any] = {TARGET: {"type": "string", "description": "name of the target, from next_target"}}
    required = [TARGET]
    several = asks_prompts(tool)
    for parameter in tool.parameters:
        if several and parameter.name == _PROMPT:
            properties[_PROMPTS] = {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "description": "one or more user turns, each asked by itself",
            }
            required.append(_PROMPTS)
            continue
        properties[parameter.name] = _one_or_several(parameter) if several and _text(parameter) else _schema(parameter)
        if parameter.required:
            required.append(parameter.name)
    if several:
        properties[_SAMPLES] = {
            "type": "integer",
            "minimum": 1,
            "default": 1,
            "description": f"replies to each prompt, under each of what else is a list; {MOST_REPLIES} in all at most",
        }
    definitions: dict[str, Any] = {}
    for schema in properties.values():
        definitions |= schema.pop("$defs", {})  # what a schema refers to stands at the root
    whole = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return whole | ({"$defs": definitions} if definitions else {})


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema = dict(TypeAdapter(parameter.annotation).json_schema())
    if not parameter.required:
        schema["default"] = parameter.default
    return schema


def _text(parameter: Parameter) -> bool:
    return parameter.annotation is str


def _one_or_several(parameter: Parameter) -> dict[str, Any]:
    text = {"type": "string"}
    schema: dict[str, Any] = {
        "anyOf": [text, {"type": "array", "items": text, "minItems": 1}],
        "description": "one, or several: every prompt is asked under each",
    }
    return schema | ({} if parameter.required else {"default": parameter.default})


def single_calls(tool: Tool, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Takes a request apart into the tool's own calls: prompt by prompt, under each of what else is a list.

    Raises:
        InvalidInput: an argument is unknown or missing; no prompts, too many, or something else than prompts.
    """
    arguments = dict(given)
    several = asks_prompts(tool)
    schema = input_schema(tool)
    known = [name for name in schema["properties"] if name != TARGET]
    wrong = sorted(arguments.keys() - {*known, *([_PROMPT] if several else [])})
    missing = [name for name in schema["required"] if name not in {TARGET, _PROMPTS, *arguments}]
    if wrong or missing:  # here, before the call is held in the budget
        what = f"unknown argument {str(wrong[0])[:60]!r}" if wrong else f"argument {missing[0]!r} is missing"
        raise InvalidInput(f"{tool.name}: {what}. It takes: {', '.join(known) or 'no arguments'}.")
    if not several:
        return [arguments]
    samples = arguments.pop(_SAMPLES, 1)
    if _PROMPT in arguments and _PROMPTS not in arguments:
        arguments[_PROMPTS] = arguments.pop(_PROMPT)  # the tool's own name for it is understood
    prompts = arguments.pop(_PROMPTS, None)
    prompts = [prompts] if isinstance(prompts, str) else prompts
    if not isinstance(prompts, list) or not prompts or not all(isinstance(one, str) for one in prompts):
        raise InvalidInput(f"{tool.name}: give {_PROMPTS} as a list of strings, one at least.")
    if not isinstance(samples, int) or isinstance(samples, bool) or samples < 1:
        raise InvalidInput(f"{tool.name}: {_SAMPLES} is no whole number from 1 on.")
    lists = {name: arguments.pop(name) for name in _listed(tool, arguments)}
    if len(prompts) * prod(map(len, lists.values())) * samples > MOST_REPLIES:
        under = "".join(f" × {len(several):,} of {name}" for name, several in lists.items())
        raise InvalidInput(
            f"{tool.name}: {len(prompts):,} prompts{under} × {samples:,} samples; a request takes {MOST_REPLIES} "
            f"replies at most. Ask for fewer, in several requests."
        )
    calls: list[dict[str, Any]] = []
    for prompt, *under_each in product(prompts, *lists.values()):
        calls += [{**arguments, **dict(zip(lists, under_each, strict=True)), _PROMPT: prompt}] * samples
    return calls


def _listed(tool: Tool, arguments: Mapping[str, Any]) -> list[str]:
    """Names the texts that are given as lists.

    Raises:
        InvalidInput: one is empty, or holds something else than texts.
    """
    listed = [one.name for one in tool.parameters if _text(one) and isinstance(arguments.get(one.name), list)]
    for name in listed:
        if not arguments[name] or not all(isinstance(text, str) for text in arguments[name]):
            raise InvalidInput(f"{tool.name}: give {name} as a string, or as a list of strings, one at least.")
    return listed


def told_apart(calls: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Returns of each call the prompt, and what differs between the calls of its request."""
    names = [name for name in calls[0] if name != _PROMPT and len({str(call.get(name)) for call in calls}) > 1]
    return [{name: call[name] for name in (_PROMPT, *names)} for call in calls]
