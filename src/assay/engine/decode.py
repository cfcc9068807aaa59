"""Continuous batching: requests join and leave at any step; each worker thread owns a batch.

Guarantees. A request's random numbers depend on its seed, its prompt and its sample index alone, and its edits touch
its own rows alone, so its reply does not depend on its neighbours beyond floating-point noise (batched matrix products
may round differently with the number of rows).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from torch.nn.functional import pad

from assay.core.target import Edit
from assay.engine.llama import Group, KeysValues, LayerEdit, Llama, Prompt
from assay.engine.lora import Adapter
from assay.engine.queue import Item, Queue, Request, Sampled
from assay.engine.trunk import Trunk

PREFIX_MIN = 8  # a shared beginning shorter than this is not worth keeping
_PREFIXES = 64  # prefixes kept, about 1 MB each for the embedded base
_PREFILL_TOKENS = 2_048  # read in one pass
_BLOCK = 256  # tokens of the vocabulary whose mass is summed at once


@dataclass(slots=True, eq=False)
class _Row:
    request: Request
    future: Future[Sampled]
    draws: np.ndarray
    length: int  # tokens in the cache
    noise: list[tuple[Edit, torch.Generator]]
    tokens: list[int] = field(default_factory=list)


class Worker:
    """A thread with a batch of its own, fed from a queue it may share with others; the weights are shared too.

    Args:
        model: the base.
        trunk: what its lower layers have read.
        queue: of requests; when it closes, the worker ends.
        stop: ids that end a reply.
        max_rows: largest batch of a decoding step.
    """

    def __init__(self, model: Llama, trunk: Trunk, queue: Queue, stop: frozenset[int], max_rows: int) -> None:
        self._model, self._trunk, self._queue = model, trunk, queue
        self._stop, self._max_rows = stop, max_rows
        self._rows: list[_Row] = []
        self._prefixes: OrderedDict[tuple[int, Prompt], KeysValues] = OrderedDict()
        self._cache = torch.empty(2, model.shape.layers, 0, model.shape.key_heads, 0, model.shape.head_width)
        self._thread = threading.Thread(target=self._run, name="assay-engine", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether any row is live."""
        return bool(self._rows)

    def join(self) -> None:
        """Wait for the end; the queue must be closed."""
        self._thread.join()

    def _run(self) -> None:
        torch.set_num_threads(1)  # of this thread: workers side by side beat threads that wait for each other
        with torch.inference_mode():
            while self._queue.wait(idle=not self._rows):
                try:
                    self._admit()
                    if self._rows:
                        self._step()
                except Exception as error:  # the worker outlives a failed batch; its requests carry the reason
                    for row in self._rows:
                        _fail(row.future, error)
                    self._rows.clear()
        for row in self._rows:
            row.future.cancel()

    # Admission ---------------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Fill free rows."""
        while taken := self._queue.take(len(self._rows), self._max_rows):
            for batch in _batches(taken):
                try:
                    self._prefill(batch)
                except Exception as error:  # of this pass alone: the other rows go on
                    for _, future in (item for samples in batch for item in samples):
                        _fail(future, error)
                    self._drop([row for row in self._rows if row.future.done()])

    def _prefill(self, batch: list[list[Item]]) -> None:
        """Read distinct prompts of one adapter in one pass, each once for all its samples."""
        first = batch[0][0][0]
        prompts = [samples[0][0].prompt for samples in batch]
        past = None if first.edits else self._prefix(prompts, first.adapter)
        skip = past.shape[4] if past is not None else 0
        noise = [_noise(samples[0][0]) for samples in batch]
        lengths = [len(prompt) for prompt in prompts]
        depth = first.adapter.depth if first.adapter and not first.edits else 0
        if depth:
            hidden, lower = self._trunk.read(prompts, depth, past)
        else:
            hidden, lower = self._model.embed([prompt[skip:] for prompt in prompts]), []
        layers = range(depth, self._model.shape.layers)
        hidden, upper = self._model.prefill(hidden, layers, first.adapter, past, _edits(noise, lengths))
        last = torch.tensor([length - skip - 1 for length in lengths])
        logits = self._model.logits(hidden[torch.arange(len(prompts)), last])
        new: list[_Row] = []
        for row, samples in enumerate(batch):
            for request, future in samples:
                length, slot = lengths[row], len(self._rows) + len(new)
                self._reserve(slot + 1, length + request.max_tokens)
                self._cache[:, depth:, slot, :, :length] = upper[:, :, row, :, :length]
                if depth:
                    self._cache[:, :depth, slot, :, skip:length] = lower[row]
                    if past is not None:
                        self._cache[:, :depth, slot, :, :skip] = past[:, :depth, 0]
                draws = np.random.Generator(np.random.Philox(request.entropy)).random(request.max_tokens)
                new.append(_Row(request, future, draws, length, noise[row]))
        source = [row for row, samples in enumerate(batch) for _ in samples]
        self._rows.extend(new)
        self._take(new, logits[source])

    def _prefix(self, prompts: list[Prompt], adapter: Adapter | None) -> KeysValues | None:
        """Keys and values of a beginning all prompts share, read once per adapter."""
        shared = _common(prompts)
        owned = [key for key in self._prefixes if key[0] == id(adapter) and shared[: len(key[1])] == key[1]]
        if owned:
            best = max(owned, key=lambda key: len(key[1]))
            self._prefixes.move_to_end(best)
            return self._prefixes[best]
        if len(prompts) == 1 or len(shared) < PREFIX_MIN:
            return None
        layers = range(self._model.shape.layers)
        _, kept = self._model.prefill(self._model.embed([shared]), layers, adapter, None, None)
        self._prefixes[id(adapter), shared] = kept
        while len(self._prefixes) > _PREFIXES:
            self._prefixes.popitem(last=False)
        return kept

    def _reserve(self, rows: int, length: int) -> None:
        """Grow the cache to hold so many rows of such a length, in doublings."""
        _, _, have_rows, _, have_length, _ = self._cache.shape
        if rows <= have_rows and length <= have_length:
            return
        s = self._model.shape
        size = (min(self._max_rows, _doubled(max(have_rows, 8), rows)), _doubled(max(have_length, 128), length))
        grown = torch.zeros(2, s.layers, size[0], s.key_heads, size[1], s.head_width, dtype=self._model.dtype)
        grown[:, :, :have_rows, :, :have_length] = self._cache
        self._cache = grown

    # Decoding ----------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """One token for every row."""
        self._drop([row for row in self._rows if row.future.cancelled()])
        if not self._rows:
            return
        rows = self._rows
        order = sorted(range(len(rows)), key=lambda index: id(rows[index].request.adapter))
        groups: list[Group] = []
        for _, members in groupby(order, key=lambda index: id(rows[index].request.adapter)):
            size = len(indices := list(members))
            start = groups[-1][1] if groups else 0
            groups.append((start, start + size, rows[indices[0]].request.adapter))
        logits = self._model.decode(
            torch.tensor([row.tokens[-1] for row in rows]),
            torch.tensor([row.length for row in rows]),
            self._cache[0],
            self._cache[1],
            torch.tensor(order) if order != list(range(len(rows))) else None,
            groups,
            _edits([rows[index].noise for index in order]),
        )
        for row in rows:
            row.length += 1
        self._take(rows, logits)

    def _take(self, rows: Sequence[_Row], logits: torch.Tensor) -> None:
        """Sample a token for each row; finish those that stop."""
        temperature = torch.tensor([row.request.temperature for row in rows])
        draws = torch.tensor([row.draws[len(row.tokens)] for row in rows], dtype=torch.float32)
        done: list[_Row] = []
        for row, token in zip(rows, sample(logits, temperature, draws).tolist(), strict=True):
            stopped = token in self._stop
            if not stopped:
                row.tokens.append(token)
            if stopped or len(row.tokens) == row.request.max_tokens:
                done.append(row)
                if row.future.set_running_or_notify_cancel():
                    row.future.set_result(Sampled(row.tokens, "stop" if stopped else "length"))
        self._drop(done)

    def _drop(self, gone: Sequence[_Row]) -> None:
        """Free rows; the last ones move into the holes, so that the live rows stay the first."""
        for row in gone:
            hole, last = self._rows.index(row), len(self._rows) - 1
            if hole != last:
                length = self._rows[last].length + 1
                self._cache[:, :, hole, :, :length] = self._cache[:, :, last, :, :length]
                self._rows[hole] = self._rows[last]
            self._rows.pop()


