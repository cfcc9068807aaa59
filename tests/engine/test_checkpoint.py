"""Every family of checkpoints computes what transformers computes; a setting nobody implemented is refused by name."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from assay.core.access import PRESETS
from assay.core.target import Message, Sampling
from assay.core.testbed import TargetSpec
from assay.engine.base import find_base
from assay.engine.cache import ReplyCache
from assay.engine.local.engine import LocalEngine
from assay.engine.local.llama import Llama
from assay.errors import InvalidInput

WEIGHTS = "model.safetensors"
PROMPT = tuple((7 * i + i * i) % 200 for i in range(90))
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.15,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
    "rope_theta": 10_000.0,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 10_000.0}
WINDOWS = ["full_attention", "sliding_attention", "full_attention", "sliding_attention"]
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama 2": ("Llama", {"num_key_value_heads": 4, "rms_norm_eps": 1e-5}),
    "Llama 3.1": ("Llama", {"rope_parameters": LLAMA3, "max_position_embeddings": 512}),
    "Llama 3.2, tied": ("Llama", {"rope_parameters": LLAMA3, "tie_word_embeddings": True, "head_dim": 8}),
    "Llama, biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "Llama, linear": ("Llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5_000.0}}),
    "SmolLM": ("Llama", {"num_attention_heads": 3, "num_key_value_heads": 1, "hidden_size": 48}),
    "Mistral": ("Mistral", {"sliding_window": 16}),
    "Mistral 0.3": ("Mistral", {"sliding_window": None, "head_dim": 32}),
    "Qwen 2.5": ("Qwen2", {}),
    "Qwen 2.5, YaRN": ("Qwen2", {"rope_parameters": YARN, "max_position_embeddings": 256}),
    "Qwen 2, windows": ("Qwen2", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 2}),
    "Qwen 3": ("Qwen3", {"head_dim": 32}),
    "Qwen 3, windows": ("Qwen3", {"use_sliding_window": True, "sliding_window": 16, "layer_types": WINDOWS}),
}


def make(tiny: Path, path: Path, family: str, changes: dict[str, Any]) -> Path:
    """A random checkpoint with the tiny one's tokenizer; biases and norms are random too."""
    import transformers

    shutil.copytree(tiny, path, ignore=shutil.ignore_patterns(WEIGHTS, "config.json", "generation_config.json"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = getattr(transformers, f"{family}Config")(vocab_size=len(tokenizer), **ends, **(SIZES | changes))
    torch.manual_seed(5)
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(path)
    return path


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """The tiny checkpoint, to be changed."""
    return shutil.copytree(tiny, tmp_path / "copy")


def settings(path: Path, file: str = "config.json", **changes: Any) -> Path:
    """The checkpoint with some settings changed."""
    data = json.loads((path / file).read_text()) if (path / file).is_file() else {}
    (path / file).write_text(json.dumps(data | changes))
    return path


@pytest.fixture
def opened() -> Iterator[Callable[[Path], LocalEngine]]:
    """Opens engines on checkpoints; they are closed when the test ends."""
    made: list[LocalEngine] = []

    def open_engine(path: Path) -> LocalEngine:
        made.append(LocalEngine(find_base(str(path)), ReplyCache(None), threads=1, dtype="float32"))
        return made[-1]

    yield open_engine
    for engine in made:
        engine.close()


@pytest.mark.parametrize("name", FAMILIES)
async def test_a_family_computes_what_transformers_computes(
    tiny: Path, tmp_path: Path, name: str, opened: Callable[[Path], LocalEngine]
) -> None:
    from transformers import AutoModelForCausalLM

    path = make(tiny, tmp_path / "base", *FAMILIES[name])
    peer = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    engine = opened(path)
    model, inputs = engine.model, torch.tensor([PROMPT])
    with torch.inference_mode():
        ours = model.logits(model.prefill(model.embed([PROMPT]), range(4), model.base)[0])
        theirs = peer(inputs).logits[0]
        assert (ours - theirs).abs().max() < 1e-4
        tokens = peer.generate(
            inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=24, do_sample=False,
            eos_token_id=sorted(engine.stop), pad_token_id=0,
        )[0, len(PROMPT) :]  # fmt: skip
    replies = await engine.generate(PROMPT, None, Sampling(max_tokens=24, temperature=0.0))
    async with engine.open(TargetSpec("tb-00000000", str(path), None, "", (), "", PRESETS["full"])) as target:
        weights = (await target.weights(["*"])).of
    stored = {name.removeprefix("model."): tensor.numpy() for name, tensor in peer.state_dict().items()}
    assert weights.keys() == stored.keys()
    assert all((weights[name] == tensor).all() for name, tensor in stored.items())
    written = [token for token in tokens.tolist() if token not in engine.stop]
    assert written and replies.text == engine.tokenizer.decode(written, skip_special_tokens=True)


def test_classic_spellings_are_read_as_transformers_reads_them(copy: Path) -> None:
    from transformers import LlamaForCausalLM

    data = json.loads((copy / "config.json").read_text())
    del data["rope_parameters"]
    scaling = {key: value for key, value in LLAMA3.items() if key != "rope_theta"}
    (copy / "config.json").write_text(json.dumps(data | {"rope_theta": 5_000.0, "rope_scaling": scaling}))
    model, inputs = Llama(copy, torch.float32, 128), torch.tensor([PROMPT])
    with torch.inference_mode():
        ours = model.logits(model.prefill(model.embed([PROMPT]), range(4), model.base)[0])
        theirs = LlamaForCausalLM.from_pretrained(copy, dtype=torch.float32).eval()(inputs).logits[0]
    assert (ours - theirs).abs().max() < 1e-4


@pytest.mark.parametrize("family", ["Gemma2", "Gemma3"])
def test_families_it_does_not_run_are_refused_by_name(tiny: Path, tmp_path: Path, family: str) -> None:
    kind = {"Gemma2": "gemma2", "Gemma3": "gemma3_text"}[family]
    path = settings(shutil.copytree(tiny, tmp_path / "base"), model_type=kind)
    with pytest.raises(InvalidInput, match=rf"model_type is '{kind}'; the local engine runs llama, .* vllm:"):
        Llama(path, torch.float32, 64)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"rope_parameters": None, "rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_scaling.* 'dynamic'"),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}}, "rope_parameters|rope_scaling"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rot"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "twist": 2}}, "twist"),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ({"quantization_config": {"load_in_4bit": True}}, "quantization_config"),
        ({"auto_map": {"AutoModelForCausalLM": "code.Model"}}, "auto_map"),
        ({"sliding_window": 16}, "sliding_window"),
        ({"layer_types": WINDOWS}, "layer_types"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "architectures"),
        ({"rope_interleaved": True}, "rope_interleaved"),
        ({"embedding_multiplier": 12.0}, "embedding_multiplier"),
        ({"no_such_key": 1}, "no_such_key"),
        ({"num_key_value_heads": 3}, "key heads"),
    ],
)
def test_a_setting_it_does_not_implement_is_refused_by_name(copy: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        Llama(settings(copy, **changes), torch.float32, 64)


def test_settings_that_change_nothing_are_let_through(copy: Path) -> None:
    told: dict[str, Any] = {
        "attention_dropout": 0.1,
        "torch_dtype": "float16",
        "pretraining_tp": 2,
        "no_such_key": None,
    }
    assert Llama(settings(copy, **told), torch.float32, 64).shape == Llama(copy, torch.float32, 64).shape


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop("model.layers.2.mlp.up_proj.weight"), r"layers\.2\.mlp\.up_proj\.weight is not among"),
        (lambda t: t.pop("lm_head.weight"), "lm_head.weight is not among"),
        (lambda t: t.update({"model.layers.1.self_attn.q_proj.bias": torch.ones(64)}), r"self_attn\.q_proj\.bias"),
        (lambda t: t.update({"model.layers.4.mlp.up_proj.weight": torch.ones(2)}), r"layers\.4\.mlp\.up_proj"),
        (lambda t: t.update({"model.norm.weight": torch.ones(63)}), r"norm\.weight is \(63,\)"),
        (lambda t: t.update({"model.norm.weight": torch.ones(64, dtype=torch.int8)}), "int8"),
    ],
    ids=["missing", "no head", "bias", "layer", "shape", "dtype"],
)
def test_weights_that_disagree_with_the_settings_are_refused(
    copy: Path, change: Callable[[dict[str, torch.Tensor]], object], named: str
) -> None:
    tensors = load_file(copy / WEIGHTS)
    change(tensors)
    save_file(tensors, copy / WEIGHTS)
    with pytest.raises(InvalidInput, match=named):
        Llama(copy, torch.float32, 64)


