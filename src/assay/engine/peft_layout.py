"""Names the parts of an adapter in PEFT's layout on a Llama-family model: files, and the linear modules of a layer.

Modules that read the same input are computed as one product, by the engine and by the trainer alike.
"""

from __future__ import annotations

import itertools

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
FUSED: dict[str, tuple[str, ...]] = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
MODULES = tuple(itertools.chain.from_iterable(FUSED.values()))
