"""Adapters on disk, in PEFT's layout: verified, and read when they are used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from assay._util.hashing import digest_of, sha256
from assay.engine.peft_layout import CONFIG, FUSED, MODULES, WEIGHTS
from assay.errors import CorruptArtifact, InvalidInput

_INPUT = {  # the module whose outputs are as wide as the fused module's inputs
    "qkv": "self_attn.o_proj",
    "o": "self_attn.q_proj",
    "gate_up": "self_attn.o_proj",
    "down": "mlp.gate_proj",
}
_UNSUPPORTED = ("use_rslora", "use_dora", "rank_pattern", "alpha_pattern")


Factors = dict[tuple[int, str], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, eq=False)
class LoraAdapter:
    """A LoRA that was found to fit its base. Its weights stay on disk until they are used.

    Attributes:
        digest: of its files.
        path: directory in PEFT's layout.
        rank: of its factors.
        depth: how many of the base's first layers it leaves alone.
        nbytes: of its factors as stored.
    """

    digest: str
    path: Path
    rank: int
    depth: int
    nbytes: int

    def read(self, dtype: torch.dtype) -> Factors:
        """(layer, module) → A (rank, inputs) and scale × B (outputs, rank).

        Raises:
            CorruptArtifact: the files are not those that were opened.
            InvalidInput: they are gone.
        """
        if (found := adapter_digest(self.path)) != self.digest:
            raise CorruptArtifact(self.path, self.digest, found, "It changed while it was in use; start again.")
        return _read(self.path, dtype)


def adapter_digest(path: Path) -> str:
    """Digest of an adapter directory's weights and configuration."""
    for name in (WEIGHTS, CONFIG):
        if not (path / name).is_file():
            raise InvalidInput(f"{path}: no {name}; an adapter is a directory in PEFT's layout.")
    return digest_of([sha256(path / WEIGHTS), sha256(path / CONFIG)])


def open_adapter(path: Path, expected: str, widths: dict[str, int], layers: int) -> LoraAdapter:
    """Verify an adapter and that it fits.

    Args:
        path: directory in PEFT's layout.
        expected: its recorded digest, "" to take it as it is.
        widths: outputs of each module in `MODULES`.
        layers: of the base.

    Raises:
        CorruptArtifact: the digest differs.
        InvalidInput: the adapter does not fit the base.
    """
    found = adapter_digest(path)
    if expected and found != expected:
        raise CorruptArtifact(path, expected, found, "Restore the file, or rebuild it: assay organisms build.")
    factors = _read(path, None)
    inputs = {module: widths[_INPUT[fused]] for fused, modules in FUSED.items() for module in modules}
    for (layer, module), (a, b) in factors.items():
        if layer >= layers or a.shape[1:] != (inputs[module],) or b.shape != (widths[module], a.shape[0]):
            raise InvalidInput(f"{path}: {module} of layer {layer} does not fit the base.")
    rank = max((len(a) for a, _ in factors.values()), default=1)
    stored = sum(a.nbytes + b.nbytes for a, b in factors.values())
    return LoraAdapter(found, path, rank, min((layer for layer, _ in factors), default=0), stored)


def _read(path: Path, dtype: torch.dtype | None) -> Factors:
    """The factors, B times the adapter's scale; in their own dtype and unscaled if none is given."""
    from safetensors.torch import load_file

    config = json.loads((path / CONFIG).read_text())
    if unknown := [setting for setting in _UNSUPPORTED if config.get(setting)]:
        raise InvalidInput(f"{path}: {unknown[0]} is set; the engine runs plain LoRA, alpha / r everywhere.")
    tensors = {_short(name): tensor for name, tensor in load_file(path / WEIGHTS).items()}
    factors: Factors = {}
    for name in [name for name in tensors if name.endswith(".A")]:
        layer, _, module = name.removesuffix(".A").partition(".")
        b = tensors.get(f"{layer}.{module}.B")
        if b is None or not layer.isdecimal() or module not in MODULES:
            continue
        a = tensors.pop(name)
        del tensors[f"{layer}.{module}.B"]
        if dtype is not None:
            a, b = a.to(dtype), (b.to(torch.float32) * (config["lora_alpha"] / config["r"])).to(dtype)
        factors[int(layer), module] = a, b
    if tensors:
        raise InvalidInput(f"{path}: {len(tensors)} tensors do not fit the base, {next(iter(tensors))} for one.")
    return factors


def _short(name: str) -> str:
    """`base_model.model.model.layers.3.mlp.up_proj.lora_A.weight` → `3.mlp.up_proj.A`."""
    return name.rpartition("layers.")[2].replace("lora_A.weight", "A").replace("lora_B.weight", "B")
