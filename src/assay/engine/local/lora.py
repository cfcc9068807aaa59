"""Adapters on disk, in PEFT's layout: verified, and read when they are used."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from assay._util.hashing import digest_of, sha256
from assay.engine.local.adapter_config import AdapterConfig, read_adapter_config
from assay.engine.peft_layout import CONFIG, FUSED, MODULES, WEIGHTS
from assay.errors import CorruptArtifact, InvalidInput

_INPUT = {  # the module whose outputs are as wide as the fused module's inputs
    "qkv": "self_attn.o_proj",
    "o": "self_attn.q_proj",
    "gate_up": "self_attn.o_proj",
    "down": "mlp.gate_proj",
}
_NAME = re.compile(r"base_model\.model\.model\.layers\.(\d+)\.(\w+\.\w+)\.lora_([AB])\.weight")
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)

Factors = dict[tuple[int, str], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, eq=False)
class LoraAdapter:
    """A LoRA that was found to fit its base. Its weights stay on disk until they are used.

    Attributes:
        digest: of its files.
        path: directory in PEFT's layout.
        rank: highest of its factors.
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
        return _read(self.path, read_adapter_config(self.path), dtype)


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
        InvalidInput: the adapter is of a kind the engine does not run, its tensors disagree with its configuration or
            the base, or are not finite.
    """
    found = adapter_digest(path)
    if expected and found != expected:
        raise CorruptArtifact(path, expected, found, "Restore the file, or rebuild it: assay organisms build.")
    config = read_adapter_config(path)
    factors = _read(path, config, None)
    _require_named(path, config, factors, layers)
    inputs = {module: widths[_INPUT[fused]] for fused, modules in FUSED.items() for module in modules}
    for (layer, module), (a, b) in factors.items():
        rank = config.rank_of(layer, module)
        for part, tensor, wanted in (("A", a, (rank, inputs[module])), ("B", b, (widths[module], rank))):
            name = f"{path / WEIGHTS}: lora_{part} of layers.{layer}.{module}"
            if tuple(tensor.shape) != wanted or tensor.dtype not in _DTYPES:
                raise InvalidInput(
                    f"{name} is {tuple(tensor.shape)} of {tensor.dtype}; base and {CONFIG} want {wanted} of float32, "
                    f"bfloat16 or float16. Take the adapter's own configuration, and the base it was trained on."
                )
            if not bool(torch.isfinite(tensor).all()):
                raise InvalidInput(f"{name} is not finite: its training diverged, or the file is damaged.")
    rank = max(len(a) for a, _ in factors.values())
    stored = sum(a.nbytes + b.nbytes for a, b in factors.values())
    return LoraAdapter(found, path, rank, min(layer for layer, _ in factors), stored)


def _read(path: Path, config: AdapterConfig, dtype: torch.dtype | None) -> Factors:
    """The factors, B times the adapter's scale; in their own dtype and unscaled if none is given."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"{path / WEIGHTS} cannot be read: {error}. Fetch or save the adapter again.") from None
    halves: dict[tuple[int, str], dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        match = _NAME.fullmatch(name)
        if match is None or match[2] not in MODULES:
            raise InvalidInput(
                f"{path / WEIGHTS}: {name} is no factor of a linear module within a layer; the local engine runs those "
                f"of {', '.join(module.rpartition('.')[2] for module in MODULES)}, named as PEFT names them on a "
                f"causal model. Merge the adapter into its base and use the whole weights."
            )
        halves.setdefault((int(match[1]), match[2]), {})[match[3]] = tensor
    factors: Factors = {}
    for (layer, module), pair in halves.items():
        if len(pair) != 2:
            there, gone = ("A", "B") if "A" in pair else ("B", "A")
            raise InvalidInput(
                f"{path / WEIGHTS}: layers.{layer}.{module} has lora_{there} and no lora_{gone}. Save it again."
            )
        a, b = pair["A"], pair["B"]
        if dtype is not None:
            a, b = a.to(dtype), (b.to(torch.float32) * config.scale_of(layer, module)).to(dtype)
        factors[layer, module] = a, b
    return factors


def _require_named(path: Path, config: AdapterConfig, factors: Factors, layers: int) -> None:
    """Refuse factors the configuration does not name, and named modules without factors.

    An adapter may leave the lower layers alone without saying so: PEFT adds nothing to what it finds no factors for.
    """
    if not factors:
        raise InvalidInput(f"{path / WEIGHTS} holds no tensors: there is nothing to adapt. Use the base itself.")
    first = min(layer for layer, _ in factors)
    adapted = set(range(first, layers)) if config.layers is None else set(config.layers)
    last = max(adapted | {layer for layer, _ in factors})
    if last >= layers:
        raise InvalidInput(f"{path}: it adapts layer {last}; the base has layers 0 to {layers - 1}. Name its own base.")
    named = {(layer, module) for layer in adapted for module in MODULES if config.is_on(layer, module)}
    for layer, module in sorted(factors.keys() - named):
        raise InvalidInput(f"{path}: factors of layers.{layer}.{module}, which {CONFIG} does not name. Restore either.")
    for layer, module in sorted(named - factors.keys()):
        raise InvalidInput(f"{path}: no factors of layers.{layer}.{module}, which {CONFIG} names. Restore either.")
