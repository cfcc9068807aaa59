"""What the processor computes with: its instructions as libraries may use them, and the number format that suits it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from assay.errors import InvalidInput

VARIABLE = "ASSAY_DTYPE"
_CHOICES = {"float32": False, "bfloat16": True}
CPUINFO = Path("/proc/cpuinfo")
_BF16 = {"AMX", "AVX512_BF16"}

# Sets of instructions between which oneDNN's and torch's arithmetic differs in the last digits, the best first, and the
# flags of Linux that tell of them.
_LEVELS = {
    "AMX": {"amx_bf16", "amx_tile"},
    "AVX512_BF16": {"avx512_bf16"},
    "AVX512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "AVX2_VNNI_2": {"avx_ne_convert"},
    "AVX2": {"avx2"},
    "AVX": {"avx"},
    "SSE4.1": {"sse4_1"},
    "SVE_BF16": {"sve", "bf16"},
    "NEON_BF16": {"asimd", "bf16"},
    "SVE": {"sve"},
    "NEON": {"asimd"},
}
# What `ONEDNN_MAX_CPU_ISA` may say that leaves something out. oneDNN takes any other word for no limit.
_LIMITS = {
    "AVX10_2": "AVX512_BF16",
    "AVX10_2_512": "AVX512_BF16",
    "AVX10_1": "AVX512_BF16",
    "AVX10_1_512": "AVX512_BF16",
    "AVX512_CORE_FP16": "AVX512_BF16",
    "AVX512_CORE_BF16": "AVX512_BF16",
    "AVX512_CORE_VNNI": "AVX512",
    "AVX512_CORE": "AVX512",
    "AVX2_VNNI_2": "AVX2_VNNI_2",
    "AVX2_VNNI": "AVX2",
    "AVX2": "AVX2",
    "AVX": "AVX",
    "SSE41": "SSE4.1",
}


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor as arithmetic sees it.

    Attributes:
        name: its model.
        instructions: the best set that it has and oneDNN may use (`AMX`, `AVX512_BF16`, `AVX512`, `AVX2`, `NEON` …).
    """

    name: str
    instructions: str


def processor(cpuinfo: Path = CPUINFO) -> Processor:
    """Describes the processor, without importing torch.

    The limit of `ONEDNN_MAX_CPU_ISA` (or `DNNL_MAX_CPU_ISA`, its old name) holds.

    Args:
        cpuinfo: Linux's description of it; where there is none, Python's is all there is.
    """
    fields = _fields(cpuinfo)
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    levels = list(_LEVELS)
    best = _LIMITS.get(limit.strip().upper(), levels[0])
    found = [level for level in levels[levels.index(best) :] if _LEVELS[level] <= flags]
    name = fields.get("model name") or _name_by_python()
    return Processor(" ".join(name.split()), found[0] if found else _instructions_by_python())


def native_bf16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether to compute in bfloat16: where the processor may use instructions for it, which otherwise are emulated.

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
    return processor(cpuinfo).instructions in _BF16


def _fields(cpuinfo: Path) -> Mapping[str, str]:
    """Reads what Linux says of one core: some machines have cores of two kinds, and the last one stands for all."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = [line.partition(":") for line in lines]
    return {name.strip(): value.strip() for name, _, value in pairs}


@cache
def _name_by_python() -> str:
    if platform.system() == "Darwin":  # whose Python calls every processor "arm" or "i386"
        asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        if told:
            return told
    return platform.processor() or platform.machine() or "unknown processor"


def _instructions_by_python() -> str:
    """Names the architecture, which is all that is known."""
    machine = platform.machine().lower()
    return "NEON" if machine in {"arm64", "aarch64"} else machine or "unknown instructions"
