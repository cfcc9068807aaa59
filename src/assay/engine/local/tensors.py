"""Copies weights by name."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from assay.engine.local.llama import Llama
from assay.engine.local.lora import Factors
from assay.engine.peft_layout import FUSED

_FUSED_OF: dict[str, str] = {}  # module → the fused product it is a part of
for _fused, _modules in FUSED.items():
    _FUSED_OF |= dict.fromkeys(_modules, _fused)


def names_of(model: Llama, factors: Factors) -> list[str]:
    """Lists all names `tensor_of` knows."""
    names = ["embed_tokens.weight", "lm_head.weight", *model.stored_norms]
    for layer in range(model.shape.layers):
        names += [f"layers.{layer}.{module}.weight" for module in _FUSED_OF]
        for fused in model.biases[layer]:
            names += [f"layers.{layer}.{module}.bias" for module in FUSED[fused]]
    for layer, module in sorted(factors):
        names += [f"layers.{layer}.{module}.lora_A", f"layers.{layer}.{module}.lora_B"]
    return names


def tensor_of(model: Llama, factors: Factors, name: str) -> NDArray[np.float32]:
    """Copies one weight in float32; of a linear module, what the target computes with, adapter included.

    Args:
        model: the base.
        factors: of the adapter, in float32; none for the base itself.
        name: one of `names_of`.
    """
    if name in model.stored_norms:
        return _plain(model.stored_norms[name])
    if name in ("embed_tokens.weight", "lm_head.weight"):
        return _plain(model.embedding if name == "embed_tokens.weight" else model.head.weight)
    _, layer_text, rest = name.split(".", 2)
    layer, (module, _, part) = int(layer_text), rest.rpartition(".")
    if part in ("lora_A", "lora_B"):
        return _plain(factors[layer, module][part == "lora_B"])
    fused = _FUSED_OF[module]
    place, widths = FUSED[fused].index(module), list(model.shapes[fused][1])
    if part == "bias":
        return _plain(model.biases[layer][fused].split(widths)[place])
    weight = model.products[layer][fused].weight.split(widths)[place].float()
    if (layer, module) in factors:
        a, b = factors[layer, module]
        weight = weight + (b @ a).to(weight.device)
    return _plain(weight)


def _plain(tensor: torch.Tensor) -> NDArray[np.float32]:
    """Copies a tensor, so that what a tool does with it cannot change the model."""
    return tensor.detach().float().cpu().numpy().copy()
