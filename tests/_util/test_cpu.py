"""What the processor may compute with is found as oneDNN finds it, and named without torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay._util.cpu import Processor, native_bf16, processor
from assay.errors import InvalidInput

AVX512 = "avx2 avx512f avx512bw avx512dq avx512vl avx512_vnni"
SAPPHIRE = f"fpu {AVX512} avx512_bf16 avx512_fp16 amx_bf16 amx_tile amx_int8"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASSAY_DTYPE", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)


def cpuinfo(folder: Path, flags: str, field: str = "flags\t\t") -> Path:
    path = folder / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: avx512_bf16  Ltd\n{field}: {flags}\n\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("flags", "limit", "instructions", "bf16"),
    [
        (SAPPHIRE, "", "AMX", True),
        (SAPPHIRE, "default", "AMX", True),
        (SAPPHIRE, "AVX512_CORE_AMX", "AMX", True),
        (SAPPHIRE, "no such word", "AMX", True),  # oneDNN takes it for none
        (SAPPHIRE, "AVX10_1_512", "AVX512_BF16", True),
        (SAPPHIRE, "AVX512_CORE_BF16", "AVX512_BF16", True),
        (SAPPHIRE, "avx512_core_bf16", "AVX512_BF16", True),
        (SAPPHIRE, "AVX512_CORE", "AVX512", False),
        (SAPPHIRE, "AVX2", "AVX2", False),
        (f"{AVX512} avx512_bf16", "", "AVX512_BF16", True),  # AMD's Zen 4
        (AVX512, "AVX512_CORE_BF16", "AVX512", False),
        ("sse4_1 avx avx2", "", "AVX2", False),
        ("sse4_1 avx avx2", "AVX512_CORE", "AVX2", False),
        ("sse4_1 avx", "", "AVX", False),
    ],
)
def test_a_limit_counts_and_a_flag_that_is_not_there_does_not(
    flags: str, limit: str, instructions: str, bf16: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cpuinfo(tmp_path, flags)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert processor(found) == Processor("avx512_bf16 Ltd", instructions)
    assert native_bf16(found) is bf16
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", limit)  # as it was called before, and still may be
    assert processor(found).instructions == instructions


@pytest.mark.parametrize(("flags", "instructions"), [("fp asimd bf16", "NEON_BF16"), ("fp asimd sve", "SVE")])
def test_arm_is_told_apart(flags: str, instructions: str, tmp_path: Path) -> None:
    found = cpuinfo(tmp_path, flags, "Features\t")
    assert processor(found).instructions == instructions and not native_bf16(found)


def test_without_linux_python_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    found = processor(tmp_path / "missing")
    assert found.name and found.instructions == "NEON" and not native_bf16(tmp_path / "missing")
    monkeypatch.setattr("platform.machine", lambda: "")
    assert processor(tmp_path / "missing").instructions == "unknown instructions"


def test_a_person_may_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = cpuinfo(tmp_path, "avx2")
    for chosen, expected in (("bfloat16", True), ("float32", False)):
        monkeypatch.setenv("ASSAY_DTYPE", chosen)
        assert native_bf16(found) is expected
    monkeypatch.setenv("ASSAY_DTYPE", "float16")
    with pytest.raises(InvalidInput, match="'float16'; it may be bfloat16 or float32"):
        native_bf16(found)


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="oneDNN's names are x86's")
@pytest.mark.parametrize("limit", ["", "AVX2", "AVX512_CORE", "AVX512_CORE_BF16"])
def test_onednn_says_the_same(limit: str) -> None:
    known = {
        "AMX": "Intel AMX",
        "AVX512_BF16": "bfloat16 support",
        "AVX512": "AVX512BW",
        "AVX2": "Intel AVX2",
        "AVX": "Intel AVX",
    }
    code = (
        "import torch; from assay._util.cpu import processor\n"
        "torch.ones(8, 8).to_mkldnn()\n"  # whatever it is: the first call has oneDNN tell of itself
        "print('ours', processor().instructions)"
    )
    environment = {name: value for name, value in os.environ.items() if "MAX_CPU_ISA" not in name}
    environment |= {"ONEDNN_VERBOSE": "1"} | ({"ONEDNN_MAX_CPU_ISA": limit} if limit else {})
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    theirs = next(line for line in done.stdout.splitlines() if ",cpu,isa:" in line)
    ours = done.stdout.rstrip().rpartition("ours ")[2]
    assert known[ours] in theirs and (ours == "AMX") == ("AMX" in theirs), (ours, theirs)


def test_openmp_is_told_before_it_is_loaded_and_a_person_has_the_last_word() -> None:
    def displayed(**settings: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
        done = subprocess.run(
            [sys.executable, "-c", "from assay.engine.targets import Targets; Targets(); import torch"],
            capture_output=True,
            text=True,
            check=True,
            env={**kept, "OMP_DISPLAY_ENV": "VERBOSE", **settings},
        )
        return done.stderr

    told = displayed()
    if "GOMP_SPINCOUNT" not in told:
        pytest.skip("this torch has another OpenMP than GNU's")
    assert "GOMP_SPINCOUNT = '3000'" in told
    assert "GOMP_SPINCOUNT = '7'" in displayed(GOMP_SPINCOUNT="7")
    assert "GOMP_SPINCOUNT = '30000000000'" in displayed(OMP_WAIT_POLICY="active")
