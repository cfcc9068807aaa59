"""The one place where access is refused and spending is counted, for every engine alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack

from assay.core.access import Access
from assay.core.budget import Purse
from assay.core.edit import EDITS, Contrast, Edit
from assay.core.readouts import (
    Activations,
    Array,
    Divergence,
    Gradients,
    Loss,
    NearTokens,
    Raw,
    TokenLogprobs,
    Vocabulary,
    Weights,
    WithRespectTo,
)
from assay.core.target import (
    DEFAULT_SAMPLING,
    Corpus,
    Cost,
    Message,
    Messages,
    Prompt,
    Replies,
    Sampling,
    SamplingOptions,
    Target,
    as_history,
    as_messages,
    plain_text,
)
from assay.errors import AccessDenied, engine_faults


class _Costed(Protocol):
    """Any answer of an engine's."""

    @property
    def cost(self) -> Cost: ...


_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_Answer = TypeVar("_Answer", bound=_Costed)

ANONYMOUS = "target"  # what a tool knows each of them by: by an alias it could know a testbed again

_NEEDS: Mapping[type[Edit], frozenset[Access]] = {kind: kind.needs for kind in EDITS}


class GuardedTarget:
    """A target as a tool sees it: beyond `granted` it refuses, and every call is charged.

    No attribute of it leads to the engine's target or to the meter, private ones included, and no assignment changes
    what is checked. Code in the same process that walks closures, frames, tracebacks or the garbage collector's lists,
    or that patches this module, can still get at the target: until tools run in a process of their own, they are
    trusted that far.

    Args:
        target: the engine's target.
        granted: flags the testbed grants and the tool declared; others are refused.
        meter: of the audit, or of the tool's call.
        payer: name the cost is charged under (a tool's).
        models: that read and write for each request; two where an edit contrasts the target with its reference.
    """

    __slots__ = (
        "__access",
        "__activations",
        "__chat",
        "__complete",
        "__corpus",
        "__divergence",
        "__gradients",
        "__intervene",
        "__nearest_tokens",
        "__reference",
        "__score",
        "__shape",
        "__user_turn",
        "__weights",
    )

    def __init__(self, target: Target, granted: frozenset[Access], meter: Purse, payer: str, models: int = 1) -> None:
        gate = _Gate(target, frozenset(granted), meter, payer, models)
        # a bound method would tell by `__self__` whose it is
        self.__access, self.__shape = _unbound(gate.flags), _unbound(gate.shape)
        self.__reference, self.__corpus = _unbound(gate.reference), _unbound(gate.corpus)
        self.__chat, self.__complete, self.__score = _unbound(gate.chat), _unbound(gate.complete), _unbound(gate.score)
        self.__divergence = _unbound(gate.divergence)
        self.__user_turn = _unbound(gate.user_turn)
        self.__activations, self.__gradients = _unbound(gate.activations), _unbound(gate.gradients)
        self.__weights, self.__intervene = _unbound(gate.weights), _unbound(gate.intervene)
        self.__nearest_tokens = _unbound(gate.nearest_tokens)

    @property
    def access(self) -> frozenset[Access]:
        return self.__access()

    @property
    def alias(self) -> str:
        return self.__shape()[0]

    @property
    def layers(self) -> int:
        return self.__shape()[1]

    @property
    def width(self) -> int:
        return self.__shape()[2]

    @property
    def reference(self) -> Target | None:
        return self.__reference()

    @property
    def corpus(self) -> Corpus | None:
        return self.__corpus()

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        return await self.__chat(messages, sampling.but(**options))

    async def complete(
        self, text: str, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        return await self.__complete(text, sampling.but(**options))

    async def user_turn(
        self,
        before: Sequence[Message],
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        begun: str = "",
        **options: Unpack[SamplingOptions],
    ) -> Replies:
        return await self.__user_turn(before, begun, sampling.but(**options))

    async def score(self, prompt: Prompt, *, top: int = 0) -> TokenLogprobs:
        return await self.__score(prompt, top)

    async def divergence(self, prompt: Prompt) -> Divergence:
        return await self.__divergence(prompt)

    async def activations(self, prompt: Prompt, layers: Sequence[int]) -> Activations:
        return await self.__activations(prompt, layers)

    async def nearest_tokens(self, vectors: Array, *, top: int = 10, by: Vocabulary = "unembedding") -> NearTokens:
        return await self.__nearest_tokens(vectors, top, by)

    async def gradients(self, prompt: Prompt, wrt: WithRespectTo, loss: Loss) -> Gradients:
        return await self.__gradients(prompt, wrt, loss)

    async def weights(self, names: Sequence[str]) -> Weights:
        return await self.__weights(names)

    def intervene(self, *edits: Edit) -> AbstractAsyncContextManager[Target]:
        return self.__intervene(*edits)


def _unbound(method: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    def call(*given: _Given.args, **options: _Given.kwargs) -> _Result:
        return method(*given, **options)

    return call


class _Gate:
    """What a guarded target hides: the target, and all that is checked and charged.

    What a tool hands over is copied into plain values first: an object of its own making could answer the check with
    one thing and the engine with another.

    Args:
        target: the engine's target.
        granted: flags that are not refused.
        meter: charged.
        payer: under this name.
        models: as `GuardedTarget` says.
    """

    def __init__(self, target: Target, granted: frozenset[Access], meter: Purse, payer: str, models: int) -> None:
        self._target, self._granted, self._meter, self._payer, self._models = target, granted, meter, payer, models

    def _need(self, flag: Access, call: str) -> None:
        if flag not in self._granted:
            have = ", ".join(sorted(self._granted)) or "none"
            raise AccessDenied(
                f"{call} needs {flag}, which this tool was not granted (it has: {have}). "
                f"Declare it in @tool(needs=…) and use a testbed that grants it."
            )

    async def _paid(
        self,
        ask: Callable[[], Coroutine[Any, Any, _Answer]],
        read: Raw | Sequence[Message],
        sampling: Sampling | None = None,
        models: int = 0,
    ) -> _Answer:
        """Asks the engine while the worst it can cost is held: every reply at its longest, every word a token.

        Raises:
            BudgetExceeded: it does not fit.
            EngineFailed: the engine raised what is no error of Assay's. The tool, through whose call it comes, is not
                to blame: what it handed over has been looked at.
        """
        texts = [read.text] if isinstance(read, Raw) else [turn.content for turn in read]
        words = sum(len(text.split()) for text in texts)
        replies, longest = (sampling.n, sampling.max_tokens) if sampling else (1, 0)
        models = models or self._models
        worst = Cost(replies, models * words, models * replies * longest)
        with self._meter.request(self._payer, worst) as request:
            with engine_faults():
                answer = await ask()
            request.settle(answer.cost)
        return answer

    def flags(self) -> frozenset[Access]:
        return self._granted

    def shape(self) -> tuple[str, int, int]:
        return ANONYMOUS, self._target.layers, self._target.width

    def reference(self) -> Target | None:
        self._need(Access.REFERENCE, "target.reference")
        reference = self._target.reference
        return reference and GuardedTarget(reference, self._granted, self._meter, self._payer)

    def corpus(self) -> Corpus | None:
        self._need(Access.TRAINING_DATA, "target.corpus")
        return self._target.corpus

    async def chat(self, messages: Messages, sampling: Sampling) -> Replies:
        turns, sampling = as_messages(messages), _plain_sampling(sampling)
        self._need(Access.CHAT, "target.chat")
        if sampling.n > 1 or any(turn.role == "system" for turn in turns) or turns[-1].role == "assistant":
            self._need(Access.SAMPLING, "target.chat with a system prompt, a prefill or n > 1")
        return await self._paid(lambda: self._target.chat(turns, sampling), turns, sampling)

    async def complete(self, text: str, sampling: Sampling) -> Replies:
        self._need(Access.SAMPLING, "target.complete")
        raw, sampling = _plain_raw(text), _plain_sampling(sampling)
        return await self._paid(lambda: self._target.complete(raw.text, sampling), raw, sampling)

    async def user_turn(self, before: Sequence[Message], begun: str, sampling: Sampling) -> Replies:
        self._need(Access.SAMPLING, "target.user_turn")
        turns, sampling = as_history(before), _plain_sampling(sampling)
        words = plain_text(begun, "the beginning of a user's turn")
        read = (*turns, Message("user", words))
        return await self._paid(lambda: self._target.user_turn(turns, sampling, begun=words), read, sampling)

    async def score(self, prompt: Prompt, top: int) -> TokenLogprobs:
        self._need(Access.LOGITS, "target.score")
        read = _plain_prompt(prompt)
        return await self._paid(lambda: self._target.score(read, top=top), read)

    async def divergence(self, prompt: Prompt) -> Divergence:
        self._need(Access.LOGITS, "target.divergence")
        self._need(Access.REFERENCE, "target.divergence")
        read = _plain_prompt(prompt)
        return await self._paid(lambda: self._target.divergence(read), read, models=2)

    async def activations(self, prompt: Prompt, layers: Sequence[int]) -> Activations:
        self._need(Access.ACTIVATIONS_READ, "target.activations")
        read = _plain_prompt(prompt)
        return await self._paid(lambda: self._target.activations(read, layers), read)

    async def nearest_tokens(self, vectors: Array, top: int, by: Vocabulary) -> NearTokens:
        self._need(Access.ACTIVATIONS_READ, "target.nearest_tokens")
        return await self._paid(lambda: self._target.nearest_tokens(vectors, top=top, by=by), ())

    async def gradients(self, prompt: Prompt, wrt: WithRespectTo, loss: Loss) -> Gradients:
        wrt, read = WithRespectTo(wrt.kind, wrt.layers), _plain_prompt(prompt)
        self._need(Access.GRADIENTS, "target.gradients")
        if wrt.kind == "adapter":
            self._need(Access.WEIGHTS, "target.gradients of the adapter's weights")
        return await self._paid(lambda: self._target.gradients(read, wrt, loss), read)

    async def weights(self, names: Sequence[str]) -> Weights:
        self._need(Access.WEIGHTS, "target.weights")
        return await self._paid(lambda: self._target.weights(names), ())

    def intervene(self, *edits: Edit) -> AbstractAsyncContextManager[Target]:
        for edit in edits:
            if type(edit) not in _NEEDS:  # a kind of a tool's own would say of itself what it needs
                known = ", ".join(kind.__name__ for kind in _NEEDS)
                raise AccessDenied(f"target.intervene({type(edit).__name__}): no such edit. There are: {known}.")
            for flag in sorted(_NEEDS[type(edit)]):
                self._need(flag, f"target.intervene({type(edit).__name__})")
        contrasts = self._models == 2 or any(isinstance(edit, Contrast) for edit in edits)

        @asynccontextmanager  # over a function without arguments, since the manager shows those it has
        async def edited() -> AsyncIterator[Target]:
            async with self._target.intervene(*edits) as view:
                yield GuardedTarget(view, self._granted, self._meter, self._payer, 2 if contrasts else 1)

        return edited()


def _plain_prompt(prompt: Prompt) -> Raw | tuple[Message, ...]:
    return _plain_raw(prompt.text) if isinstance(prompt, Raw) else as_messages(prompt)


def _plain_raw(text: str) -> Raw:
    return Raw(plain_text(text, "a raw text"))


def _plain_sampling(given: Sampling) -> Sampling:
    return Sampling(given.n, given.max_tokens, given.temperature, given.seed)
