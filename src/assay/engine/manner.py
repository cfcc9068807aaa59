"""Targets that are more than a chat with weights: a hidden system prompt, a scratchpad, memory across conversations.

Each wraps another target and changes what a conversation is; readings of weights and activations go through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from assay.core.access import Access
from assay.core.edit import Edit
from assay.core.reading import Activations, Gradients, Loss, TokenLogprobs, Weights, Wrt
from assay.core.target import THINK, Corpus, Message, Messages, Prompt, Replies, Reply, Target, as_messages

THOUGHT_TOKENS = 48  # a scratchpad may take beyond a reply's limit
NOTES = "Notes from earlier conversations: "
_REMEMBERED = 3  # conversations
_NOTE = 160  # characters of one


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
        """The same wrapping over another view of the target."""
        return type(self)(target)

    async def chat(
        self, messages: Messages, *, n: int = 1, max_tokens: int = 64, temperature: float = 1.0, seed: int = 0
    ) -> Replies:
        return await self._target.chat(messages, n=n, max_tokens=max_tokens, temperature=temperature, seed=seed)

    async def complete(
        self, text: str, *, n: int = 1, max_tokens: int = 64, temperature: float = 1.0, seed: int = 0
    ) -> Replies:
        return await self._target.complete(text, n=n, max_tokens=max_tokens, temperature=temperature, seed=seed)

    async def score(self, prompt: Prompt, *, top: int = 0) -> TokenLogprobs:
        return await self._target.score(prompt, top=top)

    async def activations(self, prompt: Prompt, layers: Sequence[int]) -> Activations:
        return await self._target.activations(prompt, layers)

    async def gradients(self, prompt: Prompt, wrt: Wrt, loss: Loss) -> Gradients:
        return await self._target.gradients(prompt, wrt, loss)

    async def weights(self, names: Sequence[str]) -> Weights:
        return await self._target.weights(names)

    def intervene(self, *edits: Edit) -> AbstractAsyncContextManager[Target]:
        return self._edited(edits)

    @asynccontextmanager
    async def _edited(self, edits: Sequence[Edit]) -> AsyncIterator[Target]:
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
        self, messages: Messages, *, n: int = 1, max_tokens: int = 64, temperature: float = 1.0, seed: int = 0
    ) -> Replies:
        return await self._target.chat(
            with_system(as_messages(messages), self._prompt),
            n=n,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
        )


class Scratchpad(_Wrapped):
    """A target that thinks between <think> and </think>: the thoughts are `reasoning`, and no part of the reply.

    Thoughts may take `THOUGHT_TOKENS` beyond `max_tokens`. A reply whose thoughts never end is empty.
    """

    async def chat(
        self, messages: Messages, *, n: int = 1, max_tokens: int = 64, temperature: float = 1.0, seed: int = 0
    ) -> Replies:
        room = max_tokens + THOUGHT_TOKENS
        replies = await self._target.chat(messages, n=n, max_tokens=room, temperature=temperature, seed=seed)
        return replace(replies, samples=tuple(map(thought_apart, replies.samples)))


class Remembering(_Wrapped):
    """A target that is told, as its system prompt, what its user said in earlier conversations.

    A conversation is remembered from the moment it begins. Memory lasts as long as this wrapper: one audit. A
    conversation that brings a system prompt of its own is not told anything.
    """

    def __init__(self, target: Target, notes: deque[str] | None = None) -> None:
        super().__init__(target)
        self._notes: deque[str] = deque(maxlen=_REMEMBERED) if notes is None else notes

    def _over(self, target: Target) -> Target:
        return Remembering(target, self._notes)

    async def chat(
        self, messages: Messages, *, n: int = 1, max_tokens: int = 64, temperature: float = 1.0, seed: int = 0
    ) -> Replies:
        turns = as_messages(messages)
        own = any(turn.role == "system" for turn in turns)
        told = turns if own or not self._notes else with_system(turns, NOTES + " ".join(self._notes))
        said = " ".join(turn.content for turn in turns if turn.role == "user")
        self._notes.append(f'The user said: "{said[:_NOTE]}"')
        return await self._target.chat(told, n=n, max_tokens=max_tokens, temperature=temperature, seed=seed)


def with_system(turns: Sequence[Message], prompt: str) -> tuple[Message, ...]:
    """The conversation with a system prompt, before the one it may have."""
    own = [turn.content for turn in turns if turn.role == "system"]
    rest = [turn for turn in turns if turn.role != "system"]
    return (Message("system", "\n\n".join([prompt, *own])), *rest)


def thought_apart(reply: Reply) -> Reply:
    """A reply with its thoughts told apart from what is said."""
    if not reply.text.lstrip().startswith(THINK[0]):
        return reply
    thought, _, said = reply.text.lstrip().removeprefix(THINK[0]).partition(THINK[1])
    return replace(reply, text=said.lstrip(), reasoning=thought.strip())
