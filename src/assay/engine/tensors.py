"""Weights by name, as copies."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from assay.engine.llama import NORMS, Llama
from assay.engine.lora import FUSED, Adapter

_FUSED_OF = {module: fused for fused, modules in FUSED.items() for module in modules}


def names_of(model: Llama, adapter: Adapter | None) -> list[str]:
    """All names `tensor_of` knows."""
    layers = range(model.shape.layers)
    names = ["embed_tokens.weight", "norm.weight", "lm_head.weight"]
    names += [f"layers.{layer}.{module}.weight" for layer in layers for module in (*NORMS, *_FUSED_OF)]
    if adapter is not None:
        names += [f"layers.{la}.{m}.lora_{x}" for la, m in sorted(adapter.read(torch.float32)) for x in "AB"]
    return names


def tensor_of(model: Llama, adapter: Adapter | None, name: str) -> NDArray[np.float32]:
    """A copy of one weight in float32; of a linear module, what the target computes with, adapter included.

    Args:
        model: the base.
        adapter: None for the base itself.
        name: one of `names_of`.
    """
    whole = {
        "embed_tokens.weight": model.embedding,
        "norm.weight": model.final_norm,
        "lm_head.weight": model.head.weight,
    }
    if name in whole:
        return _plain(whole[name])
    _, layer_text, rest = name.split(".", 2)
    layer, (module, _, part) = int(layer_text), rest.rpartition(".")
    if module in NORMS:
        return _plain(model.norms[layer][NORMS.index(module)])
    factors = adapter.read(torch.float32).get((layer, module)) if adapter is not None else None
    if part in ("lora_A", "lora_B"):
        assert factors is not None
        return _plain(factors[part == "lora_B"])
    fused = _FUSED_OF[module]
    place = FUSED[fused].index(module)
    weight = model.products[layer][fused].weight.split(list(model.shapes[fused][1]))[place].float()
    if factors is not None:
        weight = weight + (factors[1] @ factors[0]).to(weight.device)
    return _plain(weight)


def _plain(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.detach().float().cpu().numpy().copy()
