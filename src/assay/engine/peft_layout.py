"""PEFT's layout of an adapter on a Llama-family model: file names, and the linear modules of a layer.

Modules that read the same input are computed as one product, by the engine and by the trainer alike.
"""

from __future__ import annotations

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
FUSED: dict[str, tuple[str, ...]] = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
MODULES = tuple(module for group in FUSED.values() for module in group)
