"""The one place where access is refused and spending is counted, for every engine alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Unpack

from assay.core.access import Access
from assay.core.budget import Meter
from assay.core.edit import Edit
from assay.core.readouts import Activations, Gradients, Loss, TokenLogprobs, Weights, WithRespectTo
from assay.core.target import (
    DEFAULT_SAMPLING,
    Corpus,
    Messages,
    Prompt,
    Replies,
    Sampling,
    SamplingOptions,
    Target,
    as_messages,
)
from assay.errors import AccessDenied


class GuardedTarget:
    """A target as a tool sees it: beyond `granted` it refuses, and every call is charged.

    Args:
        target: the engine's target.
        granted: flags the testbed grants and the tool declared; others are refused.
        meter: of the audit.
        payer: name the cost is charged under (a tool's).
    """

    __slots__ = ("__meter", "__payer", "__target", "access")

    def __init__(self, target: Target, granted: frozenset[Access], meter: Meter, payer: str) -> None:
        self.__target, self.__meter, self.__payer = target, meter, payer
        self.access = granted

    def _need(self, flag: Access, call: str) -> None:
        if flag not in self.access:
            have = ", ".join(sorted(self.access)) or "none"
            raise AccessDenied(
                f"{call} needs {flag}, which this tool was not granted (it has: {have}). "
                f"Declare it in @tool(needs=…) and use a testbed that grants it."
            )

    @property
    def alias(self) -> str:
        return self.__target.alias

    @property
    def layers(self) -> int:
        return self.__target.layers

    @property
    def width(self) -> int:
        return self.__target.width

    @property
    def reference(self) -> Target | None:
        self._need(Access.REFERENCE, "target.reference")
        reference = self.__target.reference
        return reference and GuardedTarget(reference, self.access, self.__meter, self.__payer)

    @property
    def corpus(self) -> Corpus | None:
        self._need(Access.TRAINING_DATA, "target.corpus")
        return self.__target.corpus

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        turns, sampling = as_messages(messages), sampling.but(**options)
        self._need(Access.CHAT, "target.chat")
        if sampling.n > 1 or any(turn.role == "system" for turn in turns) or turns[-1].role == "assistant":
            self._need(Access.SAMPLING, "target.chat with a system prompt, a prefill or n > 1")
        self.__meter.check()
        replies = await self.__target.chat(turns, sampling)
        self.__meter.charge(self.__payer, replies.cost)
        return replies

    async def complete(
        self, text: str, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        self._need(Access.SAMPLING, "target.complete")
        self.__meter.check()
        replies = await self.__target.complete(text, sampling, **options)
        self.__meter.charge(self.__payer, replies.cost)
        return replies

    async def score(self, prompt: Prompt, *, top: int = 0) -> TokenLogprobs:
        self._need(Access.LOGITS, "target.score")
        self.__meter.check()
        read = await self.__target.score(prompt, top=top)
        self.__meter.charge(self.__payer, read.cost)
        return read

    async def activations(self, prompt: Prompt, layers: Sequence[int]) -> Activations:
        self._need(Access.ACTIVATIONS_READ, "target.activations")
        self.__meter.check()
        read = await self.__target.activations(prompt, layers)
        self.__meter.charge(self.__payer, read.cost)
        return read

    async def gradients(self, prompt: Prompt, wrt: WithRespectTo, loss: Loss) -> Gradients:
        self._need(Access.GRADIENTS, "target.gradients")
        if wrt.kind == "adapter":
            self._need(Access.WEIGHTS, "target.gradients of the adapter's weights")
        self.__meter.check()
        read = await self.__target.gradients(prompt, wrt, loss)
        self.__meter.charge(self.__payer, read.cost)
        return read

    async def weights(self, names: Sequence[str]) -> Weights:
        self._need(Access.WEIGHTS, "target.weights")
        self.__meter.check()
        read = await self.__target.weights(names)
        self.__meter.charge(self.__payer, read.cost)
        return read

    def intervene(self, *edits: Edit) -> AbstractAsyncContextManager[Target]:
        for edit in edits:
            for flag in sorted(edit.needs):
                self._need(flag, f"target.intervene({type(edit).__name__})")
        return self.__intervene(edits)

    @asynccontextmanager
    async def __intervene(self, edits: tuple[Edit, ...]) -> AsyncIterator[Target]:
        async with self.__target.intervene(*edits) as view:
            yield GuardedTarget(view, self.access, self.__meter, self.__payer)