def sample(logits: torch.Tensor, temperature: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Inverse-CDF sampling: one uniform number a row; no sorting, no noise and no running sum over the vocabulary.

    The vocabulary is cut into blocks: the draw finds its block by the blocks' masses, then its token within it.

    Args:
        logits: (rows, vocabulary); overwritten.
        temperature: (rows,); 0 is greedy.
        draws: (rows,) uniform in [0, 1).

    Returns:
        (rows,) token ids.
    """
    highest, greedy = logits.max(dim=-1, keepdim=True)
    if not bool((temperature > 0).any()):
        return greedy.squeeze(-1)
    mass = logits.sub_(highest).div_(temperature.clamp(min=1e-4)[:, None]).exp_()
    mass = pad(mass, (0, -mass.shape[1] % _BLOCK)).unflatten(1, (-1, _BLOCK))
    blocks = mass.sum(dim=-1).cumsum(dim=-1)
    goal = draws[:, None] * blocks[:, -1:]
    block = torch.searchsorted(blocks, goal, right=True).clamp_(max=blocks.shape[1] - 1)
    before = torch.where(block > 0, blocks.gather(1, (block - 1).clamp(min=0)), torch.zeros_like(goal))
    within = mass[torch.arange(len(mass)), block.squeeze(1)].cumsum(dim=-1)
    token = block * _BLOCK + torch.searchsorted(within, goal - before, right=True).clamp_(max=_BLOCK - 1)
    return torch.where(temperature > 0, token.squeeze(-1).clamp(max=logits.shape[1] - 1), greedy.squeeze(-1))


def _batches(
    items: list[Item],
) -> list[list[list[Item]]]:
    """Passes of distinct prompts of similar length; samples of one prompt together, unless they are edited."""
    same: dict[tuple[tuple[int, ...], tuple[Edit, ...], int], list[Item]] = {}
    for request, future in items:
        own = id(future) if request.edits else 0  # each has noise of its own, from its first token on
        same.setdefault((request.prompt, request.edits, own), []).append((request, future))
    batches: list[list[list[Item]]] = []
    ordered = sorted(same.items(), key=lambda item: (bool(item[0][1]), len(item[0][0])))
    for (prompt, edits, _), samples in ordered:
        fits = batches and bool(batches[-1][0][0][0].edits) == bool(edits)
        if fits and (len(batches[-1]) + 1) * len(prompt) <= _PREFILL_TOKENS:
            batches[-1].append(samples)
        else:
            batches.append([samples])
    return batches


def _common(prompts: list[Prompt]) -> Prompt:
    """The longest beginning all share that leaves each at least one token."""
    low, high = min(prompts), max(prompts)
    length = min(map(len, prompts)) - 1
    for index in range(length):
        if low[index] != high[index]:
            return low[:index]
    return low[:length]


def _noise(request: Request) -> list[tuple[Edit, torch.Generator]]:
    """Each edit with a generator of its own: the sampler's numbers stay what they are."""
    return [
        (edit, torch.Generator().manual_seed((request.entropy ^ edit.seed * 0x9E3779B97F4A7C15) % 2**63))
        for edit in request.edits
    ]


def _disturb(h: torch.Tensor, edit: Edit, generator: torch.Generator) -> torch.Tensor:
    """Add noise of `scale` × RMS to each token of (..., width)."""
    size = h.float().pow(2).mean(dim=-1, keepdim=True).sqrt() * edit.scale
    return (h + torch.randn(h.shape, generator=generator) * size).to(h.dtype)


def _edits(noise: list[list[tuple[Edit, torch.Generator]]], lengths: Sequence[int] | None = None) -> LayerEdit | None:
    """Edits of all rows as one function; a row is (T, width) while reading and (width,) while decoding.

    Args:
        noise: edits and generators of each row.
        lengths: of the rows without padding, while reading: padding draws no numbers.
    """
    edited = [(row, edit, generator) for row, edits in enumerate(noise) for edit, generator in edits]
    if not edited:
        return None

    def apply(layer: int, h: torch.Tensor) -> torch.Tensor:
        for row, edit, generator in edited:
            if edit.layer == layer:
                own = h[row] if lengths is None else h[row, : lengths[row]]
                own.copy_(_disturb(own, edit, generator))
        return h

    return apply


def _doubled(size: int, wanted: int) -> int:
    while size < wanted:
        size *= 2
    return size


def _fail(future: Future[Sampled], error: Exception) -> None:
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_exception(error)
