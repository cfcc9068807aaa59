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

from assay.core.edit import Edit, WeightNoise
from assay.engine.local.adapter_bank import AdapterBank, Carried
from assay.engine.local.batches import Batch, common_beginning, plan_batches
from assay.engine.local.edits import ActiveEdit, activate, combine, contrast, decode_edit, prefill_edit, scales
from assay.engine.local.kv_cache import KVCache
from assay.engine.local.llama import KeysValues, Llama, Product, TokenIds
from assay.engine.local.lora import LoraAdapter
from assay.engine.local.lower_layer_cache import LowerLayerCache
from assay.engine.local.probes import gradients, nearest, read_off
from assay.engine.local.queue import Queue, Request, Sampled, deliver, fail
from assay.engine.local.sampling import sample, uniforms
from assay.engine.local.weight_noise import NoiseTable, NoisyRows, noises_of

PREFIX_MIN = 8  # a shared beginning shorter than this is not worth keeping
_PREFIXES = 64  # prefixes kept, about 1 MB each for the embedded base


@dataclass(slots=True, eq=False)
class _Row:
    """A sample being made, or the shadow of one: the same tokens read by its reference, for a contrast.

    Attributes:
        request: what is sampled.
        future: of the reply.
        adapter: the request's; None for a shadow.
        length: tokens in the cache.
        draws: a uniform number for each token that may be sampled.
        active: the request's residual edits; none for a shadow.
        scales: layer → factor of the adapter, where it is not 1.
        tokens: sampled so far.
        shadow: the reference's row, where the request is a contrast.
        leads: the row samples its own tokens; False for a shadow, which is given them.
    """

    request: Request
    future: Future[Any]
    adapter: LoraAdapter | None
    length: int
    draws: np.ndarray
    active: list[ActiveEdit]
    scales: dict[int, float]
    tokens: list[int] = field(default_factory=list)
    shadow: _Row | None = None
    leads: bool = True


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
        self._noise = NoiseTable(model)
        self.rows: KVCache[_Row] = KVCache(s.layers, 2 * s.key_heads, s.head_width, model.dtype, model.device)
        self._lower_layers = LowerLayerCache(model)
        self._prefixes: OrderedDict[tuple[LoraAdapter | None, TokenIds], KeysValues] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name="assay-engine", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Tells whether any row is live."""
        return bool(len(self.rows))

    def join(self) -> None:
        """Waits for the end; the queue must be closed."""
        self._thread.join()

    def _run(self) -> None:
        torch.set_num_threads(self._threads)  # of this thread
        with torch.inference_mode():
            while self._queue.wait(idle=not self.busy):
                try:
                    self._admit()
                    if self.busy:
                        self._step()
                except Exception as error:
                    # The worker outlives a failed step; the requests that were in it carry the reason.
                    for row in self.rows:
                        fail(row.future, error)
                    self.rows.clear()
        for row in self.rows:
            row.future.cancel()

    # Admission ---------------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Fills free rows, and makes the probes that were asked for."""
        while taken := self._queue.take(len(self.rows), self._max_rows):
            for batch in plan_batches(taken, alone=self._exact):
                try:
                    # Live rows go on with their adapters at the next step: the bank must not give up their places.
                    self.adapter_bank.load([batch.request.adapter, *(row.adapter for row in self.rows)])
                    if batch.request.probe is not None:
                        self._probe(batch)
                    else:
                        self._prefill(batch)
                except Exception as error:
                    # Only this pass failed: its rows, where some were placed already, leave, and the others go on.
                    for _, future in batch.items:
                        fail(future, error)
                    self.rows.drop([row for row in self.rows if row.future.done()])

    def _product(self, carried: Carried | None, noisy: Sequence[NoisyRows] = ()) -> Product:
        """Makes the product of a pass: the base's, what adapters add, and noise in the weights of some rows."""
        if carried is None:
            return self._noise.disturbed(self._model.base, noisy)

        def product(x: torch.Tensor, layer: int, fused: str, plus: torch.Tensor | None) -> torch.Tensor:
            return self.adapter_bank.product(x, layer, fused, plus, carried)

        return self._noise.disturbed(product, noisy)

    def _read(
        self,
        prompts: Sequence[TokenIds],
        adapter: LoraAdapter | None,
        active: Sequence[list[ActiveEdit]],
        edits: Sequence[Edit] = (),
    ) -> tuple[torch.Tensor, KeysValues]:
        """Reads whole prompts in one pass: last hidden states (rows, T, width), keys and values of all layers.

        Each prompt's residual edits are in `active`; of `edits` those are heeded that hold for the whole pass.
        """
        s = self._model.shape
        h = self._model.embed(prompts)
        keep = self._empty(len(prompts), h.shape[1])
        edit = prefill_edit(active, [len(prompt) for prompt in prompts])
        carried = self.adapter_bank.shared(adapter, scales(edits, s.layers))
        product = self._product(carried, [(None, noises_of(edits))])
        return self._model.prefill(h, range(s.layers), product, edit=edit, keep=keep), keep

    def _empty(self, rows: int, tokens: int) -> KeysValues:
        """Returns room for keys and values of all layers, to be filled at once."""
        s = self._model.shape
        shape = (s.layers, rows, tokens, 2 * s.key_heads, s.head_width)
        return torch.empty(shape, dtype=self._model.dtype, device=self._model.device)

    def _prefill(self, batch: Batch) -> None:
        """Reads distinct prompts of one adapter in one pass, each once for all its samples."""
        first, prompts = batch.request, batch.prompts
        strength = scales(first.edits, self._model.shape.layers)
        active = self._activated(batch)
        past: KeysValues | None = None
        # What edits change cannot be kept for others; exact mode keeps nothing, since what was read in other company
        # may differ in its last bits.
        if first.edits or self._exact:
            hidden, kept = self._read(prompts, first.adapter, active, first.edits)
        else:
            past, hidden, kept = self._read_shared(prompts, first.adapter)
        skip = 0 if past is None else past.shape[1]
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        logits = self._model.logits(hidden[torch.arange(len(prompts)), lengths - skip - 1])
        shadows = self._shadows(first, prompts)
        new: list[_Row] = []
        source: list[int] = []  # of each row: which prompt's logits its first token is drawn from
        for index, group in enumerate(batch.groups):
            for request, future in group.items:
                made = self._row(request, future, first.adapter, active[index], strength)
                self._place(made, past, kept[:, index])
                if shadows is not None:
                    made.shadow = self._row(request, future, None, [], {}, leads=False)
                    self._place(made.shadow, None, shadows[0][:, index])
                new.append(made)
                source.append(index)
        self._take(new, logits[source], None if shadows is None else shadows[1][source])

    def _activated(self, batch: Batch) -> list[list[ActiveEdit]]:
        """Returns the residual edits of each prompt's requests, ready for its row."""
        active: list[list[ActiveEdit]] = []
        for group in batch.groups:
            request = group.request
            active.append(activate(request.edits, len(request.prompt), request.entropy, self._model.device))
        return active

    def _shadows(self, first: Request, prompts: Sequence[TokenIds]) -> tuple[KeysValues, torch.Tensor] | None:
        """Reads the prompts in the reference, for a contrast with it: keys and values, and last logits."""
        if contrast(first.edits) is None:
            return None
        hidden, kept = self._read(prompts, None, [[] for _ in prompts])
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
        # All numbers the row will ever need are drawn now, so what else is in the batch cannot move them.
        draws = uniforms(request.entropy, request.max_tokens)
        return _Row(request, future, adapter, len(request.prompt), draws, active, strength, leads=leads)

    def _place(self, row: _Row, past: KeysValues | None, kept: KeysValues) -> None:
        """Copies what was read into the row's part of a block of the cache."""
        skip = 0 if past is None else past.shape[1]
        own = self.rows.add(row, row.length + row.request.max_tokens)
        if past is not None:
            own[:, :skip] = past
        own[:, skip : row.length] = kept[:, : row.length - skip]

    def _read_shared(
        self, prompts: Sequence[TokenIds], adapter: LoraAdapter | None
    ) -> tuple[KeysValues | None, torch.Tensor, KeysValues]:
        """Reads prompts behind a beginning they share, and through the lower layers once for all adapters above them.

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
        """Returns keys and values of a beginning all prompts share, read once per adapter: (layers, tokens, …)."""
        shared = common_beginning(prompts)
        # Keys and values at a position depend on nothing behind it, so a beginning read for other prompts serves too:
        # a chat template's opening is most of a short prompt.
        owned = [key for key in self._prefixes if key[0] is adapter and shared[: len(key[1])] == key[1]]
        if owned:
            best = max(owned, key=lambda key: len(key[1]))
            self._prefixes.move_to_end(best)
            return self._prefixes[best]
        if len(prompts) == 1 or len(shared) < PREFIX_MIN:
            return None
        _, kept = self._read([shared], adapter, [[]])
        self._prefixes[adapter, shared] = kept[:, 0]
        while len(self._prefixes) > _PREFIXES:
            self._prefixes.popitem(last=False)
        return kept[:, 0]

    def _probe(self, batch: Batch) -> None:
        """Makes one pass over each prompt, for whoever wants to see something of it."""
        first, prompts = batch.request, batch.prompts
        assert first.probe is not None
        if first.probe.near is not None:
            for request, future in batch.items:
                deliver(future, nearest(self._model, request))
            return
        if first.probe.gradient is not None:
            factors = first.adapter.read(self._model.dtype) if first.adapter is not None else {}
            for request, future in batch.items:
                deliver(future, gradients(self._model, factors, request, self._noise))
            return
        seen: dict[int, torch.Tensor] = {}
        edit = prefill_edit(self._activated(batch), [len(prompt) for prompt in prompts])
        wanted: set[int] = set()  # only these layers' outputs are held until the pass ends
        for request, _ in batch.items:
            wanted.update(request.probe.layers if request.probe else ())

        def watch(layer: int, h: torch.Tensor) -> torch.Tensor:
            h = h if edit is None else edit(layer, h)
            if layer in wanted:
                seen[layer] = h
            return h

        layers = range(self._model.shape.layers)
        carried = self.adapter_bank.shared(first.adapter, scales(first.edits, len(layers)))
        product = self._product(carried, [(None, noises_of(first.edits))])
        hidden = self._model.prefill(self._model.embed(prompts), layers, product, edit=watch)
        against = contrast(first.edits)  # edits are of the target's own stream: its reference is read without them
        base: torch.Tensor | None = None
        if against is not None or any(request.probe and request.probe.divergence for request, _ in batch.items):
            base = self._model.prefill(self._model.embed(prompts), layers, self._model.base)
        for row, group in enumerate(batch.groups):
            for request, future in group.items:
                streams = {layer: h[row] for layer, h in seen.items()}
                beside = None if base is None else base[row]
                deliver(future, read_off(self._model, request, hidden[row], beside, streams))

    # Decoding ----------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """Samples one token for every row."""
        self.rows.drop([row for row in self.rows if row.future.cancelled()])
        rows = list(self.rows)
        if not rows:
            return
        device = self._model.device
        parts: list[tuple[torch.Tensor, torch.Tensor]] = []  # of each block: what it keeps, and its rows' lengths
        for block in self.rows.blocks:
            lengths = [row.length for row in block.rows]
            parts.append((block.kept, torch.tensor(lengths, device=device)))
        tokens = torch.tensor([row.tokens[-1] for row in rows], device=device)
        edit = decode_edit([row.active for row in rows], [row.length for row in rows])
        product = self._product(self._carried(rows), self._noisy(rows))
        logits = self._model.decode(tokens, parts, product, edit)
        for row in rows:
            row.length += 1
        where = {id(row): index for index, row in enumerate(rows)}
        leading = [row for row in rows if row.leads]
        if len(leading) == len(rows):  # no row has a shadow
            self._take(rows, logits, None)
            return
        # A row without a shadow stands in for its own: only rows with one are combined.
        beside = [where[id(row.shadow or row)] for row in leading]
        self._take(leading, logits[[where[id(row)] for row in leading]], logits[beside])

    def _carried(self, rows: Sequence[_Row]) -> Carried | None:
        """Returns the adapters of a step's rows, and how strongly each carries its own."""
        adapters = {row.adapter for row in rows}
        strengths = {tuple(row.scales.items()) for row in rows}
        # One adapter needs no masks over the whole bank: its own factors are taken out of it.
        if len(adapters) == 1 and len(strengths) == 1:
            return self.adapter_bank.shared(rows[0].adapter, rows[0].scales)
        scaled = {index: row.scales for index, row in enumerate(rows) if row.scales}
        return self.adapter_bank.mixed([row.adapter for row in rows], scaled)

    def _noisy(self, rows: Sequence[_Row]) -> list[NoisyRows]:
        """Groups a step's rows by the noise in their weights."""
        groups: dict[tuple[WeightNoise, ...], list[int]] = {}
        for index, row in enumerate(rows):
            if row.leads and (noises := noises_of(row.request.edits)):  # a shadow is the reference's, undisturbed
                groups.setdefault(noises, []).append(index)
        return [(torch.tensor(own, device=self._model.device), noises) for noises, own in groups.items()]

    def _take(self, rows: Sequence[_Row], logits: torch.Tensor, base: torch.Tensor | None) -> None:
        """Samples a token for each row; finishes those that stop.

        Args:
            rows: that lead.
            logits: theirs, (rows, vocabulary).
            base: of their references, same shape; None where no row is a contrast.
        """
        if base is not None:
            logits = logits.float()
            # Combined here, on the level of logits and before sampling: the shadow then reads the token that was drawn.
            for index, row in enumerate(rows):
                if (against := contrast(row.request.edits)) is not None:
                    logits[index] = combine(against, logits[index], base[index].float())
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
                done.append(row)
                if row.shadow is not None:
                    done.append(row.shadow)
                deliver(row.future, Sampled(row.tokens, "stop" if stopped else "length"))
        self.rows.drop(done)
