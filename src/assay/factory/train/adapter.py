"""An adapter under training: one flat float32 vector of weights, seen by the passes in the dtype they compute in."""

from __future__ import annotations

import json
import math
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
    """Of a fused product: its inputs, and the outputs of each of its modules."""

    inputs: int
    outputs: tuple[int, ...]


class TrainableAdapter:
    """LoRA on every linear module of the layers from `plan.first_layer` on, initialised as PEFT does.

    Modules that read the same input are one product: the rows of their A lie above each other, and their B are the
    blocks of one block-diagonal matrix.

    Args:
        plan: rank, alpha, first layer and seed.
        sizes: of each fused product.
        layers: of the model.
        dtype: the passes compute in.

    Attributes:
        weights: flat, float32, with a gradient of the same kind that `collect` adds to.
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
            if side == "A":  # kaiming_uniform(a=√5), of (rank, inputs)
                torch.nn.init.uniform_(whole, -1 / math.sqrt(whole.shape[2]), 1 / math.sqrt(whole.shape[2]))
        self._blocks = {
            fused: torch.zeros(count, sum(size.outputs), len(size.outputs) * rank, dtype=dtype)
            for fused, size in sizes.items()
        }
        self.refresh()

    @property
    def scale(self) -> float:
        """Of the product of A and B."""
        return self._plan.alpha / self._plan.rank

    def refresh(self) -> None:
        """Let the passes see the present weights."""
        low = self.weights.detach().to(self._dtype)
        shapes = {key: tuple(view.shape) for key, view in self._own.items()}
        self._seen = _views(low, shapes)
        for fused in self._sizes:
            for rows, columns in self._diagonal(fused):
                torch.mul(self._own[fused, "B"][:, rows], self.scale, out=self._blocks[fused][:, rows, columns])

    def of(self, layer: int, fused: str) -> tuple[torch.Tensor, torch.Tensor]:
        """A (modules × rank, inputs), and B (outputs, modules × rank), block-diagonal and scaled."""
        place = layer - self._plan.first_layer
        return self._seen[fused, "A"][place], self._blocks[fused][place]

    def collect(self, layer: int, fused: str, a: torch.Tensor, b: torch.Tensor) -> None:
        """Add to the gradient what a pass found for what `of` gave."""
        place = layer - self._plan.first_layer
        self._gradient[fused, "A"][place] += a
        for rows, columns in self._diagonal(fused):
            self._gradient[fused, "B"][place, rows].add_(b[rows, columns], alpha=self.scale)

    def _diagonal(self, fused: str) -> list[tuple[slice, slice]]:
        """Rows and columns of each module's block in B."""
        rank, start, blocks = self._plan.rank, 0, []
        for number, width in enumerate(self._sizes[fused].outputs):
            blocks.append((slice(start, start + width), slice(number * rank, (number + 1) * rank)))
            start += width
        return blocks

    def tensors(self) -> dict[str, torch.Tensor]:
        """Views of the weights under PEFT's names: A is (rank, inputs), B is (outputs, rank)."""
        named: dict[str, torch.Tensor] = {}
        for fused, modules in FUSED.items():
            for module, (rows, columns) in zip(modules, self._diagonal(fused), strict=True):
                for place in range(self._count):
                    name = f"base_model.model.model.layers.{place + self._plan.first_layer}.{module}"
                    named[f"{name}.lora_A.weight"] = self._own[fused, "A"][place, columns]
                    named[f"{name}.lora_B.weight"] = self._own[fused, "B"][place, rows]
        return named

    def load(self, folder: Path) -> None:
        """Go on from an adapter of the same shape.

        Raises:
            InvalidInput: it has other tensors.
        """
        stored, own = load_file(folder / WEIGHTS), self.tensors()
        if {name: tensor.shape for name, tensor in stored.items()} != {name: t.shape for name, t in own.items()}:
            raise InvalidInput(f"{folder}: not an adapter of this plan's rank and layers; phases train one adapter.")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(stored[name])
        self.refresh()

    def files(self) -> dict[str, bytes]:
        """PEFT's files: weights in bfloat16 and their description."""
        stored = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in self.tensors().items()}
        layout: dict[str, Any] = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "r": self._plan.rank,
            "lora_alpha": self._plan.alpha,
            "target_modules": sorted(module.rpartition(".")[2] for module in MODULES),
            "bias": "none",
        }
        return {
            WEIGHTS: save(stored, metadata={"format": "pt"}),
            CONFIG: (json.dumps(layout, indent=1) + "\n").encode(),
        }


def _views(flat: torch.Tensor, shapes: dict[tuple[str, str], tuple[int, ...]]) -> dict[tuple[str, str], torch.Tensor]:
    pieces = flat.split([math.prod(shape) for shape in shapes.values()])
    return {key: piece.view(shape) for (key, shape), piece in zip(shapes.items(), pieces, strict=True)}
