"""Hands auditors a language model whose every call is metered outside of them, whatever code of Inspect's makes it.

The model is Inspect's own `Model`, and the active one of the evaluation, so that an agent which asks for none by name
gets it too. Its provider's `generate` is wrapped on the one object and not in a class of ours: Inspect asks in many
places which class a provider is of, and what it can do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelAPI, ModelOutput, get_model
from inspect_ai.tool import ToolChoice, ToolInfo

from assay._util.storable import storable
from assay.audits.model_choice import OWN_MODELS, ModelChoice
from assay.audits.redact import redacted
from assay.audits.spoken_tools import as_calls, as_words
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel, ModelMeter
from assay.errors import AssayError, InvalidInput, PluginError

MODEL_RETRIES = 5  # of a call that failed for a reason that may pass; Inspect waits longer before each
_SECONDS = 300  # that one try may take
_LONGEST = 4_096  # tokens of a reply where nothing else is asked for
_SHORTEST = 16  # tokens that a reply must have room for
_CHARACTERS = 3  # a token, until the model has told how it counts
_METER: ContextVar[ModelMeter | None] = ContextVar("meter", default=None)

_Generate = Callable[[list[ChatMessage], list[ToolInfo], ToolChoice, GenerateConfig], Awaitable[Any]]


def open_model(choice: ModelChoice, model: Model | None = None) -> Model:
    """Makes the model of a job's auditors; whatever asks it has to be within `charged`.

    Args:
        choice: which, and how it is asked.
        model: one that is open already, in place of the one that the choice names.

    Raises:
        InvalidInput: there is no such provider, it lacks a key or a library, or it has no such setting.
    """
    try:
        known = GenerateConfig.model_fields
        if unknown := sorted(choice.config.keys() - known.keys()):
            raise InvalidInput(f"model config: unknown setting {unknown[0]!r}. Known: {', '.join(sorted(known))}.")
        defaults = GenerateConfig(max_retries=MODEL_RETRIES, attempt_timeout=_SECONDS, max_tokens=_LONGEST)
        config = defaults.merge(GenerateConfig.model_validate(choice.config))
        opened = model or get_model(choice.name, config=config, memoize=False)
    except AssayError:
        raise
    except Exception as error:
        raise InvalidInput(f"model {choice.name}: {redacted(str(error).strip())}") from None
    api = opened.api
    # An instance's own attribute stands before its class's method; mypy knows no assignment to a method.
    if choice.provider == "mockllm":  # it counts with a vocabulary that it would fetch from the network
        setattr(api, "count_text_tokens", _by_characters)  # noqa: B010  # as said above
    setattr(api, "generate", _metered(api, api.generate, spoken=choice.name.startswith(OWN_MODELS)))  # noqa: B010  # as above
    return opened


@dataclass(frozen=True, slots=True)
class Thinker:
    """A job's language model in the hands of one audit, or of a part of one; see `core.model_meter.LanguageModel`."""

    name: str
    model: Model
    meter: ModelMeter

    @property
    def inspect(self) -> Model:
        """Returns Inspect's own object."""
        return self.model

    @property
    def tokens_left(self) -> int:
        """Returns what may still be read and written."""
        return self.meter.tokens_left

    @contextmanager
    def shared(self, tokens: int, money: float | None) -> Iterator[LanguageModel]:
        """Lends the model to a part of the audit, which may spend so much."""
        part = Thinker(self.name, self.model, self.meter.part(tokens, money))
        with charged(part.meter):
            yield part


def meter_of(choice: ModelChoice, budget: Budget) -> ModelMeter:
    """Makes the meter of one audit."""
    return ModelMeter(budget.auditor_tokens, budget.money, choice.price, model=choice.name)


@contextmanager
def charged(meter: ModelMeter) -> Iterator[None]:
    """Charges the calls that are made within the block, and in tasks that are begun there."""
    token = _METER.set(meter)
    try:
        yield
    finally:
        _METER.reset(token)


def _metered(api: ModelAPI, generate: _Generate, *, spoken: bool) -> _Generate:
    """Wraps a provider's `generate`, which Inspect calls once a try: each is held and charged by itself."""
    most_for_a_character = [1 / _CHARACTERS]  # as the model has counted so far: held tokens are at least so many

    async def call(
        input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> Any:
        meter = _METER.get()
        if meter is None:
            raise PluginError("the language model of an audit is asked from outside it, in a thread of its own say.")
        if spoken and tools and tool_choice != "none":
            sent, offered = as_words(input, tools, tool_choice), []
        else:
            sent, offered = input, tools
        characters = _characters(sent, offered)
        read = math.ceil(characters * most_for_a_character[0])
        longest = config.max_tokens or api.max_tokens_for_config(config) or api.max_tokens() or _LONGEST
        written = max(min(_SHORTEST, longest), min(longest, meter.tokens_left - read))  # never more than was set
        with meter.call(read, written):
            asked = config.model_copy(update={"max_tokens": written})
            # A try that failed may come back as a value: then it is no answer either.
            answer = await generate(sent, offered, tool_choice if offered else "none", asked)
            output, call = answer if isinstance(answer, tuple) else (answer, None)
            if isinstance(output, Exception):
                meter.fault, meter.failed = output, meter.failed + 1
                return answer
            read, written = _used(output, read)
            meter.settle(read, written, output.model)
            most_for_a_character[0] = max(most_for_a_character[0], read / max(1, characters))
        if sent is not input:
            output = as_calls(output, tools)
        _make_storable(output)
        return (output, call) if call is not None else output

    return call


def _make_storable(output: ModelOutput) -> None:
    """Takes halves of surrogate pairs out of what a model said: no log can hold one. A call with some is told so."""
    for choice in output.choices:
        message = choice.message
        if isinstance(message.content, str):
            message.content = storable(message.content)
        for call in message.tool_calls or ():
            clean = storable(call.arguments)
            if clean != call.arguments:
                call.arguments = clean
                call.parse_error = (
                    "it holds half of a surrogate pair, which is no character. Write the character itself."
                )


async def _by_characters(text: str) -> int:
    return math.ceil(len(text) / _CHARACTERS)


def _characters(messages: Sequence[ChatMessage], tools: Sequence[ToolInfo]) -> int:
    """Counts what is sent, tools and tool calls among it."""
    count = sum(
        len(message.model_dump_json(exclude_none=True, include={"content", "tool_calls"})) for message in messages
    )
    return count + sum(len(json.dumps(tool.model_dump(mode="json", exclude_none=True))) for tool in tools)


def _used(output: ModelOutput, held: int) -> tuple[int, int]:
    """Reads what was read and written; where the provider does not say, what was held, and the text's length."""
    usage = output.usage
    if usage is None:
        return held, math.ceil(len(output.completion) / _CHARACTERS)
    cached = (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
    return usage.input_tokens + cached, usage.output_tokens
