"""Keeps keys and values of live rows, in blocks by how many tokens a row can grow to.

A row that needs 90 tokens shares a block with others that need up to 128, never with one that needs 1,000: nothing is
padded to the longest row of the batch, neither in memory nor in attention. Within a block live rows are the first ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch

_GRAIN = 64  # capacities are multiples of it, up to 512; beyond, doublings
_ROWS = 8  # a block has room for so many rows at first, then for twice as many; it goes with its last row

RowType = TypeVar("RowType")


@dataclass(slots=True)
class KVBlock(Generic[RowType]):
    """The rows of one capacity.

    Attributes:
        kept: (layers, rows, capacity, 2 × key heads, head width), keys before values.
        rows: the live ones, in order.
    """

    kept: torch.Tensor
    rows: list[RowType] = field(default_factory=list)


class KVCache(Generic[RowType]):
    """All live rows of a worker, in a fixed order: block by block.

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
        self._blocks: dict[int, KVBlock[RowType]] = {}

    def __iter__(self) -> Iterator[RowType]:
        for block in self._blocks.values():
            yield from block.rows

    def __len__(self) -> int:
        return sum(len(block.rows) for block in self._blocks.values())

    @property
    def blocks(self) -> list[KVBlock[RowType]]:
        """Returns the blocks, all of which have rows, in order."""
        return list(self._blocks.values())

    @property
    def nbytes(self) -> int:
        """Returns the memory all blocks take."""
        return sum(block.kept.nbytes for block in self._blocks.values())

    def add(self, row: RowType, tokens: int) -> torch.Tensor:
        """Makes room for a row of so many tokens; it becomes the last of its block.

        Returns:
            Its part of the block, (layers, capacity, heads, head width), to be filled at once.
        """
        capacity = _capacity(tokens)
        block = self._blocks.get(capacity)
        if block is None:
            block = self._blocks[capacity] = KVBlock(self._empty(_ROWS, capacity))
        if len(block.rows) == block.kept.shape[1]:
            grown = self._empty(2 * len(block.rows), capacity)
            grown[:, : len(block.rows)] = block.kept
            block.kept = grown
        block.rows.append(row)
        return block.kept[:, len(block.rows) - 1]

    def _empty(self, rows: int, capacity: int) -> torch.Tensor:
        # Zeros: attention multiplies what lies behind a row's end by a weight of zero, and 0 × NaN is not 0.
        return self._like.new_zeros(self._layers, rows, capacity, *self._tail)

    def drop(self, gone: list[RowType]) -> None:
        """Frees rows: the last of a block moves into the hole; a block without rows is given up."""
        for row in gone:
            for capacity, block in list(self._blocks.items()):
                hole = next((index for index, other in enumerate(block.rows) if other is row), None)
                if hole is None:
                    continue
                # Live rows stay the first ones of their block, so that a step's attention is over a slice of it.
                last = len(block.rows) - 1
                if hole != last:
                    block.kept[:, hole] = block.kept[:, last]
                    block.rows[hole] = block.rows[last]
                block.rows.pop()
                if not block.rows:
                    del self._blocks[capacity]
                break

    def clear(self) -> None:
        """Frees all rows."""
        self._blocks.clear()


def _capacity(tokens: int) -> int:
    """Rounds up, in few enough steps that rows of similar length share a block."""
    if tokens <= 8 * _GRAIN:
        return -(-tokens // _GRAIN) * _GRAIN
    capacity = 8 * _GRAIN
    while capacity < tokens:
        capacity *= 2
    return capacity