def test_a_head_of_its_own_beside_a_tied_embedding_is_refused(copy: Path) -> None:
    with pytest.raises(InvalidInput, match=r"tie_word_embeddings is set .* lm_head\.weight differs"):
        Llama(settings(copy, tie_word_embeddings=True), torch.float32, 64)


def test_another_layout_beside_the_weights_is_left_alone(copy: Path) -> None:
    save_file({"tok_embeddings.weight": torch.ones(2, 2)}, copy / "consolidated.safetensors")
    assert Llama(copy, torch.float32, 64).shape.layers == 4


def test_damaged_files_are_told(copy: Path) -> None:
    (copy / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(InvalidInput, match=r"model\.safetensors cannot be read"):
        Llama(copy, torch.float32, 64)
    (copy / "config.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"config\.json:1: not JSON"):
        Llama(copy, torch.float32, 64)


async def test_an_end_of_turn_of_the_generation_config_alone_ends_a_reply(
    copy: Path, opened: Callable[[Path], LocalEngine]
) -> None:
    from transformers import LlamaForCausalLM

    peer, inputs = LlamaForCausalLM.from_pretrained(copy, dtype=torch.float32).eval(), torch.tensor([PROMPT])
    limits: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    whole = peer.generate(inputs, attention_mask=torch.ones_like(inputs), **limits)[0, len(PROMPT) :].tolist()
    end = next(token for token in whole if token != whole[0])
    engine = opened(settings(copy, "generation_config.json", eos_token_id=[end, 258]))
    replies = await engine.generate(PROMPT, None, Sampling(max_tokens=12, temperature=0.0))
    assert (replies.samples[0].finish, replies.samples[0].tokens) == ("stop", whole.index(end))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"suppress_tokens": [3]}, "suppress_tokens"),
        ({"stop_strings": ["END"]}, "stop_strings"),
        ({"forced_bos_token_id": 3}, "forced_bos_token_id"),
        ({"eos_token_id": "</s>"}, "eos_token_id is '</s>'"),
        ({"no_such_key": True}, "no_such_key"),
    ],
)
def test_a_generation_setting_it_does_not_implement_is_refused_by_name(
    copy: Path, opened: Callable[[Path], LocalEngine], changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidInput, match=named):
        opened(settings(copy, "generation_config.json", **changes))


