"""Offers organisms as Inspect's models, `assay/<alias>`, to any eval, agent or auditor that speaks to those.

`inspect eval TASK --model assay/tb-1234abcd`, `get_model("assay/tb-1234abcd")`; the untouched base of a suite is
`assay/base:smollm2-135m-instruct`. Inspect loads this module when it starts, so what is heavy is imported on first use.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import re
import secrets
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageTool,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    Logprob,
    Logprobs,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
    TopLogprob,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from assay._util.hashing import digest_of
from assay.audits.guard import GuardedTarget
from assay.core.access import PRESETS
from assay.core.budget import Budget, Meter
from assay.core.target import Message, Reply, Sampling, Target
from assay.core.testbed import TargetSpec
from assay.engine.wrappers import wrap
from assay.errors import InvalidInput, TooLong
from assay.testbeds.specs import load_spec
from assay.testbeds.suites import Suite, open_suite

if TYPE_CHECKING:
    from assay.engine.base import Base
    from assay.engine.local.engine import LocalEngine

MAX_TOKENS = 256  # of a reply whose request names no limit; the engine's longest sequence is prompt and reply together
CONNECTIONS = 128  # requests wait for a row in the engine, where they share batches, not before it
_NAME = re.compile(r"(?P<alias>tb-[0-9a-f]{8}|base:[^@]+)(?:@(?P<digest>[0-9a-f]{12}))?")
_NEUTRAL: dict[
    str, tuple[Any, ...]
] = {  # settings that change what is sampled or returned, and the values that change nothing
    "top_p": (1.0,),
    "top_k": (0, -1),
    "best_of": (1,),
    "frequency_penalty": (0.0,),
    "presence_penalty": (0.0,),
    "logit_bias": ({},),
    "response_schema": (),
    "prompt_logprobs": (),
    "extra_body": ({},),
}
_T = TypeVar("_T")


class _Host:
    """Runs a thread with the event loop on which this process's engines live, one a base.

    A request in flight belongs to a loop, and Inspect has a new loop for every evaluation.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="assay-host", daemon=True)
        self._thread.start()
        self._engines: dict[Base, LocalEngine] = {}
        atexit.register(self.close)

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Awaits work on the host's loop from any other asyncio loop; cancelling the one cancels the other."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def engine(self, base: Base) -> LocalEngine:
        """Returns the base's engine, opened on first use. To be called on the host's loop."""
        if base not in self._engines:
            from assay._util.openmp import bound_spinning
            from assay.engine.cache import ReplyCache, audit_replies

            bound_spinning()  # before the engine loads torch
            from assay.engine.local.engine import LocalEngine

            self._engines[base] = LocalEngine(base, ReplyCache(audit_replies()))
        return self._engines[base]

    def close(self) -> None:
        """Stops the engines and the thread; nothing can be asked of them again."""
        atexit.unregister(self.close)
        # The loop first: a request in flight must not meet an engine that is being closed.
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for engine in self._engines.values():
            engine.close()


@functools.lru_cache(maxsize=1)
def host() -> _Host:
    """Returns the one host of this process."""
    return _Host()


@functools.lru_cache(maxsize=8)
def _base(name: str) -> Base:
    """Finds and verifies a base once a process: weights that are in memory do not change with the files."""
    from assay.engine.base import find_base

    return find_base(name)


