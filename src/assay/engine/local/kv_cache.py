"""Keys and values of live rows, in slabs by how many tokens a row can grow to.

A row that needs 90 tokens shares a slab with others that need up to 128, never with one that needs 1,000: nothing is
padded to the longest row of the batch, neither in memory nor in attention. Within a slab live rows are the first ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch

_GRAIN = 64  # capacities are multiples of it, up to 512; beyond, doublings
_ROWS = 8  # a slab has room for so many rows at first, then for twice as many; it goes with its last row

Row = TypeVar("Row")


@dataclass(slots=True)
class KVBlock(Generic[Row]):
    """Rows of one capacity.

    Attributes:
        kept: (layers, rows, capacity, 2 × key heads, head width), keys before values.
        rows: the live ones, in order.
    """

    kept: torch.Tensor
    rows: list[Row] = field(default_factory=list)


class KVCache(Generic[Row]):
    """All live rows of a worker, in a fixed order: slab by slab.

    Args:
        layers: of the model.
        heads: of keys and values, in one layer.
        width: of one head.
        dtype: of the engine.
        device: of the engine.
    """

    def __init__(self, layers: int, heads: int, width: int, dtype: torch.dtype, device: torch.device) -> None:
        self._layers, self._tail = layers, (heads, width)
        self._like = torch.empty(0, dtype=dtype, device=device)
        self._slabs: dict[int, KVBlock[Row]] = {}

    def __iter__(self) -> Iterator[Row]:
        return (row for slab in self._slabs.values() for row in slab.rows)

    def __len__(self) -> int:
        return sum(len(slab.rows) for slab in self._slabs.values())

    @property
    def slabs(self) -> list[KVBlock[Row]]:
        """Those with rows, in order."""
        return list(self._slabs.values())

    @property
    def nbytes(self) -> int:
        """Memory all slabs take."""
        return sum(slab.kept.nbytes for slab in self._slabs.values())

    def add(self, row: Row, tokens: int) -> torch.Tensor:
        """Make room for a row of so many tokens; it becomes the last of its slab.

        Returns:
            Its part of the slab, (layers, capacity, heads, head width), to be filled at once.
        """
        capacity = _capacity(tokens)
        slab = self._slabs.get(capacity)
        if slab is None:
            slab = self._slabs[capacity] = KVBlock(self._empty(_ROWS, capacity))
        if len(slab.rows) == slab.kept.shape[1]:
            grown = self._empty(2 * len(slab.rows), capacity)
            grown[:, : len(slab.rows)] = slab.kept
            slab.kept = grown
        slab.rows.append(row)
        return slab.kept[:, len(slab.rows) - 1]

    def _empty(self, rows: int, capacity: int) -> torch.Tensor:
        # zeros: attention multiplies what lies behind a row's end by a weight of zero, and 0 × NaN is not 0
        return self._like.new_zeros(self._layers, rows, capacity, *self._tail)

    def drop(self, gone: list[Row]) -> None:
        """Free rows: the last of a slab moves into the hole; a slab without rows is given up."""
        for row in gone:
            for capacity, slab in list(self._slabs.items()):
                hole = next((index for index, other in enumerate(slab.rows) if other is row), None)
                if hole is None:
                    continue
                last = len(slab.rows) - 1
                if hole != last:
                    slab.kept[:, hole] = slab.kept[:, last]
                    slab.rows[hole] = slab.rows[last]
                slab.rows.pop()
                if not slab.rows:
                    del self._slabs[capacity]
                break

    def clear(self) -> None:
        """Free all rows."""
        self._slabs.clear()


def _capacity(tokens: int) -> int:
    if tokens <= 8 * _GRAIN:
        return -(-tokens // _GRAIN) * _GRAIN
    capacity = 8 * _GRAIN
    while capacity < tokens:
        capacity *= 2
    return capacity
