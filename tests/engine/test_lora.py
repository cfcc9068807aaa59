"""An adapter is the recorded one and fits the base, or it is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from assay.core.access import PRESETS
from assay.core.readouts import Raw
from assay.core.testbed import TargetSpec
from assay.engine.local.engine import LocalEngine
from assay.engine.local.lora import adapter_digest
from assay.engine.peft_layout import CONFIG, WEIGHTS
from assay.errors import CorruptArtifact, InvalidInput

Tensors = dict[str, torch.Tensor]
Q_A = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
Q_B = Q_A.replace("lora_A", "lora_B")
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
TEXT = "An adapter is what it says, or it is refused."


@pytest.fixture
def adapter(adapters: list[Path], tmp_path: Path) -> Path:
    return shutil.copytree(adapters[0], tmp_path / "adapter")


def rewrite(path: Path, change: Callable[[Tensors], object]) -> None:
    tensors = load_file(path / WEIGHTS)
    change(tensors)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path / WEIGHTS)


def configure(path: Path, **changes: object) -> None:
    (path / CONFIG).write_text(json.dumps(json.loads((path / CONFIG).read_text()) | changes))


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
    ("change", "named"),
    [
        (
            lambda t: t.update(
                {Q_A.replace("layers.1.", "layers.9."): t[Q_A], Q_B.replace("layers.1.", "layers.9."): t[Q_B]}
            ),
            "layer 9",
        ),
        (lambda t: t.update({"base_model.model.lm_head.lora_A.weight": t[Q_A].clone()}), r"lm_head\.lora_A"),
        (lambda t: t.update({"base_model.model.model.embed_tokens.weight": t[Q_A].clone()}), "embed_tokens"),
        (lambda t: t.update({Q_A.replace("lora_A.weight", "lora_magnitude_vector"): t[Q_A].clone()}), "magnitude"),
        (lambda t: t.update({Q_A.replace("model.layers", "vision.layers"): t.pop(Q_A)}), "vision"),
        (lambda t: t.update({Q_A: torch.zeros(4, 63)}), r"lora_A of layers\.1\.self_attn\.q_proj is \(4, 63\)"),
        (lambda t: t.update({Q_B: torch.zeros(65, 4)}), r"lora_B of layers\.1\.self_attn\.q_proj is \(65, 4\)"),
        (lambda t: t.update({Q_B: torch.zeros(64, 3)}), r"is \(64, 3\)"),
        (lambda t: t.update({Q_A: torch.zeros(3, 64), Q_B: torch.zeros(64, 3)}), r"is \(3, 64\).* want \(4, 64\)"),
        (lambda t: t.update({Q_A: torch.zeros(4, 64, dtype=torch.int8)}), "int8"),
        (lambda t: t.update({Q_A: torch.full((4, 64), torch.nan)}), r"q_proj is not finite"),
        (lambda t: t.update({Q_B: torch.full((64, 4), torch.inf)}), r"q_proj is not finite"),
        (lambda t: t.pop(Q_B), "lora_A and no lora_B"),
        (lambda t: t.pop(Q_A), "lora_B and no lora_A"),
        (lambda t: (t.pop(Q_A), t.pop(Q_B)), r"no factors of layers\.1\.self_attn\.q_proj"),
        (lambda t: t.clear(), "no tensors"),
    ],
)
def test_tensors_that_disagree_are_refused(
    engine: LocalEngine, adapter: Path, change: Callable[[Tensors], object], named: str
) -> None:
    rewrite(adapter, change)
    with pytest.raises(InvalidInput, match=named):
        engine.adapter(adapter, "")


def test_lower_layers_may_be_left_alone_and_no_others(engine: LocalEngine, adapter: Path) -> None:
    configure(adapter, layers_to_transform=None)
    rewrite(adapter, lambda t: [t.pop(name) for name in list(t) if "layers.0." in name])
    assert engine.adapter(adapter, "").depth == 1
    rewrite(adapter, lambda t: [t.pop(name) for name in list(t) if "layers.2." in name])
    with pytest.raises(InvalidInput, match=r"no factors of layers\.2"):
        engine.adapter(adapter, "")


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"use_dora": True}, "use_dora is True"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save is \['lm_head'\]"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"bias": "lora_only"}, "bias is 'lora_only'; the local engine runs 'none'"),
        ({"lora_bias": True}, "lora_bias"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"layer_replication": [[0, 4], [2, 4]]}, "layer_replication"),
        ({"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights"),
        ({"init_lora_weights": "olora"}, "init_lora_weights"),
        ({"init_lora_weights": "loftq"}, "init_lora_weights"),
        ({"init_lora_weights": "lora_ga"}, "init_lora_weights"),
        ({"peft_type": "LOHA"}, "peft_type is 'LOHA'"),
        ({"peft_type": None}, "peft_type"),
        ({"task_type": "SEQ_CLS"}, "task_type"),
        ({"use_qalora": True}, "use_qalora"),
        ({"target_parameters": ["mlp.experts"]}, "target_parameters"),
        ({"layers_pattern": "blocks"}, "layers_pattern"),
        ({"target_modules": ["q_proj", "lm_head"]}, "target_modules .* not on lm_head"),
        ({"target_modules": None}, "target_modules"),
        ({"target_modules": "(.*"}, "layers_to_transform beside a pattern"),
        ({"target_modules": "(.*", "layers_to_transform": None}, "pattern '.*' cannot be matched"),
        ({"target_modules": "(.*.*)*x", "layers_to_transform": None}, "factors of|cannot be matched"),
        ({"rank_pattern": {"q_proj": 0}}, "rank_pattern is 0"),
        ({"rank_pattern": {"((q)": 4}}, "cannot be matched"),
        ({"rank_pattern": {"q_proj": 2}}, r"q_proj is \(4, 64\) .* want \(2, 64\)"),
        ({"alpha_pattern": {"q_proj": "2"}}, "alpha_pattern is '2'"),
        ({"lora_alpha": float("nan")}, "NaN is no number"),
        ({"r": 8}, r"is \(4, \d+\) .* want \(8, \d+\)"),
        ({"r": True}, "r is True"),
        ({"layers_to_transform": [0, 1, 2, 9]}, "layer 9"),
        ({"layers_to_transform": [0, 1, 2]}, r"factors of layers\.3\..*, which adapter_config\.json does not name"),
        ({"exclude_modules": ["k_proj"]}, r"factors of layers\.0\.self_attn\.k_proj"),
        ({"no_such_key": 1}, "no_such_key"),
    ],
    ids=str,
)
def test_a_kind_it_would_get_wrong_is_refused_by_name(
    engine: LocalEngine, adapter: Path, setting: dict[str, object], named: str
) -> None:
    configure(adapter, **setting)
    with pytest.raises(InvalidInput, match=named):
        engine.adapter(adapter, "")


@pytest.mark.parametrize("damage", ["weights", "config", "list"])
def test_damaged_files_are_told(engine: LocalEngine, adapter: Path, damage: str) -> None:
    name, content = {"weights": (WEIGHTS, "x"), "config": (CONFIG, "{"), "list": (CONFIG, "[]")}[damage]
    (adapter / name).write_text(content)
    with pytest.raises(InvalidInput, match=rf"{name}.*(cannot be read|not JSON|wants a JSON object)"):
        engine.adapter(adapter, "")


@pytest.mark.parametrize(
    "kind",
    [
        {"r": 4, "lora_alpha": 8},
        {"r": 4, "lora_alpha": 8, "use_rslora": True},
        {"r": 4, "lora_alpha": 8, "init_lora_weights": "gaussian"},
        {"rank_pattern": {"q_proj": 8, "layers.2.mlp.up_proj": 2, "v_proj": 1}},
        {"rank_pattern": {r"layers\.[01]\..*": 2}, "alpha_pattern": {"down_proj": 32, "up_proj": 1}},
        {"rank_pattern": {"q_proj": 6}, "alpha_pattern": {"q_proj": 24}, "use_rslora": True},
        {"target_modules": r".*\.(self_attn\.[qk]_proj|mlp\.up_proj)"},
        {"target_modules": "all-linear"},
        {"exclude_modules": ["o_proj"], "layers_to_transform": [1, 3]},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")  # peft's own
async def test_an_adapter_computes_what_peft_computes(
    engine: LocalEngine, tiny: Path, tmp_path: Path, kind: dict[str, Any]
) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(4)
    settings = {"target_modules": list(LINEAR), "task_type": "CAUSAL_LM"} | kind
    made = get_peft_model(LlamaForCausalLM.from_pretrained(tiny, dtype=torch.float32), LoraConfig(**settings))
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    made.save_pretrained(str(tmp_path / "adapter"))
    base = LlamaForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    peer = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    spec = TargetSpec("tb-00000001", str(tiny), tmp_path / "adapter", "", (), "", PRESETS["full"])
    async with engine.open(spec) as target:
        scored = await target.score(Raw(TEXT), top=4)
        ids = torch.tensor([scored.ids])
        with torch.inference_mode():
            wanted = peer(ids).logits[0].log_softmax(dim=-1)
            plain = LlamaForCausalLM.from_pretrained(tiny, dtype=torch.float32)(ids).logits[0].log_softmax(dim=-1)
    found = torch.tensor(scored.logprobs[1:])
    following = ids[0, 1:, None]
    assert (found - wanted[:-1].gather(1, following)[:, 0]).abs().max() < 1e-4
    assert (found - plain[:-1].gather(1, following)[:, 0]).abs().max() > 1e-2


def test_a_folder_that_is_no_adapter_is_told(engine: LocalEngine, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no adapter_model\.safetensors"):
        engine.adapter(tmp_path, "")
