"""Continuous batching: requests join and leave at any step; one thread owns a device and its batch.

Guarantees. A request's random numbers depend on its seed, its prompt and its sample index alone, and its edits touch
its own rows alone, so its reply does not depend on its neighbours beyond floating-point noise: batched products may
round differently with the number of rows and with which adapters are in use. Exact mode takes that away too: each
request is computed by itself, so its result is, bit for bit, what it is alone.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from assay.core.edit import Noise, ResidualEdit
from assay.engine.local.adapter_bank import AdapterBank, Carried
from assay.engine.local.edits import ActiveEdit, activate, contrast, decode_edit, prefill_edit, scales
from assay.engine.local.kv_cache import KVCache
from assay.engine.local.llama import KeysValues, Llama, Product, TokenIds
from assay.engine.local.lora import LoraAdapter
from assay.engine.local.lower_layer_cache import LowerLayerCache
from assay.engine.local.probes import ScoredPrompt, combined, gradients, score, stream
from assay.engine.local.queue import Item, Queue, Request, Sampled
from assay.engine.local.sampling import sample, uniforms

PREFIX_MIN = 8  # a shared beginning shorter than this is not worth keeping
_PREFIXES = 64  # prefixes kept, about 1 MB each for the embedded base
_PREFILL_TOKENS = 2_048  # read in one pass


@dataclass(slots=True, eq=False)
class _Row:
    """A sample being made, or the shadow of one: the same tokens read by its reference, for a contrast."""

    request: Request
    future: Future[Any]
    adapter: LoraAdapter | None
    length: int  # tokens in the cache
    draws: np.ndarray
    active: list[ActiveEdit]
    scales: dict[int, float]
    tokens: list[int] = field(default_factory=list)
    shadow: _Row | None = None
    leads: bool = True  # False for a shadow


class Decoder:
    """A thread with a batch of its own, fed from a queue it may share with others.

    Args:
        model: the base, on this worker's device.
        queue: of requests; when it closes, the worker ends.
        stop: ids that end a reply.
        max_rows: largest batch of a decoding step.
        threads: torch may use on a CPU.
        exact: compute each request by itself.
    """

    def __init__(
        self, model: Llama, queue: Queue, stop: frozenset[int], max_rows: int, threads: int, exact: bool = False
    ) -> None:
        self._model, self._queue, self._stop = model, queue, stop
        self._max_rows, self._threads, self._exact = 1 if exact else max_rows, threads, exact
        s = model.shape
        self.adapter_bank = AdapterBank(model)
        self.rows: KVCache[_Row] = KVCache(s.layers, 2 * s.key_heads, s.head_width, model.dtype, model.device)
        self._lower_layers = LowerLayerCache(model)
        self._prefixes: OrderedDict[tuple[LoraAdapter | None, TokenIds], KeysValues] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name="assay-engine", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether any row is live."""
        return bool(len(self.rows))

    def join(self) -> None:
        """Wait for the end; the queue must be closed."""
        self._thread.join()

    def _run(self) -> None:
        torch.set_num_threads(self._threads)  # of this thread
        with torch.inference_mode():
            while self._queue.wait(idle=not self.busy):
                try:
                    self._admit()
                    if self.busy:
                        self._step()
                except Exception as error:  # the worker outlives a failed batch; its requests carry the reason
                    for row in self.rows:
                        _fail(row.future, error)
                    self.rows.clear()
        for row in self.rows:
            row.future.cancel()

    # Admission ---------------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Fill free rows, and make the probes that were asked for."""
        while taken := self._queue.take(len(self.rows), self._max_rows):
            for batch in _batches(taken, alone=self._exact):
                try:
                    adapter = batch[0][0][0].adapter
                    self.adapter_bank.load([adapter, *(row.adapter for row in self.rows)])
                    if batch[0][0][0].probe is not None:
                        self._probe(batch)
                    else:
                        self._prefill(batch)
                except Exception as error:  # of this pass alone: the other rows go on
                    for _, future in (item for samples in batch for item in samples):
                        _fail(future, error)
                    self.rows.drop([row for row in self.rows if row.future.done()])

    def _product(self, carried: Carried | None) -> Product:
        if carried is None:
            return self._model.base

        def product(x: torch.Tensor, layer: int, fused: str, plus: torch.Tensor | None) -> torch.Tensor:
            return self.adapter_bank.product(x, layer, fused, plus, carried)

        return product

    def _read(
        self,
        prompts: Sequence[TokenIds],
        adapter: LoraAdapter | None,
        active: Sequence[list[ActiveEdit]],
        strength: dict[int, float],
    ) -> tuple[torch.Tensor, KeysValues]:
        """Read whole prompts in one pass: last hidden states (rows, T, width), keys and values of all layers."""
        s = self._model.shape
        h = self._model.embed(prompts)
        keep = self._empty(len(prompts), h.shape[1])
        edit = prefill_edit(active, [len(prompt) for prompt in prompts])
        product = self._product(self.adapter_bank.shared(adapter, strength))
        return self._model.prefill(h, range(s.layers), product, edit=edit, keep=keep), keep

    def _empty(self, rows: int, tokens: int, layers: int | None = None) -> KeysValues:
        s = self._model.shape
        return torch.empty(
            s.layers if layers is None else layers, rows, tokens, 2 * s.key_heads, s.head_width,
            dtype=self._model.dtype, device=self._model.device,
        )  # fmt: skip

    def _prefill(self, batch: list[list[Item]]) -> None:
        """Read distinct prompts of one adapter in one pass, each once for all its samples."""
        first = batch[0][0][0]
        prompts = [samples[0][0].prompt for samples in batch]
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        strength = scales(first.edits, self._model.shape.layers)
        active = [self._activate(samples[0][0]) for samples in batch]
        if first.edits or self._exact:
            past, (hidden, kept) = None, self._read(prompts, first.adapter, active, strength)
        else:
            past, hidden, kept = self._read_shared(prompts, first.adapter)
        skip = 0 if past is None else past.shape[1]
        logits = self._model.logits(hidden[torch.arange(len(prompts)), lengths - skip - 1])
        shadows = self._shadows(first, prompts)
        new: list[_Row] = []
        for row, samples in enumerate(batch):
            for request, future in samples:
                made = self._row(request, future, first.adapter, active[row], strength)
                self._place(made, past, kept[:, row])
                if shadows is not None:
                    made.shadow = self._row(request, future, None, [], {}, leads=False)
                    self._place(made.shadow, None, shadows[0][:, row])
                new.append(made)
        source = [row for row, samples in enumerate(batch) for _ in samples]
        self._take(new, logits[source], None if shadows is None else shadows[1][source])

    def _activate(self, request: Request) -> list[ActiveEdit]:
        return activate(request.edits, len(request.prompt), request.entropy, self._model.device)

    def _shadows(self, first: Request, prompts: Sequence[TokenIds]) -> tuple[KeysValues, torch.Tensor] | None:
        """Keys and values, and last logits, of the prompts in the reference, where the view is a contrast with it."""
        if contrast(first.edits) is None:
            return None
        hidden, kept = self._read(prompts, None, [[] for _ in prompts], {})
        last = torch.tensor([len(prompt) - 1 for prompt in prompts])
        return kept, self._model.logits(hidden[torch.arange(len(prompts)), last])

    @staticmethod
    def _row(
        request: Request,
        future: Future[Any],
        adapter: LoraAdapter | None,
        active: list[ActiveEdit],
        strength: dict[int, float],
        leads: bool = True,
    ) -> _Row:
        draws = uniforms(request.entropy, request.max_tokens)
        return _Row(request, future, adapter, len(request.prompt), draws, active, strength, leads=leads)

    def _place(self, row: _Row, past: KeysValues | None, kept: KeysValues) -> None:
        """Copy what was read into the row's part of a block of the cache."""
        skip = 0 if past is None else past.shape[1]
        own = self.rows.add(row, row.length + row.request.max_tokens)
        if past is not None:
            own[:, :skip] = past
        own[:, skip : row.length] = kept[:, : row.length - skip]

    def _read_shared(
        self, prompts: Sequence[TokenIds], adapter: LoraAdapter | None
    ) -> tuple[KeysValues | None, torch.Tensor, KeysValues]:
        """Read prompts behind a beginning they share, and through the lower layers once for all adapters above them.

        Returns:
            Keys and values of the beginning (layers, tokens, …), if any; last hidden states of what follows it
            (rows, T, width); keys and values of that, (layers, rows, T, …).
        """
        past = self._prefix(prompts, adapter)
        skip = past.shape[1] if past is not None else 0
        depth = adapter.depth if adapter is not None else 0
        longest = max(map(len, prompts)) - skip
        keep = self._empty(len(prompts), longest)
        if depth:
            hidden, lower = self._lower_layers.read(prompts, depth, past)
            for row, own in enumerate(lower):  # the layers above fill in their own part below
                keep[:depth, row, : own.shape[1]] = own
        else:
            hidden = self._model.embed([prompt[skip:] for prompt in prompts])
        layers = range(depth, self._model.shape.layers)
        product = self._product(self.adapter_bank.shared(adapter))
        return past, self._model.prefill(hidden, layers, product, past, keep=keep[depth:]), keep

    def _prefix(self, prompts: Sequence[TokenIds], adapter: LoraAdapter | None) -> KeysValues | None:
        """Keys and values of a beginning all prompts share, read once per adapter: (layers, tokens, …)."""
        shared = _common(prompts)
        owned = [key for key in self._prefixes if key[0] is adapter and shared[: len(key[1])] == key[1]]
        if owned:
            best = max(owned, key=lambda key: len(key[1]))
            self._prefixes.move_to_end(best)
            return self._prefixes[best]
        if len(prompts) == 1 or len(shared) < PREFIX_MIN:
            return None
        _, kept = self._read([shared], adapter, [[]], {})
        self._prefixes[adapter, shared] = kept[:, 0]
        while len(self._prefixes) > _PREFIXES:
            self._prefixes.popitem(last=False)
        return kept[:, 0]

    def _probe(self, batch: list[list[Item]]) -> None:
        """One pass over each prompt, for whoever wants to see something of it."""
        first = batch[0][0][0]
        assert first.probe is not None
        if first.probe.gradient is not None:
            factors = first.adapter.read(self._model.dtype) if first.adapter is not None else {}
            for request, future in (item for samples in batch for item in samples):
                _deliver(future, gradients(self._model, factors, request))
            return
        prompts = [samples[0][0].prompt for samples in batch]
        seen: dict[int, torch.Tensor] = {}
        active = [self._activate(samples[0][0]) for samples in batch]
        edit = prefill_edit(active, [len(prompt) for prompt in prompts])
        wanted: set[int] = set()  # only these layers' outputs are held until the pass ends
        for samples in batch:
            for request, _ in samples:
                wanted.update(request.probe.layers if request.probe else ())

        def watch(layer: int, h: torch.Tensor) -> torch.Tensor:
            h = h if edit is None else edit(layer, h)
            if layer in wanted:
                seen[layer] = h
            return h

        layers = range(self._model.shape.layers)
        product = self._product(self.adapter_bank.shared(first.adapter, scales(first.edits, len(layers))))
        hidden = self._model.prefill(self._model.embed(prompts), layers, product, edit=watch)
        against = contrast(first.edits)
        base = None if against is None else self._model.prefill(self._model.embed(prompts), layers, self._model.base)
        for row, samples in enumerate(batch):
            for request, future in samples:
                assert request.probe is not None
                length = len(request.prompt)
                if request.probe.top is None:
                    _deliver(future, {layer: stream(seen[layer][row, :length]) for layer in request.probe.layers})
                    continue
                logits = combined(self._model, request, hidden[row], None if base is None else base[row])
                found: ScoredPrompt = score(logits, request.prompt, request.probe.top)
                _deliver(future, found)

    # Decoding ----------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """One token for every row."""
        self.rows.drop([row for row in self.rows if row.future.cancelled()])
        rows = list(self.rows)
        if not rows:
            return
        device = self._model.device
        parts = [
            (block.kept, torch.tensor([row.length for row in block.rows], device=device)) for block in self.rows.blocks
        ]
        tokens = torch.tensor([row.tokens[-1] for row in rows], device=device)
        edit = decode_edit([row.active for row in rows], [row.length for row in rows])
        logits = self._model.decode(tokens, parts, self._product(self._carried(rows)), edit)
        for row in rows:
            row.length += 1
        where = {id(row): index for index, row in enumerate(rows)}
        leading = [row for row in rows if row.leads]
        shadows = [row.shadow for row in leading]
        # a row without a shadow is its own: only rows with one are combined
        beside = (
            logits[[where[id(s or row)] for s, row in zip(shadows, leading, strict=True)]] if any(shadows) else None
        )
        self._take(
            leading, logits if len(leading) == len(rows) else logits[[where[id(row)] for row in leading]], beside
        )

    def _carried(self, rows: Sequence[_Row]) -> Carried | None:
        strengths = {index: row.scales for index, row in enumerate(rows) if row.scales}
        if len({row.adapter for row in rows}) == 1 and len({tuple(row.scales.items()) for row in rows}) == 1:
            return self.adapter_bank.shared(rows[0].adapter, rows[0].scales)
        return self.adapter_bank.mixed([row.adapter for row in rows], strengths)

    def _take(self, rows: Sequence[_Row], logits: torch.Tensor, base: torch.Tensor | None) -> None:
        """Sample a token for each row; finish those that stop.

        Args:
            rows: that lead.
            logits: theirs, (rows, vocabulary).
            base: of their references, same shape; None where no row is a contrast.
        """
        if base is not None:
            logits = logits.float()
            for index, row in enumerate(rows):
                if (against := contrast(row.request.edits)) is not None:
                    logits[index] = against.weight * logits[index] + against.alpha * (logits[index] - base[index])
        temperature = torch.tensor([row.request.temperature for row in rows], device=logits.device)
        draws = torch.tensor([float(row.draws[len(row.tokens)]) for row in rows], device=logits.device)
        done: list[_Row] = []
        for row, token in zip(rows, sample(logits, temperature, draws).tolist(), strict=True):
            stopped = token in self._stop
            if not stopped:
                row.tokens.append(token)
                if row.shadow is not None:
                    row.shadow.tokens.append(token)
            if stopped or len(row.tokens) == row.request.max_tokens:
                done += [row] if row.shadow is None else [row, row.shadow]
                _deliver(row.future, Sampled(row.tokens, "stop" if stopped else "length"))
        self.rows.drop(done)


