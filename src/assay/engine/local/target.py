"""Offers one adapter on an engine's base as a target."""

from __future__ import annotations

import fnmatch
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Unpack, get_args

import numpy as np
import torch

from assay.core.access import Access
from assay.core.edit import Edit, TruncateAdapter, check_edits
from assay.core.readouts import (
    Activations,
    Alternative,
    Array,
    Divergence,
    Gradients,
    Loss,
    NearToken,
    NearTokens,
    NegativeLogLikelihood,
    Raw,
    Shift,
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
from assay.core.testbed import TargetSpec
from assay.engine.corpus import read_corpus
from assay.engine.local.edits import contrast
from assay.engine.local.lora import LoraAdapter
from assay.engine.local.probes import ScoredPrompt
from assay.engine.local.queue import Probe
from assay.engine.local.tensors import names_of, tensor_of
from assay.errors import InvalidInput, UnknownId

if TYPE_CHECKING:
    from assay.engine.local.engine import LocalEngine

_BACKWARD = 3  # passes a gradient is charged for: one forward, one backward that costs two


class LocalTarget:
    """One adapter on the engine's base, or the base itself.

    Args:
        engine: that computes.
        spec: alias, grants and corpus.
        adapter: None for the base.
        edits: every request of this view carries them.
    """

    def __init__(
        self, engine: LocalEngine, spec: TargetSpec, adapter: LoraAdapter | None, edits: tuple[Edit, ...] = ()
    ) -> None:
        self._engine, self._spec, self._adapter, self._edits = engine, spec, adapter, edits

    @property
    def alias(self) -> str:
        return self._spec.alias

    @property
    def access(self) -> frozenset[Access]:
        return self._spec.access

    @property
    def layers(self) -> int:
        return self._engine.shape.layers

    @property
    def width(self) -> int:
        return self._engine.shape.width

    @property
    def reference(self) -> Target | None:
        return LocalTarget(self._engine, self._spec, None)

    @property
    def corpus(self) -> Corpus | None:
        return read_corpus(self._spec.corpus, self._spec.corpus_digest) if self._spec.corpus else None

    def _read(self, prompt: Prompt) -> tuple[list[int], int]:
        """Returns a prompt's token ids, and where its last assistant turn begins.

        That is 0 for raw text, and behind the last token where there is no such turn.
        """
        if isinstance(prompt, Raw):
            return self._raw(prompt.text), 0
        head, reply = self._engine.chat_tokens.apart(self._turns(prompt))
        return head + reply, len(head)

    def _raw(self, text: str) -> list[int]:
        raw = plain_text(text, "a raw text")
        self._engine.require_room(len(raw))
        return self._engine.chat_tokens.raw(raw)

    def _turns(self, messages: Messages) -> Sequence[Message]:
        turns = as_messages(messages)
        self._engine.require_room(sum(len(turn.content) for turn in turns))
        return turns

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        return await self._sampled(self._engine.chat_tokens.begun(self._turns(messages)), sampling.but(**options))

    async def complete(
        self, text: str, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        return await self._sampled(self._raw(text), sampling.but(**options))

    async def user_turn(
        self,
        before: Sequence[Message],
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        begun: str = "",
        **options: Unpack[SamplingOptions],
    ) -> Replies:
        turns, words = as_history(before), plain_text(begun, "the beginning of a user's turn")
        self._engine.require_room(len(words) + sum(len(turn.content) for turn in turns))
        return await self._sampled(self._engine.chat_tokens.user_begun(turns, words), sampling.but(**options))

    async def _sampled(self, ids: Sequence[int], sampling: Sampling) -> Replies:
        return await self._engine.generate(ids, self._adapter, sampling, self._edits)

    async def score(self, prompt: Prompt, *, top: int = 0) -> TokenLogprobs:
        vocabulary = len(self._engine.tokenizer)
        if not 0 <= top <= vocabulary:
            raise InvalidInput(f"top={top}: give 0 to {vocabulary} next tokens.")
        ids, begin = self._read(prompt)
        found: ScoredPrompt = await self._engine.probe(ids, self._adapter, self._edits, Probe(top=top))
        likely: tuple[tuple[Alternative, ...], ...] = ()
        if found.top is not None:
            top_ids, top_logprobs = found.top
            texts = self._texts(sorted(set(top_ids.ravel().tolist())))
            ranked: list[tuple[Alternative, ...]] = []
            for row_ids, row in zip(top_ids.tolist(), top_logprobs.tolist(), strict=True):
                ranked.append(tuple(Alternative(t, texts[t], value) for t, value in zip(row_ids, row, strict=True)))
            likely = tuple(ranked)
        names = self._texts(ids)
        models = 1 if contrast(self._edits) is None else 2  # the reference reads it too
        return TokenLogprobs(
            ids=tuple(ids),
            texts=tuple(names[t] for t in ids),
            logprobs=tuple(found.logprobs.tolist()),
            prompt=begin,
            top=likely,
            cost=Cost(1, models * len(ids), 0),
            divergence=() if found.divergence is None else tuple(found.divergence.tolist()),
        )

    async def divergence(self, prompt: Prompt) -> Divergence:
        ids, begin = self._read(prompt)
        nats: Array = await self._engine.probe(ids, self._adapter, self._edits, Probe(divergence=True))
        names = self._texts(ids)
        return Divergence(
            tuple(ids), tuple(names[t] for t in ids), tuple(nats.tolist()), begin, Cost(1, 2 * len(ids), 0)
        )

    def _texts(self, ids: Sequence[int]) -> dict[int, str]:
        """Spells each token once, however often it occurs."""
        return {token: str(self._engine.tokenizer.decode([token])) for token in ids}

    async def activations(self, prompt: Prompt, layers: Sequence[int]) -> Activations:
        self._check_layers(layers)
        ids, begin = self._read(prompt)
        found = await self._engine.probe(ids, self._adapter, self._edits, Probe(layers=tuple(layers)))
        names = self._texts(ids)
        return Activations(found, tuple(names[t] for t in ids), Cost(1, len(ids), 0), begin)

    async def nearest_tokens(self, vectors: Array, *, top: int = 10, by: Vocabulary = "unembedding") -> NearTokens:
        rows = np.asarray(vectors, dtype=np.float32)
        vocabulary = len(self._engine.tokenizer)
        if rows.ndim != 2 or rows.shape[1] != self.width or not len(rows) or not np.isfinite(rows).all():
            raise InvalidInput(
                f"vectors of shape {rows.shape}; give (rows, {self.width}), one row or more, all finite."
            )
        if not 1 <= top <= vocabulary or by not in get_args(Vocabulary):
            raise InvalidInput(f"top={top}, by={by!r}: give 1 to {vocabulary} tokens, by {get_args(Vocabulary)}.")
        ids, values = await self._engine.probe((), None, (), Probe(near=(rows, top, by)))
        names = self._texts(sorted(set(ids.ravel().tolist())))
        of: list[tuple[NearToken, ...]] = []
        for row_ids, row in zip(ids.tolist(), values.tolist(), strict=True):
            of.append(tuple(NearToken(t, names[t], value) for t, value in zip(row_ids, row, strict=True)))
        return NearTokens(tuple(of), Cost(1, len(rows), 0))

    async def gradients(self, prompt: Prompt, wrt: WithRespectTo, loss: Loss) -> Gradients:
        self._check_layers(wrt.layers)
        if not isinstance(loss, NegativeLogLikelihood):
            self._check_layers([loss.layer])
        if contrast(self._edits) is not None:
            raise InvalidInput("gradients are of the target alone: open a view without Contrast.")
        if wrt.kind == "adapter" and self._adapter is None:
            raise InvalidInput("this target is an untouched base: it has no adapter to differentiate.")
        ids, begin = self._read(prompt)
        if isinstance(loss, NegativeLogLikelihood) and len(ids) <= max(begin, 1):
            raise InvalidInput(
                "NegativeLogLikelihood wants something to score: end with an assistant turn, or two tokens."
            )
        probe = Probe(gradient=(wrt, loss, begin))
        value, of = await self._engine.probe(ids, self._adapter, self._edits, probe)
        passes = _BACKWARD + isinstance(loss, Shift)  # which reads the unedited stream as well
        return Gradients(value, of, Cost(1, passes * len(ids), 0))

    async def weights(self, names: Sequence[str]) -> Weights:
        factors = self._adapter.read(torch.float32) if self._adapter is not None else {}
        known = names_of(self._engine.model, factors)
        chosen: dict[str, None] = {}
        for name in names:
            matching = fnmatch.filter(known, name)
            if not matching:
                raise UnknownId("weight", name, known)
            chosen |= dict.fromkeys(matching)
        return Weights({name: tensor_of(self._engine.model, factors, name) for name in chosen}, Cost(1))

    def _check_layers(self, layers: Sequence[int]) -> None:
        for layer in layers:
            if not 0 <= layer < self.layers:
                raise InvalidInput(f"layer {layer} does not exist; give one from 0 to {self.layers - 1}.")

    @asynccontextmanager
    async def intervene(self, *edits: Edit) -> AsyncIterator[Target]:
        check_edits(self._edits + edits, self.layers, self.width)
        adapter, kept = self._adapter, self._edits
        for edit in edits:
            if not isinstance(edit, TruncateAdapter):
                kept += (edit,)
            elif adapter is not None:  # another adapter from here on: rows are told apart by their adapters anyway
                adapter = self._engine.truncated(adapter, edit.rank)
        yield LocalTarget(self._engine, self._spec, adapter, kept)
