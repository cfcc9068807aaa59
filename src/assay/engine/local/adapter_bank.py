"""Adapters in use, side by side, so that one pair of products serves every row whatever its adapter.

The A's of all adapters in the bank are stacked: a row meets all of them in one product, and a mask keeps, for each
row, the columns of its own adapter, times whatever the row scales it by. The masked columns then meet the stacked B's.
That is more arithmetic than a small product for each adapter's rows, and several times faster, since such products cost
their call and not their size. After S-LoRA (Sheng et al. 2023).

Where weights are laid out and the adapters are few, the B's are further columns of the base's weights: with the masked
columns behind its inputs, a row meets base and adapters in one product.

What is not in use is not in memory: an adapter is read, and its digest checked, when it takes a place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch.nn.functional import linear

from assay.engine.local.llama import Llama
from assay.engine.local.lora import Factors, LoraAdapter
from assay.engine.local.packed import Packed
from assay.engine.peft_layout import FUSED

_STEP = 4  # places are added, and given up, in steps
_JOINED_PLACES = 8  # up to so many, base and B's are also kept joined: a step is a tenth faster, for twice their memory
_SETTLED = 32  # steps with the same adapters before they are: joining costs about what it saves in so many
_PATIENCE = 100  # admissions with twice the room they need before places are given up
# B's of a fused product that are kept on one diagonal and multiplied at once. Zeros cost little beside queries, whose
# keys and values are narrow; gate and up are as wide as each other, and would take twice the memory.
_BLOCKS = {"qkv": (3,), "o": (1,), "gate_up": (1, 1), "down": (1,)}


@dataclass(frozen=True, slots=True)
class Carried:
    """Which adapter each row carries, and how strongly.

    Attributes:
        place: of the only adapter, whole strength unless `factors` says otherwise; None where rows differ.
        masks: module count of a fused product → (rows, modules × places × rank); for rows that differ.
        scaled: layer → factor (one adapter) or → masks (rows that differ), where strength is not the usual one.
    """

    place: int | None
    masks: Mapping[int, torch.Tensor]
    scaled: Mapping[int, float | Mapping[int, torch.Tensor]]


class AdapterBank:
    """Stacked adapters of one device.

    Args:
        model: the base they adapt.
    """

    def __init__(self, model: Llama) -> None:
        self._model, self._dtype, self._device = model, model.dtype, model.device
        self._held: list[LoraAdapter | None] = []
        self._rank = 0
        self._down: dict[tuple[int, str], torch.Tensor] = {}  # (modules, places, rank, inputs)
        self._up: dict[tuple[int, str], list[torch.Tensor]] = {}  # of each block (modules, places, rank, outputs)
        self._joined: dict[tuple[int, str], tuple[Packed, Packed]] = {}  # A's; base and B's; made when first needed
        self._steps = 0  # since the adapters in the bank changed
        self._short = 0  # how often in a row there was too much room

    @property
    def nbytes(self) -> int:
        """Memory all places take."""
        plain = sum(t.nbytes for t in self._down.values()) + sum(t.nbytes for ts in self._up.values() for t in ts)
        return plain + sum(product.nbytes for pair in self._joined.values() for product in pair)

    def load(self, wanted: Iterable[LoraAdapter | None]) -> None:
        """Read every wanted adapter into the bank; places of others are given up when room is short, or plenty.

        Raises:
            CorruptArtifact: an adapter's files are not what they were when it was opened.
            InvalidInput: they are gone.
        """
        needed = {adapter for adapter in wanted if adapter is not None}
        missing = [adapter for adapter in needed if adapter not in self._held]
        size = -(-len(needed) // _STEP) * _STEP
        self._short = self._short + 1 if 2 * size < len(self._held) else 0
        if missing or self._short > _PATIENCE:
            factors = {adapter: adapter.read(self._dtype) for adapter in missing}  # may fail: before anything changes
            idle = [index for index, adapter in enumerate(self._held) if adapter not in needed]
            if len(idle) < len(missing) or self._short > _PATIENCE:
                self._resize([a for a in self._held if a in needed], size)
                idle = [index for index, adapter in enumerate(self._held) if adapter is None]
            idle.sort(key=lambda index: self._held[index] is not None)  # the empty ones first
            self._joined.clear()  # copies of what is about to change
            self._steps = 0
            for (adapter, own), index in zip(factors.items(), idle, strict=False):
                self._fill(index, adapter, own)

    def _resize(self, keep: list[LoraAdapter | None], size: int) -> None:
        """Move the kept adapters to the front of so many places; tensor by tensor, so that little is held twice."""
        old = [self._held.index(adapter) for adapter in keep]
        for key, down in self._down.items():
            self._down[key] = _moved(down, old, size, axis=1)
            self._up[key] = [_moved(up, old, size, axis=1) for up in self._up[key]]
        self._held = [*keep, *[None] * (size - len(keep))]

    def _fill(self, index: int, adapter: LoraAdapter, factors: Factors) -> None:
        if adapter.rank > self._rank:
            self._widen(adapter.rank)
        for layer in range(self._model.shape.layers):
            for fused, modules in FUSED.items():
                parts = [factors.get((layer, module)) for module in modules]
                if any(parts) and (layer, fused) not in self._down:
                    self._make(layer, fused)
                if (layer, fused) in self._down:
                    self._write(layer, fused, index, parts)
        self._held[index] = adapter

    def _write(self, layer: int, fused: str, index: int, parts: list[tuple[torch.Tensor, torch.Tensor] | None]) -> None:
        """Put an adapter's factors of one fused product into its place."""
        module = 0
        for blocks, up in zip(_BLOCKS[fused], self._up[layer, fused], strict=True):
            start = 0
            up[:, index].zero_()
            for inside in range(blocks):
                part, width = parts[module], self._model.shapes[fused][1][module]
                down = self._down[layer, fused][module, index]
                down.zero_()
                if part is not None:
                    down[: len(part[0])] = part[0]
                    up[inside, index, : len(part[0]), start : start + width] = part[1].T
                start += width
                module += 1

    def _make(self, layer: int, fused: str) -> None:
        inputs, outputs = self._model.shapes[fused]
        like, places = torch.empty(0, dtype=self._dtype, device=self._device), len(self._held)
        self._down[layer, fused] = like.new_zeros(len(outputs), places, self._rank, inputs)
        first = 0
        self._up[layer, fused] = []
        for blocks in _BLOCKS[fused]:
            width = sum(outputs[first : first + blocks])
            self._up[layer, fused].append(like.new_zeros(blocks, places, self._rank, width))
            first += blocks

    def _widen(self, rank: int) -> None:
        """Make room for a higher rank."""
        for key, down in self._down.items():
            self._down[key] = torch.nn.functional.pad(down, (0, 0, 0, rank - self._rank))
            self._up[key] = [torch.nn.functional.pad(up, (0, 0, 0, rank - self._rank)) for up in self._up[key]]
        self._rank = rank

    def shared(self, adapter: LoraAdapter | None, scales: Mapping[int, float] | None = None) -> Carried | None:
        """All rows carry the same adapter, or none.

        Args:
            adapter: one that is in the bank.
            scales: layer → factor.
        """
        return None if adapter is None else Carried(self._held.index(adapter), {}, scales or {})

    def mixed(
        self, adapters: Iterable[LoraAdapter | None], scales: Mapping[int, Mapping[int, float]] | None = None
    ) -> Carried | None:
        """Rows carry an adapter each, in one step.

        Args:
            adapters: of the rows, each in the bank.
            scales: row → layer → factor.
        """
        carried = list(adapters)
        if not any(carried):
            return None
        self._steps += 1
        where = {adapter: index for index, adapter in enumerate(self._held) if adapter is not None}
        # −1 matches no place: a row without an adapter keeps no column at all
        places = torch.tensor([-1 if adapter is None else where[adapter] for adapter in carried])
        plain = (places[:, None] == torch.arange(len(self._held))).to(self._dtype)
        scaled: dict[int, dict[int, torch.Tensor]] = {}
        for layer in {layer for factors in (scales or {}).values() for layer in factors}:
            factor = torch.ones(len(carried), dtype=self._dtype)
            for row, factors in (scales or {}).items():
                factor[row] = factors.get(layer, 1.0)
            scaled[layer] = self._masks(plain * factor[:, None])
        return Carried(None, self._masks(plain), scaled)

    def _masks(self, rows: torch.Tensor) -> dict[int, torch.Tensor]:
        columns = rows.repeat_interleave(self._rank, dim=1).to(self._device)
        return {count: columns.repeat(1, count) for count in {len(modules) for modules in FUSED.values()}}

    def product(
        self, x: torch.Tensor, layer: int, fused: str, plus: torch.Tensor | None, carried: Carried
    ) -> torch.Tensor:
        """The base's product of x, and what the rows' adapters make of x, plus something."""
        down, ups = self._down.get((layer, fused)), self._up.get((layer, fused), [])
        if down is None:
            return self._model.base(x, layer, fused, plus)
        scaled = carried.scaled.get(layer)
        if carried.place is not None:
            y = self._model.base(x, layer, fused, plus)
            thin = x @ down[:, carried.place].flatten(0, 1).T
            if isinstance(scaled, float):
                thin *= scaled
            return _add(y, thin, [up[:, carried.place].flatten(0, 1) for up in ups])
        mask = (scaled if isinstance(scaled, Mapping) else carried.masks)[len(down)]
        worth = len(self._held) <= _JOINED_PLACES and self._steps > _SETTLED
        if worth and self._model.products[layer][fused].laid_out:
            thinned, joined = self._joined.get((layer, fused)) or self._join(layer, fused)
            return joined(torch.cat((x, thinned(x).mul_(mask)), dim=1), plus)
        y = self._model.base(x, layer, fused, plus)
        return _add(y, linear(x, down.flatten(0, 2)).mul_(mask), [up.flatten(0, 2) for up in ups])

    def _join(self, layer: int, fused: str) -> tuple[Packed, Packed]:
        ups = torch.block_diag(*(up.flatten(0, 2).T for up in self._up[layer, fused]))
        joined = Packed(torch.cat((self._model.products[layer][fused].weight, ups), dim=1))
        self._joined[layer, fused] = Packed(self._down[layer, fused].flatten(0, 2)), joined
        return self._joined[layer, fused]


def _add(y: torch.Tensor, thin: torch.Tensor, ups: list[torch.Tensor]) -> torch.Tensor:
    """Add to y, block by block, the columns of thin times the B's."""
    begin = start = 0
    for up in ups:
        columns, width = up.shape
        y[:, start : start + width].addmm_(thin[:, begin : begin + columns], up)
        begin, start = begin + columns, start + width
    return y


def _moved(tensor: torch.Tensor, old: list[int], size: int, axis: int) -> torch.Tensor:
    """The places `old` of a tensor, then empty ones, `size` in all."""
    shape = [*tensor.shape]
    shape[axis] = size
    new = tensor.new_zeros(shape)
    if old:
        new.narrow(axis, 0, len(old)).copy_(tensor.index_select(axis, torch.tensor(old, device=tensor.device)))
    return new
