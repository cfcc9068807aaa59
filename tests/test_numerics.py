"""Runs what depends on arithmetic as other machines compute: bfloat16 with and without AMX, emulated, and float32.

Each mode is a process of its own, since oneDNN reads its limit once. A mode that this processor lacks is skipped, and
the skip says so.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay._util.cpu import processor

pytestmark = pytest.mark.heavy
ROOT = Path(__file__).parent.parent
LIMITS = ("ASSAY_DTYPE", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
MODES = {
    "bfloat16, AMX": ("AMX", {"ASSAY_DTYPE": "bfloat16"}),
    "bfloat16, AVX-512 BF16": ("AVX512_BF16", {"ASSAY_DTYPE": "bfloat16", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}),
    "bfloat16, emulated": ("AVX512", {"ASSAY_DTYPE": "bfloat16", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}),
    "float32, the processor's best": ("", {"ASSAY_DTYPE": "float32"}),
    "float32, AVX2": (
        "AVX2",
        {"ASSAY_DTYPE": "float32", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_arithmetic_is_right_in_mode(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    instructions, variables = MODES[mode]
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = processor()
    if instructions and found.instructions != instructions:
        pytest.skip(f"{mode}: {found.name} has no {instructions}, its best here is {found.instructions}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "numerics", "tests/engine", "tests/factory/test_train.py"],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, f"{mode}:\n{done.stdout[-6_000:]}\n{done.stderr[-2_000:]}"
    assert " passed" in done.stdout
