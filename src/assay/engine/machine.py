"""What the local engine's numbers are made with: found without torch where no GPU is, since the desk asks it too."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from assay._util.cpu import processor
from assay.engine.base import default_devices, default_dtype

NUMERICS = "local/4"  # raised when the engine's arithmetic or its random numbers change


@dataclass(frozen=True, slots=True)
class Machine:
    """Describes the arithmetic of a process. Each part changes the last digits of logits, and a few tokens on, a reply.

    Threads are no part of it: they change as little as what else happens to be in the batch.

    Attributes:
        processor: its model; on GPUs theirs.
        instructions: the best set of the processor that libraries may use; a GPU's compute capability.
        dtype: the engine computes in.
        device: the kind it computes on.
        torch: its version.
        settings: variables set in the environment that change a library's arithmetic, as `NAME=value`.
    """

    processor: str
    instructions: str
    dtype: str
    device: str
    torch: str
    settings: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Writes it as a line for people: `AMD EPYC 9654 · AVX512_BF16 · bfloat16 · cpu · torch 2.13.0+cpu`."""
        parts = (self.processor, self.instructions, self.dtype, self.device, f"torch {self.torch}", *self.settings)
        return " · ".join(parts)


def this_machine(dtype: str | None = None, devices: Sequence[str] = ()) -> Machine:
    """Describes what an engine computes with here.

    Args:
        dtype: of the engine; by default the one it would choose.
        devices: of the engine; by default those it would choose.

    Raises:
        InvalidInput: the environment names what is no device or dtype.
    """
    places = list(devices) or default_devices()
    kinds = sorted({place.partition(":")[0] for place in places})
    found = processor()
    names, instructions = [found.name], [found.instructions]
    if "cuda" in kinds:
        cards = _cards([place for place in places if place.startswith("cuda")])
        own = [] if kinds == ["cuda"] else [(found.name, found.instructions)]
        names, instructions = (list(dict.fromkeys(part)) for part in zip(*cards, *own, strict=True))
    return Machine(
        processor=" + ".join(names),
        instructions=" + ".join(instructions),
        dtype=dtype or default_dtype(),
        device=" + ".join(kinds),
        torch=metadata.version("torch"),
        settings=_settings(),
    )


def numerics(dtype: str | None = None, devices: Sequence[str] = ()) -> str:
    """Names the engine's arithmetic here: part of every run key and cache key. Raises as `this_machine`."""
    return f"{NUMERICS}/{this_machine(dtype, devices)}"


def _cards(devices: Sequence[str]) -> list[tuple[str, str]]:
    """Lists name and compute capability of GPUs."""
    import torch

    found: list[tuple[str, str]] = []
    for device in devices:
        known = torch.cuda.get_device_properties(device)
        found.append((known.name, f"sm_{known.major}{known.minor}"))
    return found


def _settings() -> tuple[str, ...]:
    """Lists the variables that choose other arithmetic than the processor's best, as far as they are set."""
    told = {
        "ATEN_CPU_CAPABILITY": os.environ.get("ATEN_CPU_CAPABILITY"),
        "DNNL_DEFAULT_FPMATH_MODE": os.environ.get("DNNL_DEFAULT_FPMATH_MODE"),
        "MKL_CBWR": os.environ.get("MKL_CBWR"),
        "MKL_ENABLE_INSTRUCTIONS": os.environ.get("MKL_ENABLE_INSTRUCTIONS"),
        "NVIDIA_TF32_OVERRIDE": os.environ.get("NVIDIA_TF32_OVERRIDE"),
        "ONEDNN_DEFAULT_FPMATH_MODE": os.environ.get("ONEDNN_DEFAULT_FPMATH_MODE"),
    }
    return tuple(f"{name}={value}" for name, value in told.items() if value)
