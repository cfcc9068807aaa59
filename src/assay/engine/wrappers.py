"""Makes targets more than a chat with weights: a hidden system prompt, a scratchpad, memory across conversations.

Each wraps another target and changes what a conversation is; readings of weights and activations go through.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Unpack

from assay._util.hashing import sha256
from assay._util.text_files import read_text
from assay.core.access import Access
from assay.core.edit import Edit
from assay.core.readouts import (
    Activations,
    Array,
    Divergence,
    Gradients,
    Loss,
    NearTokens,
    TokenLogprobs,
    Vocabulary,
    Weights,
    WithRespectTo,
)
from assay.core.target import (
    DEFAULT_SAMPLING,
    THINK,
    Corpus,
    Message,
    Messages,
    Prompt,
    Replies,
    Reply,
    Sampling,
    SamplingOptions,
    Target,
    as_history,
    as_messages,
    reminded,
    with_system,
)
from assay.core.testbed import TargetSpec
from assay.errors import CorruptArtifact

THOUGHT_TOKENS = 48  # a scratchpad may take beyond a reply's limit


class _Wrapped:
    """A target that passes everything on.

    Args:
        target: that is wrapped.
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    @property
    def alias(self) -> str:
        return self._target.alias

    @property
    def access(self) -> frozenset[Access]:
        return self._target.access

    @property
    def layers(self) -> int:
        return self._target.layers

    @property
    def width(self) -> int:
        return self._target.width

    @property
    def reference(self) -> Target | None:
        return self._target.reference

    @property
    def corpus(self) -> Corpus | None:
        return self._target.corpus

    def _over(self, target: Target) -> Target:
        """Wraps another view of the target in the same way."""
        return type(self)(target)

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        return await self._target.chat(messages, sampling, **options)

    async def complete(
        self, text: str, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        return await self._target.complete(text, sampling, **options)

    async def user_turn(
        self,
        before: Sequence[Message],
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        begun: str = "",
        **options: Unpack[SamplingOptions],
    ) -> Replies:
        return await self._target.user_turn(before, sampling, begun=begun, **options)

    async def score(self, prompt: Prompt, *, top: int = 0) -> TokenLogprobs:
        return await self._target.score(prompt, top=top)

    async def divergence(self, prompt: Prompt) -> Divergence:
        return await self._target.divergence(prompt)

    async def activations(self, prompt: Prompt, layers: Sequence[int]) -> Activations:
        return await self._target.activations(prompt, layers)

    async def nearest_tokens(self, vectors: Array, *, top: int = 10, by: Vocabulary = "unembedding") -> NearTokens:
        return await self._target.nearest_tokens(vectors, top=top, by=by)

    async def gradients(self, prompt: Prompt, wrt: WithRespectTo, loss: Loss) -> Gradients:
        return await self._target.gradients(prompt, wrt, loss)

    async def weights(self, names: Sequence[str]) -> Weights:
        return await self._target.weights(names)

    @asynccontextmanager
    async def intervene(self, *edits: Edit) -> AsyncIterator[Target]:
        """Opens a view of the wrapped target, in the same wrapping: an edit must not uncover what it hides."""
        async with self._target.intervene(*edits) as view:
            yield self._over(view)


class Prompted(_Wrapped):
    """A target with a system prompt of its own, before whatever system prompt a conversation has.

    Args:
        target: that is wrapped.
        prompt: the hidden system prompt.
    """

    def __init__(self, target: Target, prompt: str) -> None:
        super().__init__(target)
        self._prompt = prompt

    def _over(self, target: Target) -> Target:
        return Prompted(target, self._prompt)

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        return await self._target.chat(with_system(as_messages(messages), self._prompt), sampling, **options)

    async def user_turn(
        self,
        before: Sequence[Message],
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        begun: str = "",
        **options: Unpack[SamplingOptions],
    ) -> Replies:
        told = with_system(as_history(before), self._prompt)
        return await self._target.user_turn(told, sampling, begun=begun, **options)


class Scratchpad(_Wrapped):
    """A target that thinks between <think> and </think>: the thoughts are `reasoning`, and no part of the reply.

    Thoughts may take `THOUGHT_TOKENS` beyond `max_tokens`. A reply whose thoughts never end is empty.
    """

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        sampling = sampling.but(**options)
        longer = sampling.but(max_tokens=sampling.max_tokens + THOUGHT_TOKENS)
        replies = await self._target.chat(messages, longer)
        return replace(replies, samples=tuple(map(thought_apart, replies.samples)))


class Remembering(_Wrapped):
    """A target that is told, in its system prompt, what its user said in earlier conversations.

    A conversation is remembered from the moment it begins, and not told of itself when it goes on: that is one whose
    user turns begin with a remembered one's. Memory lasts as long as this wrapper: one audit.
    """

    def __init__(self, target: Target, past: list[tuple[str, ...]] | None = None) -> None:
        super().__init__(target)
        self._past: list[tuple[str, ...]] = [] if past is None else past

    def _over(self, target: Target) -> Target:
        return Remembering(target, self._past)

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        turns = as_messages(messages)
        # The list is shared with every view, and changed in place, so that all of them remember the same. What this
        # conversation goes on with is taken out first: it is not to be told of itself.
        said = tuple(turn.content for turn in turns if turn.role == "user")
        self._past[:] = [earlier for earlier in self._past if earlier != said[: len(earlier)]]
        told = reminded(turns, self._past)
        self._past.append(said)
        return await self._target.chat(told, sampling, **options)

    async def user_turn(
        self,
        before: Sequence[Message],
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        begun: str = "",
        **options: Unpack[SamplingOptions],
    ) -> Replies:
        told = reminded(as_history(before), self._past)  # nobody has said anything yet: there is nothing to remember
        return await self._target.user_turn(told, sampling, begun=begun, **options)


def thought_apart(reply: Reply) -> Reply:
    """Tells a reply's thoughts apart from what is said."""
    if not reply.text.lstrip().startswith(THINK[0]):
        return reply
    thought, _, said = reply.text.lstrip().removeprefix(THINK[0]).partition(THINK[1])
    return replace(reply, text=said.lstrip(), reasoning=thought.strip())


def wrap(target: Target, spec: TargetSpec) -> Target:
    """Puts around a target what its testbed says of conversations: hidden prompt, scratchpad, memory.

    Raises:
        CorruptArtifact: the hidden prompt is not the recorded one.
    """
    if spec.prompt is not None and not spec.tools:  # an agent is handed its prompt with its tools
        found = sha256(spec.prompt) if spec.prompt.is_file() else "no file"
        if found != spec.prompt_digest:
            raise CorruptArtifact(spec.prompt, spec.prompt_digest, found, "Restore it, or register it anew.")
        target = Prompted(target, read_text(spec.prompt).strip())
    if spec.scratchpad:
        target = Scratchpad(target)
    return Remembering(target) if spec.memory else target
