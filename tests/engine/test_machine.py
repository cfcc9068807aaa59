"""What made a number is in its key and beside it, wherever it was made."""

import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from assay.core.access import PRESETS
from assay.core.testbed import TargetSpec
from assay.engine.base import EMBEDDED_BASE
from assay.engine.machine import numerics, this_machine
from assay.engine.targets import Targets

LOCAL = TargetSpec("tb-0c0c0c0c", EMBEDDED_BASE, None, "", (), "", PRESETS["api"])


@pytest.mark.attacks
def test_another_dtype_instruction_set_or_library_setting_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASSAY_DTYPE", "ASSAY_DEVICES", "ONEDNN_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    found = [numerics()]
    for name, value in (
        ("ONEDNN_MAX_CPU_ISA", "AVX"),
        ("ASSAY_DTYPE", "float32" if "bfloat16" in found[0] else "bfloat16"),
        ("ASSAY_DEVICES", "mps"),
        ("ATEN_CPU_CAPABILITY", "avx2"),
        ("MKL_CBWR", "COMPATIBLE"),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            found.append(numerics())
    monkeypatch.setattr("assay.engine.machine.metadata.version", lambda name: "1.0")
    found.append(numerics())
    assert len(set(found)) == len(found), found


def test_the_line_for_people_has_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    machine = this_machine("bfloat16", ["cpu", "cpu"])
    assert str(machine).split(" · ") == [
        machine.processor,
        machine.instructions,
        "bfloat16",
        "cpu",
        f"torch {torch.__version__}",
        "MKL_CBWR=AVX2",
    ]


def test_gpus_are_named_by_model_and_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(name="NVIDIA H200", major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    alone = this_machine("bfloat16", ["cuda:0", "cuda:1"])
    assert (alone.processor, alone.instructions, alone.device) == ("NVIDIA H200", "sm_90", "cuda")
    beside = this_machine("bfloat16", ["cuda:0", "cpu"])
    assert beside.processor.startswith("NVIDIA H200 + ") and beside.device == "cpu + cuda"


def test_every_engine_says_what_it_can() -> None:
    remote = replace(LOCAL, base="inspect:openai/gpt-4o")
    with closing(Targets()) as targets:
        assert targets.machine(LOCAL) == str(this_machine())
        assert targets.machine(remote) == "inspect:openai/gpt-4o"
    for words, told in (
        ("vllm:http://127.0.0.1:1", f"vllm server · {EMBEDDED_BASE}"),
        ("vllm:http://127.0.0.1:1#mine", "vllm server · mine"),
        ("scripted", "scripted replies"),
    ):
        with closing(Targets(engine=words)) as targets:
            assert targets.machine(LOCAL) == told
    with closing(Targets()) as targets:
        assert "its only model" in targets.machine(replace(LOCAL, base="vllm:http://127.0.0.1:1"))


def test_the_desk_finds_it_without_torch() -> None:
    code = "import os, sys; os.environ['ASSAY_DEVICES'] = 'cpu'\n"
    code += "from assay.engine.machine import numerics; numerics(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