def test_how_to_sample_is_the_requests(copy: Path, opened: Callable[[Path], LocalEngine]) -> None:
    told: dict[str, Any] = {
        "do_sample": True,
        "temperature": 0.6,
        "top_p": 0.8,
        "top_k": 20,
        "repetition_penalty": 1.05,
    }
    assert opened(settings(copy, "generation_config.json", **told)).stop == opened(copy).stop


@pytest.mark.parametrize("template", [None, "{{ raise_exception('no users') }}", "{% if %}"])
async def test_a_base_that_cannot_be_talked_to_is_to_blame(
    copy: Path, opened: Callable[[Path], LocalEngine], template: str | None
) -> None:
    (copy / "chat_template.jinja").unlink()
    if template is not None:
        (copy / "chat_template.jinja").write_text(template)
    engine = opened(copy)
    spec = TargetSpec("tb-00000000", str(copy), None, "", (), "", PRESETS["api"])
    with pytest.raises(InvalidInput, match=r"base '.*copy'.* chat template"):
        async with engine.open(spec):
            pass


async def test_turns_that_a_template_does_not_take_are_told(copy: Path, opened: Callable[[Path], LocalEngine]) -> None:
    template = (copy / "chat_template.jinja").read_text()
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    (copy / "chat_template.jinja").write_text(refusing + template)
    spec = TargetSpec("tb-00000000", str(copy), None, "", (), "", PRESETS["api"])
    async with opened(copy).open(spec) as target:
        with pytest.raises(InvalidInput, match=r"does not take the turns system, user: no system role"):
            await target.chat([Message("system", "Be brief."), Message("user", "Hello")], max_tokens=1)


def test_a_tokenizer_that_writes_more_tokens_than_there_are_is_refused(
    copy: Path, opened: Callable[[Path], LocalEngine]
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens(["<extra>"])
    tokenizer.save_pretrained(copy)
    with pytest.raises(InvalidInput, match=r"its tokenizer writes .* tokens, and its embedding has"):
        opened(copy)
