"""Defines what all targets behind an interface have in common: they answer, and nobody can read what is inside."""

from __future__ import annotations

import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import ClassVar, Unpack

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
    Corpus,
    Message,
    Messages,
    Prompt,
    Replies,
    Sampling,
    SamplingOptions,
    Target,
)
from assay.core.testbed import TargetSpec
from assay.engine.corpus import read_corpus
from assay.errors import AccessDenied


class RemoteTarget(ABC):
    """The base of targets behind an interface. A subclass says what it is and offers, and adds `chat` and what it can.

    Args:
        spec: alias, grants and corpus.
    """

    _kind: ClassVar[str]
    _offers: ClassVar[frozenset[Access]]

    def __init__(self, spec: TargetSpec) -> None:
        self._spec = spec

    @property
    def alias(self) -> str:
        return self._spec.alias

    @property
    def access(self) -> frozenset[Access]:
        """Returns what the testbed grants and this kind of target can give."""
        return self._spec.access & self._offers

    @property
    def layers(self) -> int:
        raise self._refusal("target.layers", [Access.ACTIVATIONS_READ])

    @property
    def width(self) -> int:
        raise self._refusal("target.width", [Access.ACTIVATIONS_READ])

    @property
    def corpus(self) -> Corpus | None:
        return read_corpus(self._spec.corpus, self._spec.corpus_digest) if self._spec.corpus else None

    @property
    def reference(self) -> Target | None:
        """Returns None, unless a subclass knows of an earlier checkpoint."""
        return None

    async def complete(
        self, text: str, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        raise self._refusal("target.complete, raw text", [Access.SAMPLING])

    async def user_turn(
        self,
        before: Sequence[Message],
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        begun: str = "",
        **options: Unpack[SamplingOptions],
    ) -> Replies:
        raise self._refusal("target.user_turn, the user's side", [Access.SAMPLING])

    async def score(self, prompt: Prompt, *, top: int = 0) -> TokenLogprobs:
        raise self._refusal("target.score", [Access.LOGITS])

    async def divergence(self, prompt: Prompt) -> Divergence:
        raise self._refusal("target.divergence", [Access.LOGITS, Access.REFERENCE])

    async def activations(self, prompt: Prompt, layers: Sequence[int]) -> Activations:
        raise self._refusal("target.activations", [Access.ACTIVATIONS_READ])

    async def nearest_tokens(self, vectors: Array, *, top: int = 10, by: Vocabulary = "unembedding") -> NearTokens:
        raise self._refusal("target.nearest_tokens", [Access.ACTIVATIONS_READ])

    async def gradients(self, prompt: Prompt, wrt: WithRespectTo, loss: Loss) -> Gradients:
        raise self._refusal("target.gradients", [Access.GRADIENTS])

    async def weights(self, names: Sequence[str]) -> Weights:
        raise self._refusal("target.weights", [Access.WEIGHTS])

    @abstractmethod
    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        """Samples replies of the model, as each kind of remote target gets them."""

    def intervene(self, *edits: Edit) -> AbstractAsyncContextManager[Target]:
        """Returns the target itself where nothing is to be edited.

        Raises:
            AccessDenied: there are edits.
        """
        for edit in edits:
            raise self._refusal(f"target.intervene({type(edit).__name__})", sorted(edit.needs))
        return nullcontext(self)

    def _refusal(self, call: str, flags: Sequence[Access]) -> AccessDenied:
        """Makes the error that says what a call wants and what there is instead.

        Flags that the target offers are named too where the call needs them in a way it cannot give.
        """
        offered = ", ".join(sorted(self._offers))
        return AccessDenied(
            f"{call} ({', '.join(flags)}) is not to be had from {self._kind}, which offers {offered}. "
            f"Open the testbed with the local engine, or leave the tool that asks for it out of the kit."
        )


def remote_seed(seed: int, sample: int = 0) -> int:
    """Derives a seed of 31 bits, for an interface that takes one.

    Servers give sample i of a request seed + i, so neighbouring seeds passed on as they are would share draws.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{sample}".encode()).digest()[:4]) >> 1


def share_out(total: int, texts: Sequence[str]) -> list[int]:
    """Shares out a sum of tokens among texts in proportion to length; the shares add up to the sum."""
    sizes = [len(text) for text in texts]
    sizes = sizes if any(sizes) else [1] * len(texts)
    # Differences of rounded running sums: rounding each share by itself would not add up.
    bounds = [total * sum(sizes[:index]) // sum(sizes) for index in range(len(sizes) + 1)]
    return [after - before for before, after in itertools.pairwise(bounds)]


def without_empty_prefill(turns: Sequence[Message]) -> Sequence[Message]:
    """Returns the turns without an empty prefill, which interfaces refuse."""
    return turns[:-1] if turns[-1] == Message("assistant", "") else turns
