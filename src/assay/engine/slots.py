"""Adapters in use, side by side, so that one pair of thin products serves every row whatever its adapter.

The A's of all seated adapters are stacked: a row meets all of them in one product, and a mask keeps, for each row, the
columns of its own adapter, times whatever the row scales it by. The masked columns then meet the stacked B's. That is
more arithmetic than a small product for each adapter's rows, and several times faster, since such products cost their
call and not their size. After the slot memory of S-LoRA (Sheng et al. 2023).

What is not in use is not in memory: an adapter is read, and its digest checked, when it takes a slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from assay.core.peft import FUSED
from assay.engine.lora import Adapter, Factors
from assay.engine.packed import Packed

_STEP = 4  # slots are added, and given up, in steps
_PACKED_SLOTS = 8  # up to so many, the stacks are also kept laid out: a third faster, for twice their memory
_PATIENCE = 100  # admissions with twice the room they need before slots are given up
# B's of a fused product that are set on one diagonal and multiplied at once. Zeros cost little beside queries, whose
# keys and values are narrow; gate and up are as wide as each other, and would take twice the memory.
_BLOCKS = {"qkv": (3,), "o": (1,), "gate_up": (1, 1), "down": (1,)}


@dataclass(frozen=True, slots=True)
class Carried:
    """Which adapter each row carries, and how strongly.

    Attributes:
        slot: of the only adapter, whole strength unless `factors` says otherwise; None where rows differ.
        masks: module count of a fused product → (rows, modules × slots × rank); for rows that differ.
        scaled: layer → factor (one adapter) or → masks (rows that differ), where strength is not the usual one.
    """

    slot: int | None
    masks: Mapping[int, torch.Tensor]
    scaled: Mapping[int, float | Mapping[int, torch.Tensor]]


class Slots:
    """Stacked adapters of one device.

    Args:
        shapes: fused module → (inputs, outputs of each of its modules).
        layers: of the base.
        dtype: of the engine.
        device: of the engine.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, tuple[int, ...]]], layers: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._shapes, self._layers, self._dtype, self._device = shapes, layers, dtype, device
        self._seats: list[Adapter | None] = []
        self._rank = 0
        self._down: dict[tuple[int, str], torch.Tensor] = {}  # (modules, slots, rank, inputs)
        self._up: dict[tuple[int, str], list[torch.Tensor]] = {}  # of each block (modules, slots, rank, outputs)
        self._stacked: dict[tuple[int, str], tuple[Packed, list[Packed]]] = {}  # the two above as products of all slots
        self._short = 0  # how often in a row there was too much room

    @property
    def nbytes(self) -> int:
        """Memory all slots take."""
        plain = sum(t.nbytes for t in self._down.values()) + sum(t.nbytes for ts in self._up.values() for t in ts)
        laid_out = [product for down, ups in self._stacked.values() for product in (down, *ups) if product.laid_out]
        return plain + sum(product.nbytes for product in laid_out)

    def seat(self, wanted: Iterable[Adapter | None]) -> None:
        """Give every wanted adapter a slot; slots of others are given up when room is short, or plenty.

        Raises:
            CorruptArtifact: an adapter's files are not what they were when it was opened.
            InvalidInput: they are gone.
        """
        needed = {adapter for adapter in wanted if adapter is not None}
        missing = [adapter for adapter in needed if adapter not in self._seats]
        size = -(-len(needed) // _STEP) * _STEP
        self._short = self._short + 1 if 2 * size < len(self._seats) else 0
        if missing or self._short > _PATIENCE:
            factors = {adapter: adapter.read(self._dtype) for adapter in missing}  # may fail: before anything changes
            idle = [index for index, adapter in enumerate(self._seats) if adapter not in needed]
            if len(idle) < len(missing) or self._short > _PATIENCE:
                self._resize([a for a in self._seats if a in needed], size)
                idle = [index for index, adapter in enumerate(self._seats) if adapter is None]
            idle.sort(key=lambda index: self._seats[index] is not None)  # the empty ones first
            self._stacked.clear()
            for (adapter, own), index in zip(factors.items(), idle, strict=False):
                self._fill(index, adapter, own)
            few = len(self._seats) <= _PACKED_SLOTS
            for key, down in self._down.items():
                ups = [Packed(up.flatten(0, 2).T, lay_out=few) for up in self._up[key]]
                self._stacked[key] = Packed(down.flatten(0, 2), lay_out=few), ups

    def _resize(self, keep: list[Adapter | None], size: int) -> None:
        """Move the kept adapters to the front of so many slots; tensor by tensor, so that little is held twice."""
        old = [self._seats.index(adapter) for adapter in keep]
        for key, down in self._down.items():
            self._down[key] = _moved(down, old, size, axis=1)
            self._up[key] = [_moved(up, old, size, axis=1) for up in self._up[key]]
        self._seats = [*keep, *[None] * (size - len(keep))]

    def _fill(self, index: int, adapter: Adapter, factors: Factors) -> None:
        if adapter.rank > self._rank:
            self._widen(adapter.rank)
        for layer in range(self._layers):
            for fused, modules in FUSED.items():
                parts = [factors.get((layer, module)) for module in modules]
                if any(parts) and (layer, fused) not in self._down:
                    self._make(layer, fused)
                if (layer, fused) in self._down:
                    self._write(layer, fused, index, parts)
        self._seats[index] = adapter

    def _write(self, layer: int, fused: str, index: int, parts: list[tuple[torch.Tensor, torch.Tensor] | None]) -> None:
        """Put an adapter's factors of one fused product into its slot."""
        place = 0
        for blocks, up in zip(_BLOCKS[fused], self._up[layer, fused], strict=True):
            start = 0
            up[:, index].zero_()
            for inside in range(blocks):
                part, width = parts[place], self._shapes[fused][1][place]
                down = self._down[layer, fused][place, index]
                down.zero_()
                if part is not None:
                    down[: len(part[0])] = part[0]
                    up[inside, index, : len(part[0]), start : start + width] = part[1].T
                start += width
                place += 1

    def _make(self, layer: int, fused: str) -> None:
        inputs, outputs = self._shapes[fused]
        like, slots = torch.empty(0, dtype=self._dtype, device=self._device), len(self._seats)
        self._down[layer, fused] = like.new_zeros(len(outputs), slots, self._rank, inputs)
        first = 0
        self._up[layer, fused] = []
        for blocks in _BLOCKS[fused]:
            width = sum(outputs[first : first + blocks])
            self._up[layer, fused].append(like.new_zeros(blocks, slots, self._rank, width))
            first += blocks

    def _widen(self, rank: int) -> None:
        """Make room for a higher rank."""
        for key, down in self._down.items():
            self._down[key] = torch.nn.functional.pad(down, (0, 0, 0, rank - self._rank))
            self._up[key] = [torch.nn.functional.pad(up, (0, 0, 0, rank - self._rank)) for up in self._up[key]]
        self._rank = rank

    def one(self, adapter: Adapter | None, scales: Mapping[int, float] | None = None) -> Carried | None:
        """All rows carry the same adapter, or none.

        Args:
            adapter: a seated one.
            scales: layer → factor.
        """
        return None if adapter is None else Carried(self._seats.index(adapter), {}, scales or {})

    def mixed(
        self, adapters: Iterable[Adapter | None], scales: Mapping[int, Mapping[int, float]] | None = None
    ) -> Carried | None:
        """Rows carry an adapter each.

        Args:
            adapters: seated ones, row by row.
            scales: row → layer → factor.
        """
        carried = list(adapters)
        if not any(carried):
            return None
        where = {adapter: index for index, adapter in enumerate(self._seats) if adapter is not None}
        slots = torch.tensor([-1 if adapter is None else where[adapter] for adapter in carried])
        plain = (slots[:, None] == torch.arange(len(self._seats))).to(self._dtype)
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

    def add(self, y: torch.Tensor, x: torch.Tensor, layer: int, fused: str, carried: Carried) -> torch.Tensor:
        """Add to y, the base's product of x, what the rows' adapters make of x; y may be overwritten."""
        down = self._down.get((layer, fused))
        if down is None:
            return y
        scaled = carried.scaled.get(layer)
        if carried.slot is not None:
            return self._add_one(y, x, (layer, fused), carried.slot, scaled if isinstance(scaled, float) else 1.0)
        masks = scaled if isinstance(scaled, Mapping) else carried.masks
        stacked, ups = self._stacked[layer, fused]
        thin = stacked(x).mul_(masks[len(down)])
        if len(ups) == 1:
            return ups[0](thin, y)
        for up, columns, part in zip(ups, thin.chunk(len(ups), 1), y.chunk(len(ups), 1), strict=True):
            part.copy_(up(columns, part))
        return y

    def _add_one(
        self, y: torch.Tensor, x: torch.Tensor, key: tuple[int, str], slot: int, factor: float
    ) -> torch.Tensor:
        thin = x @ self._down[key][:, slot].flatten(0, 1).T
        if factor != 1.0:
            thin *= factor
        begin = start = 0
        for up in self._up[key]:
            own = up[:, slot].flatten(0, 1)
            columns, width = own.shape
            y[:, start : start + width].addmm_(thin[:, begin : begin + columns], own)
            begin, start = begin + columns, start + width
        return y


def _moved(tensor: torch.Tensor, old: list[int], size: int, axis: int) -> torch.Tensor:
    """The slots `old` of a tensor, then empty ones, `size` in all."""
    shape = [*tensor.shape]
    shape[axis] = size
    new = tensor.new_zeros(shape)
    if old:
        new.narrow(axis, 0, len(old)).copy_(tensor.index_select(axis, torch.tensor(old, device=tensor.device)))
    return new
