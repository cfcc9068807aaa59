"""Adapters in PEFT's layout, fused into the four matrix products of a layer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from assay.core.errors import CorruptArtifact, InvalidInput
from assay.core.record import digest_of
from assay.engine.base import sha256

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
FUSED: dict[str, tuple[str, ...]] = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
_INPUT = {  # the module whose outputs are as wide as the fused module's inputs
    "qkv": "self_attn.o_proj",
    "o": "self_attn.q_proj",
    "gate_up": "self_attn.o_proj",
    "down": "mlp.gate_proj",
}
_UNSUPPORTED = ("use_rslora", "use_dora", "rank_pattern", "alpha_pattern")
MODULES = tuple(module for group in FUSED.values() for module in group)


@dataclass(frozen=True, eq=False)
class Adapter:
    """A LoRA ready for use.

    Attributes:
        digest: of its files.
        down: (layer, fused module) → A of shape (rank of the fused module, inputs).
        up: (layer, fused module) → scale × B of shape (outputs of the fused module, the same rank), block-diagonal
            where several modules share an input.
    """

    digest: str
    down: dict[tuple[int, str], torch.Tensor]
    up: dict[tuple[int, str], torch.Tensor]

    @property
    def depth(self) -> int:
        """How many of the base's first layers it leaves alone."""
        return min((layer for layer, _ in self.down), default=0)


def adapter_digest(path: Path) -> str:
    """Digest of an adapter directory's weights and configuration."""
    for name in (WEIGHTS, CONFIG):
        if not (path / name).is_file():
            raise InvalidInput(f"{path}: no {name}; an adapter is a directory in PEFT's layout.")
    return digest_of([sha256(path / WEIGHTS), sha256(path / CONFIG)])


def load_adapter(path: Path, expected: str, widths: dict[str, int], layers: int, dtype: torch.dtype) -> Adapter:
    """Read, verify and fuse an adapter.

    Args:
        path: directory in PEFT's layout.
        expected: its recorded digest, "" to take it as it is.
        widths: outputs of each module in `MODULES`.
        layers: of the base.
        dtype: of the engine.

    Raises:
        CorruptArtifact: the digest differs.
        InvalidInput: the adapter does not fit the base.
    """
    from safetensors.torch import load_file

    found = adapter_digest(path)
    if expected and found != expected:
        raise CorruptArtifact(path, expected, found, "Restore the file, or rebuild it: assay organism build.")
    config = json.loads((path / CONFIG).read_text())
    if unknown := [setting for setting in _UNSUPPORTED if config.get(setting)]:
        raise InvalidInput(f"{path}: {unknown[0]} is set; the engine runs plain LoRA, alpha / r everywhere.")
    scale = config["lora_alpha"] / config["r"]
    tensors = {_short(name): tensor.to(dtype) for name, tensor in load_file(path / WEIGHTS).items()}
    down: dict[tuple[int, str], torch.Tensor] = {}
    up: dict[tuple[int, str], torch.Tensor] = {}
    for layer in range(layers):
        for fused, modules in FUSED.items():
            parts = [(tensors.pop(f"{layer}.{m}.A", None), tensors.pop(f"{layer}.{m}.B", None)) for m in modules]
            for module, part in zip(modules, parts, strict=True):
                if part != (None, None) and not _fits(*part, widths[_INPUT[fused]], widths[module]):
                    raise InvalidInput(f"{path}: {module} of layer {layer} does not fit the base.")
            if all(a is None for a, _ in parts):
                continue
            a, b = _fuse(parts, [widths[m] for m in modules])
            down[layer, fused], up[layer, fused] = a.contiguous(), (scale * b).contiguous()
    if tensors:
        raise InvalidInput(f"{path}: {len(tensors)} tensors do not fit the base, {next(iter(tensors))} for one.")
    return Adapter(found, down, up)


def _short(name: str) -> str:
    """`base_model.model.model.layers.3.mlp.up_proj.lora_A.weight` → `3.mlp.up_proj.A`."""
    return name.rpartition("layers.")[2].replace("lora_A.weight", "A").replace("lora_B.weight", "B")


def _fits(a: torch.Tensor | None, b: torch.Tensor | None, inputs: int, outputs: int) -> bool:
    if a is None or b is None:
        return False
    return a.shape[1:] == (inputs,) and b.shape == (outputs, a.shape[0])


def _fuse(
    parts: list[tuple[torch.Tensor | None, torch.Tensor | None]], widths: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack the A's; set the B's on the diagonal of (sum of widths, sum of ranks)."""
    present = [(a, b) for a, b in parts if a is not None and b is not None]
    a_all = torch.cat([a for a, _ in present])
    b_all = torch.zeros(sum(widths), a_all.shape[0], dtype=a_all.dtype)
    row = column = 0
    for (a, b), width in zip(parts, widths, strict=True):
        if a is not None and b is not None:
            b_all[row : row + width, column : column + a.shape[0]] = b
            column += a.shape[0]
        row += width
    return a_all, b_all
