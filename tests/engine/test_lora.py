"""An adapter is the recorded one and fits the base, or it is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from assay.engine.local.engine import LocalEngine
from assay.engine.local.lora import adapter_digest
from assay.engine.peft_layout import CONFIG, WEIGHTS
from assay.errors import CorruptArtifact, InvalidInput

Tensors = dict[str, torch.Tensor]
Q_A = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
Q_B = Q_A.replace("lora_A", "lora_B")


@pytest.fixture
def adapter(adapters: list[Path], tmp_path: Path) -> Path:
    return shutil.copytree(adapters[0], tmp_path / "adapter")


def rewrite(path: Path, change: Callable[[Tensors], object]) -> None:
    tensors = load_file(path / WEIGHTS)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path / WEIGHTS)


def test_it_is_read_once(engine: LocalEngine, adapter: Path) -> None:
    digest = adapter_digest(adapter)
    loaded = engine.adapter(adapter, digest)
    assert loaded.digest == digest
    assert engine.adapter(adapter, digest) is loaded and engine.adapter(adapter, "") is loaded


@pytest.mark.parametrize("file", [WEIGHTS, CONFIG])
def test_another_digest_is_corrupt(engine: LocalEngine, adapter: Path, file: str) -> None:
    recorded = adapter_digest(adapter)
    data = bytearray((adapter / file).read_bytes())
    data[-1] ^= 1
    (adapter / file).write_bytes(data)
    with pytest.raises(CorruptArtifact, match="assay organisms build") as caught:
        engine.adapter(adapter, recorded)
    assert (caught.value.expected, caught.value.found) == (recorded, adapter_digest(adapter))


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.update({Q_A.replace("layers.1.", "layers.9."): tensors[Q_A].clone()}),
        lambda tensors: tensors.update({"base_model.model.lm_head.lora_A.weight": tensors[Q_A].clone()}),
        lambda tensors: tensors.update({Q_A: torch.zeros(4, 63)}),
        lambda tensors: tensors.update({Q_B: torch.zeros(65, 4)}),
        lambda tensors: tensors.update({Q_B: torch.zeros(64, 3)}),
        lambda tensors: tensors.pop(Q_B),
        lambda tensors: tensors.pop(Q_A),
    ],
    ids=["layer", "module", "inputs", "outputs", "rank", "no B", "no A"],
)
def test_tensors_that_do_not_fit_are_refused(
    engine: LocalEngine, adapter: Path, change: Callable[[Tensors], object]
) -> None:
    rewrite(adapter, change)
    with pytest.raises(InvalidInput, match="fit the base"):
        engine.adapter(adapter, "")


@pytest.mark.parametrize(
    "setting",
    [{"use_rslora": True}, {"use_dora": True}, {"rank_pattern": {"q_proj": 8}}, {"alpha_pattern": {"q_proj": 2}}],
)
def test_kinds_of_lora_it_would_get_wrong_are_refused(
    engine: LocalEngine, adapter: Path, setting: dict[str, object]
) -> None:
    config = json.loads((adapter / CONFIG).read_text())
    (adapter / CONFIG).write_text(json.dumps({**config, **setting}))
    with pytest.raises(InvalidInput, match=next(iter(setting))):
        engine.adapter(adapter, "")


def test_a_folder_that_is_no_adapter_is_told(engine: LocalEngine, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no adapter_model\.safetensors"):
        engine.adapter(tmp_path, "")
