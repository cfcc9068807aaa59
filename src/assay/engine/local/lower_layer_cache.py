"""Reads prompts through the lower layers once: below a suite's adapters they are the same for all its organisms.

Adapters often leave the lower layers alone (the factory's do). What those layers make of a prompt is kept for the next
adapter that is asked the same, which in a sweep is the next testbed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from assay.engine.local.llama import KeysValues, Llama, TokenIds

_BYTES = 192 << 20  # kept at most


@dataclass(frozen=True, slots=True)
class _Read:
    """A prompt after the lower layers: hidden (T, width), keys and values (layers, T, 2 × key heads, head width)."""

    hidden: torch.Tensor
    kept: torch.Tensor

    @property
    def size(self) -> int:
        return self.hidden.nbytes + self.kept.nbytes


class LowerLayerCache:
    """Prompts as the lower layers read them, least recently used first out. Its worker's alone.

    Args:
        model: whose layers they are.
    """

    def __init__(self, model: Llama) -> None:
        self._model = model
        self._read: OrderedDict[tuple[TokenIds, int, int], _Read] = OrderedDict()
        self._size = 0

    def read(
        self, prompts: Sequence[TokenIds], depth: int, past: KeysValues | None
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Passes prompts through the first layers, as far as that was not done before.

        Args:
            prompts: token ids.
            depth: number of layers, none of them adapted.
            past: keys and values of a prefix all prompts share, read apart; what is returned begins after it.

        Returns:
            Hidden states (prompts, longest, width), padded on the right; for each prompt its keys and values
            (depth, T, 2 × key heads, head width).
        """
        skip = past.shape[1] if past is not None else 0
        # Whole prompts, though only what follows the prefix is kept: it attends to the prefix. No adapter is named,
        # since none reaches these layers.
        keys = [(prompt, skip, depth) for prompt in prompts]
        found = {key: self._read[key] for key in keys if key in self._read}
        for key in found:
            self._read.move_to_end(key)
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if missing:
            rests = [prompt[skip:] for prompt, _, _ in missing]
            h, s = self._model.embed(rests), self._model.shape
            kept = h.new_empty(depth, *h.shape[:2], 2 * s.key_heads, s.head_width)
            hidden = self._model.prefill(h, range(depth), self._model.base, past, keep=kept)
            for row, (key, rest) in enumerate(zip(missing, rests, strict=True)):
                # Clones: a view would keep the whole pass in memory.
                found[key] = _Read(hidden[row, : len(rest)].clone(), kept[:, row, : len(rest)].clone())
                self._keep(key, found[key])
        reads = [found[key] for key in keys]
        longest = max(len(one.hidden) for one in reads)
        hidden = reads[0].hidden.new_zeros(len(reads), longest, self._model.shape.width)
        for row, one in enumerate(reads):
            hidden[row, : len(one.hidden)] = one.hidden
        return hidden, [one.kept for one in reads]

    def _keep(self, key: tuple[TokenIds, int, int], one: _Read) -> None:
        """Keeps what was read, and gives up what was used least lately where that is too much."""
        self._read[key] = one
        self._size += one.size
        while self._size > _BYTES:
            _, gone = self._read.popitem(last=False)
            self._size -= gone.size