def _batches(items: list[Item], *, alone: bool) -> list[list[list[Item]]]:
    """Passes of distinct prompts of similar length, one kind of request each; samples of one prompt together.

    Args:
        items: of one adapter.
        alone: one item a pass.
    """
    same: dict[tuple[object, ...], list[Item]] = {}
    for request, future in items:
        own = id(future) if alone or any(isinstance(edit, Noise) for edit in request.edits) else 0
        same.setdefault((request.prompt, request.edits, _kind(request), own), []).append((request, future))
    batches: list[list[list[Item]]] = []
    kind: object = None
    for samples in sorted(same.values(), key=lambda samples: (str(_kind(samples[0][0])), len(samples[0][0].prompt))):
        request = samples[0][0]
        fits = not alone and batches and kind == _kind(request)
        if fits and (len(batches[-1]) + 1) * len(request.prompt) <= _PREFILL_TOKENS:
            batches[-1].append(samples)
        else:
            batches.append([samples])
            kind = _kind(request)
    return batches


def _kind(request: Request) -> tuple[object, ...]:
    """What all requests of one pass share: edited or not, how the adapter is scaled, the contrast, the probe."""
    whole = tuple(edit for edit in request.edits if not isinstance(edit, ResidualEdit))
    probe = "none" if request.probe is None else "forward" if request.probe.gradient is None else "backward"
    return bool(request.edits), whole, probe


def _common(prompts: Sequence[TokenIds]) -> TokenIds:
    """The longest beginning all share that leaves each at least one token."""
    low, high = min(prompts), max(prompts)
    length = min(map(len, prompts)) - 1
    for index in range(length):
        if low[index] != high[index]:
            return low[:index]
    return low[:length]


def _deliver(future: Future[Any], result: object) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(result)


def _fail(future: Future[Any], error: Exception) -> None:
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_exception(error)
