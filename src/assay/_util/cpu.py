"""What the processor computes in by itself."""

from __future__ import annotations

import os
from pathlib import Path

from assay.errors import InvalidInput

VARIABLE = "ASSAY_DTYPE"
_CHOICES = {"float32": False, "bfloat16": True}
_FLAGS = {"amx_bf16", "avx512_bf16"}


def native_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether to compute in bfloat16: where the processor has instructions for it, which otherwise are emulated.

    `ASSAY_DTYPE=float32` or `ASSAY_DTYPE=bfloat16` in the environment decides instead.

    Args:
        cpuinfo: Linux's description of the processor; where there is none, the answer is no.

    Raises:
        InvalidInput: the variable has another value.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen:
        if chosen not in _CHOICES:
            raise InvalidInput(f"{VARIABLE} is {chosen!r}; it may be {' or '.join(sorted(_CHOICES))}, or unset.")
        return _CHOICES[chosen]
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return any(_FLAGS & set(line.split()) for line in lines if line.startswith("flags"))
