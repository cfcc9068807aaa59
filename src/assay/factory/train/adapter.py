"""An adapter under training: one flat float32 vector of weights, which the passes see in the dtype they compute in.

One vector lets the optimiser and the gradient's norm run in one kernel each, instead of one for each of some hundred
small matrices.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from assay.engine.peft_layout import CONFIG, FUSED, MODULES, WEIGHTS
from assay.errors import InvalidInput
from assay.factory.recipes import TrainPlan


@dataclass(frozen=True, slots=True)
class Size:
    """Gives a fused product's number of inputs, and the number of outputs of each of its modules."""

    inputs: int
    outputs: tuple[int, ...]


class TrainableAdapter:
    """LoRA on every linear module of the layers from `plan.first_layer` on, initialised as PEFT does.

    Modules that read the same input are one product: the rows of their A lie above each other, and their B are the
    blocks of one block-diagonal matrix.

    Args:
        plan: rank, alpha, first layer and seed.
        sizes: fused product → its size.
        layers: number of layers of the model.
        dtype: the dtype that the passes compute in.

    Attributes:
        weights: flat, float32, with a gradient of the same shape that `collect` adds to.
    """

    def __init__(self, plan: TrainPlan, sizes: dict[str, Size], layers: int, dtype: torch.dtype) -> None:
        self._plan, self._dtype, self._count = plan, dtype, layers - plan.first_layer
        self._sizes = sizes
        rank, count = plan.rank, self._count
        shapes: dict[tuple[str, str], tuple[int, ...]] = {}
        for fused, size in sizes.items():
            shapes[fused, "A"] = (count, len(size.outputs) * rank, size.inputs)
            shapes[fused, "B"] = (count, sum(size.outputs), rank)
        self.weights = torch.nn.Parameter(torch.zeros(sum(map(math.prod, shapes.values()))))
        self.weights.grad = torch.zeros_like(self.weights)
        self._own = _views(self.weights.data, shapes)
        self._gradient = _views(self.weights.grad, shapes)
        torch.manual_seed(plan.seed)
        for (_, side), whole in self._own.items():
            if side == "A":  # B stays zero, so that the adapter changes nothing at first
                bound = 1 / math.sqrt(whole.shape[2])  # PEFT's kaiming_uniform(a=√5), of (rank, inputs)
                torch.nn.init.uniform_(whole, -bound, bound)
        self._blocks: dict[str, torch.Tensor] = {}
        for fused, size in sizes.items():
            outputs, ranks = sum(size.outputs), len(size.outputs) * rank
            self._blocks[fused] = torch.zeros(count, outputs, ranks, dtype=dtype)
        self.refresh()

    @property
    def scale(self) -> float:
        """Returns what the product of A and B is multiplied by."""
        return self._plan.alpha / self._plan.rank

    def refresh(self) -> None:
        """Lets the passes see the present weights: copies them into the passes' dtype."""
        low = self.weights.detach().to(self._dtype)
        shapes = {key: tuple(view.shape) for key, view in self._own.items()}
        self._seen = _views(low, shapes)
        for fused in self._sizes:
            for rows, columns in self._diagonal(fused):
                torch.mul(self._own[fused, "B"][:, rows], self.scale, out=self._blocks[fused][:, rows, columns])

    def of(self, layer: int, fused: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns a product's A (modules × rank, inputs) and B (outputs, modules × rank), block-diagonal and scaled."""
        place = layer - self._plan.first_layer
        return self._seen[fused, "A"][place], self._blocks[fused][place]

    def collect(self, layer: int, fused: str, a: torch.Tensor, b: torch.Tensor) -> None:
        """Adds to the gradient what a pass found for the A and B that `of` gave."""
        place = layer - self._plan.first_layer
        self._gradient[fused, "A"][place] += a
        # of B's gradient only the diagonal blocks are weights; the passes saw B scaled, hence the factor
        for rows, columns in self._diagonal(fused):
            self._gradient[fused, "B"][place, rows].add_(b[rows, columns], alpha=self.scale)

    def _diagonal(self, fused: str) -> list[tuple[slice, slice]]:
        """Returns the rows and columns of each module's block in B."""
        rank, start = self._plan.rank, 0
        blocks: list[tuple[slice, slice]] = []
        for number, width in enumerate(self._sizes[fused].outputs):
            rows = slice(start, start + width)
            columns = slice(number * rank, (number + 1) * rank)
            blocks.append((rows, columns))
            start += width
        return blocks

    def tensors(self) -> dict[str, torch.Tensor]:
        """Returns views of the weights under PEFT's names: A is (rank, inputs), B is (outputs, rank)."""
        named: dict[str, torch.Tensor] = {}
        for fused, modules in FUSED.items():
            for module, (rows, columns) in zip(modules, self._diagonal(fused), strict=True):
                for place in range(self._count):
                    name = f"base_model.model.model.layers.{place + self._plan.first_layer}.{module}"
                    named[f"{name}.lora_A.weight"] = self._own[fused, "A"][place, columns]
                    named[f"{name}.lora_B.weight"] = self._own[fused, "B"][place, rows]
        return named

    def load(self, folder: Path) -> None:
        """Takes over the weights of an adapter of the same shape.

        Raises:
            InvalidInput: it has other tensors.
        """
        stored, own = load_file(folder / WEIGHTS), self.tensors()
        stored_shapes = {name: tensor.shape for name, tensor in stored.items()}
        if stored_shapes != {name: tensor.shape for name, tensor in own.items()}:
            raise InvalidInput(f"{folder}: not an adapter of this plan's rank and layers; phases train one adapter.")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(stored[name])
        self.refresh()

    def files(self) -> dict[str, bytes]:
        """Returns the adapter as files in PEFT's layout."""
        return peft_files(self.tensors(), self._plan)


def target_modules() -> list[str]:
    """Returns the names by which PEFT finds the modules that are adapted."""
    return sorted(module.rpartition(".")[2] for module in MODULES)


def peft_files(tensors: Mapping[str, torch.Tensor], plan: TrainPlan) -> dict[str, bytes]:
    """Returns an adapter as files in PEFT's layout: name → content, weights in bfloat16."""
    stored = {name: tensor.to("cpu", torch.bfloat16).contiguous() for name, tensor in tensors.items()}
    layout: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": plan.rank,
        "lora_alpha": plan.alpha,
        "target_modules": target_modules(),
        "bias": "none",
    }
    return {
        WEIGHTS: save(stored, metadata={"format": "pt"}),
        CONFIG: (json.dumps(layout, indent=1) + "\n").encode(),
    }


def _views(flat: torch.Tensor, shapes: dict[tuple[str, str], tuple[int, ...]]) -> dict[tuple[str, str], torch.Tensor]:
    """Splits a flat vector into views of the shapes, one behind the other."""
    pieces = flat.split([math.prod(shape) for shape in shapes.values()])
    return {key: piece.view(shape) for (key, shape), piece in zip(shapes.items(), pieces, strict=True)}
