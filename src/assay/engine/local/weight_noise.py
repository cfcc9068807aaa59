"""Adds noise to weights for some rows of a pass, without a second copy of the weights.

All noise is cut out of one table of normal numbers, each matrix's at a place that follows from seed, layer and module
(the shared noise table of Salimans et al. 2017, evolution strategies): any number of seeds takes the memory of one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import torch
from torch.nn.functional import linear

from assay.core.edit import WeightNoise
from assay.engine.local.llama import Llama, Product

_TIMES = 4  # the table is so many times as large as the largest matrix
_STEP = 64  # numbers between two places a matrix can begin at, so that it is aligned in memory
_SEED = 20170310

NoisyRows = tuple[torch.Tensor | None, tuple[WeightNoise, ...]]  # indices of rows, None for all; their noise


class NoiseTable:
    """The noise of one worker's model.

    Args:
        model: whose weights are disturbed.
    """

    def __init__(self, model: Llama) -> None:
        self._model = model
        self._deviations: dict[tuple[int, str], torch.Tensor] = {}

    @cached_property
    def _table(self) -> torch.Tensor:
        largest = max(inputs * sum(outputs) for inputs, outputs in self._model.shapes.values())
        # On the CPU and then moved, so that the same seed gives the same noise on any device.
        with torch.inference_mode(False):  # gradients flow through what is cut out of it
            numbers = torch.randn(_TIMES * largest, generator=torch.Generator().manual_seed(_SEED))
            return numbers.to(self._model.dtype).to(self._model.device)

    def _unit(self, seed: int, layer: int, fused: str) -> torch.Tensor:
        """Returns noise of deviation 1 as large as a fused weight, (outputs, inputs)."""
        inputs, outputs = self._model.shapes[fused]
        size = inputs * sum(outputs)
        places = (len(self._table) - size) // _STEP
        drawn = hashlib.sha256(f"{seed}/{layer}/{fused}".encode()).digest()[:8]
        start = int.from_bytes(drawn, "big") % places * _STEP
        return self._table[start : start + size].view(sum(outputs), inputs)

    def _deviation(self, layer: int, fused: str) -> torch.Tensor:
        """Returns the standard deviation of each output's module, (outputs,)."""
        if (layer, fused) not in self._deviations:
            outputs = self._model.shapes[fused][1]
            with torch.inference_mode(False), torch.no_grad():
                parts = self._model.products[layer][fused].weight.float().split(list(outputs))
                spread = [part.std().expand(width) for part, width in zip(parts, outputs, strict=True)]
                self._deviations[layer, fused] = torch.cat(spread).to(self._model.dtype)
        return self._deviations[layer, fused]

    def disturbed(self, product: Product, groups: Sequence[NoisyRows]) -> Product:
        """Makes of a product one whose weights are noisy for some rows, and what they were for all others.

        Args:
            product: of all rows.
            groups: rows with the same noise.
        """
        noisy = [(rows, noises) for rows, noises in groups if noises]
        if not noisy:
            return product

        def multiply(x: torch.Tensor, layer: int, fused: str, plus: torch.Tensor | None) -> torch.Tensor:
            y = product(x, layer, fused, plus)
            for rows, noises in noisy:
                for noise in noises:
                    if noise.layers is not None and layer not in noise.layers:
                        continue
                    own = x if rows is None else x[rows]
                    more = linear(own, self._unit(noise.seed, layer, fused))
                    more = more * (self._deviation(layer, fused) * noise.scale)
                    y = y + more if rows is None else y.index_add(0, rows, more)
            return y

        return multiply


def noises_of(edits: Sequence[object]) -> tuple[WeightNoise, ...]:
    """Returns the noise in weights among a view's edits."""
    return tuple(edit for edit in edits if isinstance(edit, WeightNoise) and edit.scale)
