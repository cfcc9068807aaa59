"""Holds the adapters in use side by side, so that one pair of products serves every row whatever its adapter.

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
    """The stacked adapters of one device.

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
        """Returns the memory all places take."""
        total = sum(down.nbytes for down in self._down.values())
        for blocks in self._up.values():
            total += sum(up.nbytes for up in blocks)
        for down_product, joined in self._joined.values():
            total += down_product.nbytes + joined.nbytes
        return total

    def load(self, wanted: Iterable[LoraAdapter | None]) -> None:
        """Reads every wanted adapter into the bank; places of others are given up when room is short, or plenty.

        Raises:
            CorruptArtifact: an adapter's files are not what they were when it was opened.
            InvalidInput: they are gone.
        """
        needed = {adapter for adapter in wanted if adapter is not None}
        missing = [adapter for adapter in needed if adapter not in self._held]
        size = -(-len(needed) // _STEP) * _STEP
        # An adapter that is not needed now keeps its place while there is room: the next request may want it, and
        # reading it costs far more than the zeros it adds to a product. But every step pays for every place, so room
        # that was too much many times in a row is given up.
        self._short = self._short + 1 if 2 * size < len(self._held) else 0
        if not missing and self._short <= _PATIENCE:
            return
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
        """Moves the kept adapters to the front of so many places; tensor by tensor, so that little is held twice."""
        old = [self._held.index(adapter) for adapter in keep]
        for key, down in self._down.items():
            self._down[key] = _moved(down, old, size, axis=1)
            self._up[key] = [_moved(up, old, size, axis=1) for up in self._up[key]]
        self._held = [*keep, *[None] * (size - len(keep))]

    def _fill(self, index: int, adapter: LoraAdapter, factors: Factors) -> None:
        """Writes an adapter into a place, and makes what stacks it is the first to need."""
        if adapter.rank > self._rank:
            self._widen(adapter.rank)
        for layer in range(self._model.shape.layers):
            for fused, modules in FUSED.items():
                parts = [factors.get((layer, module)) for module in modules]
                # A product that no adapter in the bank changes has no stack, and costs nothing beyond the base's.
                if any(parts) and (layer, fused) not in self._down:
                    self._make(layer, fused)
                if (layer, fused) in self._down:
                    self._write(layer, fused, index, parts)
        self._held[index] = adapter

    def _write(self, layer: int, fused: str, index: int, parts: list[tuple[torch.Tensor, torch.Tensor] | None]) -> None:
        """Puts an adapter's factors of one fused product into its place."""
        # Zeros first: the place may have held another adapter, of a higher rank or on other modules.
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
        """Makes the stacks of one fused product, with every place empty."""
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
        """Makes room for a higher rank; the columns added are zeros, so no product changes."""
        for key, down in self._down.items():
            self._down[key] = torch.nn.functional.pad(down, (0, 0, 0, rank - self._rank))
            self._up[key] = [torch.nn.functional.pad(up, (0, 0, 0, rank - self._rank)) for up in self._up[key]]
        self._rank = rank

    def shared(self, adapter: LoraAdapter | None, scales: Mapping[int, float] | None = None) -> Carried | None:
        """Says that all rows carry the same adapter, or none.

        Args:
            adapter: one that is in the bank.
            scales: layer → factor.

        Returns:
            What `product` wants to know; None without an adapter.
        """
        return None if adapter is None else Carried(self._held.index(adapter), {}, scales or {})

    def mixed(
        self, adapters: Iterable[LoraAdapter | None], scales: Mapping[int, Mapping[int, float]] | None = None
    ) -> Carried | None:
        """Says that rows carry an adapter each, in one step.

        Args:
            adapters: of the rows, each in the bank.
            scales: row → layer → factor.

        Returns:
            What `product` wants to know; None if no row carries any.
        """
        carried = list(adapters)
        if not any(carried):
            return None
        self._steps += 1
        where = {adapter: index for index, adapter in enumerate(self._held) if adapter is not None}
        # −1 matches no place: a row without an adapter keeps no column at all.
        places = torch.tensor([-1 if adapter is None else where[adapter] for adapter in carried])
        plain = (places[:, None] == torch.arange(len(self._held))).to(self._dtype)
        by_row = scales or {}
        scaled_layers: set[int] = set()
        for factors in by_row.values():
            scaled_layers.update(factors)
        scaled: dict[int, dict[int, torch.Tensor]] = {}
        for layer in scaled_layers:
            factor = torch.ones(len(carried), dtype=self._dtype)
            for row, factors in by_row.items():
                factor[row] = factors.get(layer, 1.0)
            scaled[layer] = self._masks(plain * factor[:, None])
        return Carried(None, self._masks(plain), scaled)

    def _masks(self, rows: torch.Tensor) -> dict[int, torch.Tensor]:
        """Spreads (rows, places) over the columns of the stacked A's, for each number of modules a product may fuse."""
        columns = rows.repeat_interleave(self._rank, dim=1).to(self._device)
        counts = {len(modules) for modules in FUSED.values()}
        return {count: columns.repeat(1, count) for count in counts}

    def product(
        self, x: torch.Tensor, layer: int, fused: str, plus: torch.Tensor | None, carried: Carried
    ) -> torch.Tensor:
        """Computes the base's product of x, and what the rows' adapters make of x, plus something.

        Args:
            x: (rows, inputs).
            layer: of the model.
            fused: which product of the layer, a key of `FUSED`.
            plus: (rows, outputs) that is added, such as the residual stream; None for nothing.
            carried: of the rows.

        Returns:
            (rows, outputs).
        """
        down, ups = self._down.get((layer, fused)), self._up.get((layer, fused), [])
        if down is None:
            return self._model.base(x, layer, fused, plus)
        scaled = carried.scaled.get(layer)
        if carried.place is not None:
            # One adapter: its own factors in two thin products, without the columns of the others.
            y = self._model.base(x, layer, fused, plus)
            thin = x @ down[:, carried.place].flatten(0, 1).T
            if isinstance(scaled, float):
                thin *= scaled
            return _add(y, thin, [up[:, carried.place].flatten(0, 1) for up in ups])
        mask = (scaled if isinstance(scaled, Mapping) else carried.masks)[len(down)]
        # Joined weights are copies, laid out anew whenever an adapter comes or goes: they pay in long runs alone.
        worth = len(self._held) <= _JOINED_PLACES and self._steps > _SETTLED
        if worth and self._model.products[layer][fused].laid_out:
            if (layer, fused) not in self._joined:
                ups = torch.block_diag(*(up.flatten(0, 2).T for up in self._up[layer, fused]))
                weight = torch.cat((self._model.products[layer][fused].weight, ups), dim=1)
                self._joined[layer, fused] = Packed(down.flatten(0, 2)), Packed(weight)
            thinned, joined = self._joined[layer, fused]
            return joined(torch.cat((x, thinned(x).mul_(mask)), dim=1), plus)
        y = self._model.base(x, layer, fused, plus)
        return _add(y, linear(x, down.flatten(0, 2)).mul_(mask), [up.flatten(0, 2) for up in ups])


def _add(y: torch.Tensor, thin: torch.Tensor, ups: list[torch.Tensor]) -> torch.Tensor:
    """Adds to y, block by block, the columns of thin times the B's."""
    begin = start = 0
    for up in ups:
        columns, width = up.shape
        y[:, start : start + width].addmm_(thin[:, begin : begin + columns], up)
        begin, start = begin + columns, start + width
    return y


def _moved(tensor: torch.Tensor, old: list[int], size: int, axis: int) -> torch.Tensor:
    """Returns the places `old` of a tensor, then empty ones, `size` in all."""
    shape = [*tensor.shape]
    shape[axis] = size
    new = tensor.new_zeros(shape)
    if old:
        new.narrow(axis, 0, len(old)).copy_(tensor.index_select(axis, torch.tensor(old, device=tensor.device)))
    return new