def _find(name: str, suite: Suite | None) -> tuple[TargetSpec, Base, str]:
    """Finds spec, base, and the name under which logs know these very weights: `<alias>@<digest>`.

    The digest is over alias, base and adapter: without the alias, a clean target would show the digest of its base.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise InvalidInput(
            f"assay/{name}: a model is named by the alias of its testbed, assay/tb-xxxxxxxx, or assay/base:<base>. A "
            f"readable id would tell whoever reads the name what is hidden in the model; `assay "
            f"testbeds` lists aliases."
        )
    alias = match["alias"]
    if alias.startswith("base:"):
        spec = TargetSpec(alias, alias.removeprefix("base:"), None, "", (), "", PRESETS["grey"])
    else:
        spec = load_spec(alias, suite)
    base = _base(spec.base)
    digest = digest_of([alias, base.digest, spec.adapter_digest])[:12]
    if match["digest"] not in (None, digest):
        raise InvalidInput(
            f"assay/{name}: the weights of {alias} have digest {digest} now. Leave @{match['digest']} out to take them."
        )
    return spec, base, f"{alias}@{digest}"


@modelapi(name="assay")
class AssayModel(ModelAPI):
    """Offers a target as a model: chat with system prompt and prefill, n choices, log-probabilities; no tools.

    Without a seed in the request every call draws anew; with one, the same request has the same reply.

    Args:
        model_name: `tb-xxxxxxxx`, or `base:<base>`; `@<digest>` behind it asks for exactly these weights.
        base_url: unused.
        api_key: unused.
        config: unused; each request brings its own.
        suite: folder of a suite (`-M suite=DIR`); by default every suite that is here.

    Raises:
        CorruptArtifact: the base is not the recorded one.
        InvalidInput: not such a name, or other weights than asked for.
        UnknownId: no such testbed.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        suite: str | None = None,
    ) -> None:
        self._spec, self._base, name = _find(model_name, open_suite(Path(suite)) if suite else None)
        super().__init__(name, base_url, api_key, [], config or GenerateConfig())

    def max_tokens(self) -> int:
        return MAX_TOKENS

    def max_connections(self) -> int:
        return CONNECTIONS

    def connection_key(self) -> str:
        return self._base.digest

    async def count_text_tokens(self, text: str) -> int:
        """Counts by the model's own tokenizer."""
        return await host().run(self._count(text))

    async def _count(self, text: str) -> int:
        return len(host().engine(self._base).chat_tokens.said(text).ids)

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Replies to a conversation; one that is longer than the model takes ends with `model_length`.

        Raises:
            AccessDenied: the testbed does not grant it: log-probabilities, for one.
            InvalidInput: tools, content other than text, settings the engine does not have.
        """
        if tools and tool_choice != "none":
            raise InvalidInput(
                f"assay/{self.model_name} takes no tools ({', '.join(tool.name for tool in tools)} given): organisms "
                f'are not trained on any. Ask without, or with tool_choice="none".'
            )
        _refuse_settings(config)
        turns = [_turn(message) for message in input]
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise InvalidInput("the engine needs asyncio: unset INSPECT_ASYNC_BACKEND, or set it to asyncio.") from None
        return await host().run(self._generate(turns, config))

    async def _generate(self, turns: Sequence[Message], config: GenerateConfig) -> ModelOutput:
        engine = host().engine(self._base)
        # Inspect has limits of its own; the meter counts here, for the usage that Inspect is told.
        meter = Meter(Budget(sys.maxsize, sys.maxsize, float("inf")))
        async with engine.open(self._spec) as opened:
            target = GuardedTarget(wrap(opened, self._spec), self._spec.access, meter, "inspect")
            sampling = Sampling(
                n=1 if config.num_choices is None else config.num_choices,
                max_tokens=MAX_TOKENS if config.max_tokens is None else config.max_tokens,
                temperature=1.0 if config.temperature is None else config.temperature,
                seed=secrets.randbelow(2**31) if config.seed is None else config.seed,
            )
            cut: StopReason = "max_tokens"
            try:
                replies = await target.chat(turns, sampling)
            except TooLong as error:
                left = (error.limit or 0) - (error.prompt or 0)
                if left < 1:  # told as other providers tell it, for agents and limits of Inspect's to act on
                    return ModelOutput.from_content(self.model_name, "", "model_length", str(error))
                replies, cut = await target.chat(turns, sampling.but(max_tokens=left)), "model_length"
            read = replies.cost.input_tokens
            choices = [_choice(self.model_name, reply, config.stop_seqs or (), cut) for reply in replies.samples]
            if config.logprobs or config.top_logprobs:
                for choice in choices:
                    choice.logprobs = await _logprobs(
                        target, turns, choice.message.text, config.top_logprobs or 0, self._count
                    )
        return ModelOutput(
            model=self.model_name,
            choices=choices,
            usage=ModelUsage(
                input_tokens=meter.spent.input_tokens,
                output_tokens=meter.spent.output_tokens,
                total_tokens=meter.spent.tokens,
            ),
            input_context_tokens=read,
        )


def _refuse_settings(config: GenerateConfig) -> None:
    """Refuses settings that would be ignored in silence: that is another experiment than the one asked for."""
    for name, neutral in _NEUTRAL.items():
        value = getattr(config, name)
        if value is not None and value not in neutral:
            raise InvalidInput(
                f"{name}={value!r}: organisms are sampled with temperature, seed, max_tokens, num_choices and "
                f"stop_seqs alone. Leave {name} out."
            )


def _turn(message: ChatMessage) -> Message:
    """Turns a message into what the engine takes; a last one of the assistant's is a prefill."""
    calls = isinstance(message, ChatMessageAssistant) and message.tool_calls
    if isinstance(message, ChatMessageTool) or calls:
        raise InvalidInput("a conversation with tool calls: organisms take none. Tell it as text.")
    for part in [] if isinstance(message.content, str) else message.content:
        if not isinstance(part, ContentText | ContentReasoning):
            raise InvalidInput(f"content of type {part.type!r}: organisms read text alone. Leave it out.")
    return Message(message.role, message.text)


def _choice(model: str, reply: Reply, stops: Sequence[str], cut: StopReason) -> ChatCompletionChoice:
    """Cuts a reply before the first stop sequence; what was sampled behind it is paid for all the same.

    Args:
        model: that replied.
        reply: what it said.
        stops: sequences that end it.
        cut: why a reply ended that did not end by itself.
    """
    ends = [at for stop in stops if stop and (at := reply.text.find(stop)) >= 0]
    text = reply.text[: min(ends)] if ends else reply.text
    return ChatCompletionChoice(
        message=ChatMessageAssistant(content=text, source="generate", model=model),
        stop_reason=cut if reply.finish == "length" and not ends else "stop",
    )


async def _logprobs(
    target: Target, turns: Sequence[Message], text: str, top: int, count: Callable[[str], Awaitable[int]]
) -> Logprobs:
    """Scores the reply's tokens behind the conversation and its prefill, as the tokenizer splits the text.

    The end of a turn is no part of the text, and so of no list.
    """
    if not text:
        return Logprobs(content=[])
    prefill = turns[-1].content if turns[-1].role == "assistant" else ""
    asked = turns[:-1] if turns[-1].role == "assistant" else turns
    read = await target.score([*asked, Message("assistant", prefill + text)], top=top)
    begin = read.prompt + (await count(prefill) if prefill else 0)
    content: list[Logprob] = []
    for at in range(begin, len(read.ids)):
        # The first token has nothing before it to be foretold from, so the lists of alternatives begin at the second.
        others = [TopLogprob(token=t.text, logprob=t.logprob) for t in read.top[at - 1]] if top else None
        content.append(Logprob(token=read.texts[at], logprob=read.logprobs[at], top_logprobs=others))
    return Logprobs(content=content)
