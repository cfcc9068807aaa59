"""Offers any model that Inspect can ask as a target: it is talked to, and nothing else.

Its base is `inspect:` and the name Inspect knows it by: `inspect:openai/gpt-4o`, `inspect:anthropic/claude-opus-4-1`,
`inspect:openai-api/together/…`. Keys, base URLs and retries are Inspect's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Unpack

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ContentReasoning,
    GenerateConfig,
    Model,
    ModelOutput,
    get_model,
)
from inspect_ai.util import LimitExceededError

from assay.core.access import Access
from assay.core.target import (
    DEFAULT_SAMPLING,
    Cost,
    Messages,
    Replies,
    Reply,
    Sampling,
    SamplingOptions,
    Target,
    as_messages,
)
from assay.core.testbed import INSPECT, TargetSpec
from assay.engine.remote.target import RemoteTarget, remote_seed, share_out, without_empty_prefill
from assay.errors import BackendFailed, InvalidInput, TooLong

_CHARACTERS = 4  # of English a token, in most vocabularies
TURN = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}
_logger = logging.getLogger(__name__)


class InspectTarget(RemoteTarget):
    """A model behind an API. Of SAMPLING it offers system prompt, prefill, temperature and n; it takes no raw text.

    Control tokens inside a turn are the provider's to neutralise, as hosted APIs do; Inspect's providers for models on
    this machine (`hf`, `vllm`, `ollama` …) may read them as what they spell.

    Replies are not kept, and a seed is worth what the provider makes of it. The cost is the usage the provider reports;
    where it reports none, a token is taken to be four characters, and the log says so once.

    Args:
        model: of Inspect.
        spec: alias, grants and corpus.
    """

    _kind = "a model behind an API"
    _offers = frozenset({Access.CHAT, Access.SAMPLING, Access.TRAINING_DATA})

    def __init__(self, model: Model, spec: TargetSpec) -> None:
        super().__init__(spec)
        self._model = model
        self._told = False

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        """Samples n replies: in one call where the provider can, the missing ones in calls of their own.

        A reply that was refused or filtered is a reply: its text, often "", with finish `stop`.

        Raises:
            BackendFailed: the provider gave up, after Inspect's retries.
            InvalidInput: no conversation.
            TooLong: more than the model takes.
        """
        sampling = sampling.but(**options)
        turns = [TURN[turn.role](content=turn.content) for turn in without_empty_prefill(as_messages(messages))]

        async def ask(sample: int, count: int) -> Replies:
            config = GenerateConfig(
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                seed=remote_seed(sampling.seed, sample),
                num_choices=count if count > 1 else None,
            )
            return self._replies(turns, await self._generate(turns, config), count)

        # Which providers give several replies a call is not known beforehand: one that cannot gives one, and the others
        # are asked for apart, each with a seed of its own.
        first = await ask(0, sampling.n)
        rest = await asyncio.gather(*(ask(sample, 1) for sample in range(len(first.samples), sampling.n)))
        samples: list[Reply] = []
        spent = Cost()
        for part in (first, *rest):
            samples += part.samples
            spent += part.cost
        return Replies(tuple(samples), Cost(sampling.n, spent.input_tokens, spent.output_tokens))

    async def _generate(self, turns: Sequence[ChatMessage], config: GenerateConfig) -> ModelOutput:
        try:
            return await self._model.generate(list(turns), config=config)
        except LimitExceededError:
            raise  # a limit of the evaluation this happens in, which ends it; no failure of the model's
        except Exception as error:
            raise BackendFailed(
                f"{self._model} did not answer: {type(error).__name__}: {str(error)[:500]}. "
                f"Check key, quota and model name; Inspect's --max-retries and --timeout say how long it tries."
            ) from error

    def _replies(self, turns: Sequence[ChatMessage], output: ModelOutput, count: int) -> Replies:
        """Reads at most `count` replies; a call that came back without any choice gave one empty reply."""
        texts = [choice.message.text for choice in output.choices] or [""]
        reasons = [choice.stop_reason for choice in output.choices] or ["content_filter"]
        thoughts = [_thoughts_told(choice.message) for choice in output.choices] or [""]
        if output.usage is None and reasons == ["model_length"]:
            # Inspect puts the provider's error into the reply's place: the model has said nothing.
            raise TooLong(f"{self._model} was asked more than it takes: {texts[0][:500]}")
        if output.usage is None:
            if not self._told:
                _logger.warning("%s reports no usage: its tokens are estimated, four characters each.", self._model)
            self._told = True
            read = sum(-(-len(turn.text) // _CHARACTERS) for turn in turns)
            written = [-(-len(text) // _CHARACTERS) for text in texts]
        else:
            # Inspect counts what a provider's prompt cache held apart; an audit is charged for it all the same.
            usage = output.usage
            read = usage.input_tokens + (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
            written = share_out(usage.output_tokens, texts)
        samples: list[Reply] = []
        for text, tokens, reason, thought in zip(texts, written, reasons, thoughts, strict=True):
            cut = reason in ("max_tokens", "model_length")
            samples.append(Reply(text, tokens, "length" if cut else "stop", thought))
        return Replies(tuple(samples[:count]), Cost(len(samples), read, sum(written)))


def _thoughts_told(message: ChatMessageAssistant) -> str:
    """Returns what a provider tells of a model's thoughts, "" where it tells nothing."""
    if isinstance(message.content, str):
        return ""
    told = [part.reasoning for part in message.content if isinstance(part, ContentReasoning)]
    return "\n".join(told)


@asynccontextmanager
async def open_target(spec: TargetSpec) -> AsyncIterator[Target]:
    """Opens a base named `inspect:<provider>/<model>`; an `OpenTarget`.

    Raises:
        InvalidInput: another kind of base, an adapter, or a model Inspect cannot make.
    """
    name = spec.base.removeprefix(INSPECT)
    if name == spec.base or "/" not in name:
        raise InvalidInput(
            f"{spec.alias}: base {spec.base!r} is no model of Inspect's. Name it {INSPECT}<provider>/<model>, as in "
            f"{INSPECT}openai/gpt-4o."
        )
    if spec.adapter is not None:
        raise InvalidInput(
            f"{spec.alias}: an API takes no adapter. Use the local engine or a vLLM server, or drop the adapter."
        )
    try:
        model = get_model(name, memoize=False)  # closed with this target, whoever else asks the same model
    except Exception as error:
        raise InvalidInput(
            f"{spec.alias}: Inspect cannot make {name!r} ({type(error).__name__}: {error}). Allowed is any provider of "
            f"Inspect's: check its name, install its package (pip install openai, anthropic, …) and set its key."
        ) from error
    async with model:
        yield InspectTarget(model, spec)
