"""Every family of checkpoints computes what transformers computes; a setting nobody implemented is refused by name."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.families import FAMILIES, GEMMA, LLAMA3, PROMPT, WEIGHTS, WINDOWS, make

from assay.core.access import PRESETS
from assay.core.readouts import Raw
from assay.core.target import Message, Sampling
from assay.core.testbed import TargetSpec
from assay.engine.base import find_base
from assay.engine.cache import ReplyCache
from assay.engine.local.checkpoint import read_architecture
from assay.engine.local.engine import LocalEngine
from assay.engine.local.llama import Llama
from assay.errors import InvalidInput


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


@pytest.mark.parametrize("kind", ["gemma", "gemma3", "gemma3n_text", "qwen3_moe", ["llama"], None])
def test_families_it_does_not_run_are_refused_by_name(tiny: Path, tmp_path: Path, kind: Any) -> None:
    path = settings(shutil.copytree(tiny, tmp_path / "base"), model_type=kind)
    named = rf"model_type is {re.escape(repr(kind))}; the local engine runs .*llama, .* vllm:"
    with pytest.raises(InvalidInput, match=named):
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
        ({"query_pre_attn_scalar": 256}, "query_pre_attn_scalar"),
        ({"hidden_activation": "silu"}, "hidden_activation"),
        ({"no_such_key": 1}, "no_such_key"),
        ({"num_key_value_heads": 3}, "key heads"),
    ],
)
def test_a_setting_it_does_not_implement_is_refused_by_name(copy: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        Llama(settings(copy, **changes), torch.float32, 64)


# as Google publishes them: google/gemma-2-27b-it, which names its window twice, and google/gemma-3-1b-it
PUBLISHED: dict[str, dict[str, Any]] = {
    "gemma2": {
        "architectures": ["Gemma2ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "attn_logit_softcapping": 50.0,
        "bos_token_id": 2,
        "cache_implementation": "hybrid",
        "eos_token_id": 1,
        "final_logit_softcapping": 30.0,
        "head_dim": 128,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 4608,
        "initializer_range": 0.02,
        "intermediate_size": 36864,
        "max_position_embeddings": 8192,
        "model_type": "gemma2",
        "num_attention_heads": 32,
        "num_hidden_layers": 46,
        "num_key_value_heads": 16,
        "pad_token_id": 0,
        "query_pre_attn_scalar": 144,
        "rms_norm_eps": 1e-06,
        "rope_theta": 10000.0,
        "sliding_window": 4096,
        "sliding_window_size": 4096,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.42.0.dev0",
        "use_cache": True,
        "vocab_size": 256000,
        "_attn_implementation": "eager",
    },
    "gemma3_text": {
        "architectures": ["Gemma3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "attn_logit_softcapping": None,
        "bos_token_id": 2,
        "cache_implementation": "hybrid",
        "eos_token_id": [1, 106],
        "final_logit_softcapping": None,
        "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 1152,
        "initializer_range": 0.02,
        "intermediate_size": 6912,
        "max_position_embeddings": 32768,
        "model_type": "gemma3_text",
        "num_attention_heads": 4,
        "num_hidden_layers": 26,
        "num_key_value_heads": 1,
        "pad_token_id": 0,
        "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-06,
        "rope_local_base_freq": 10000,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.50.0.dev0",
        "use_cache": True,
        "vocab_size": 262144,
    },
}


def test_published_settings_of_gemma_are_read(tmp_path: Path) -> None:
    for kind, data in PUBLISHED.items():
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "config.json").write_text(json.dumps(data))
    second, third = (read_architecture(tmp_path / kind) for kind in PUBLISHED)
    assert (second.attention_scale, second.attention_cap, second.logit_cap) == (1 / 12, 50.0, 30.0)
    assert second.windows == (4096, None) * 23 and len(set(second.rotaries)) == 1 and second.tied
    assert (third.attention_scale, third.attention_cap, third.logit_cap) == (1 / 16, None, None)
    assert third.windows == (*(512,) * 5, None) * 4 + (512,) * 2 and third.tied
    bases = [float(1 / rotary.rates[1] ** 128) for rotary in (third.rotaries[0], third.rotaries[5])]
    assert bases == pytest.approx([1e4, 1e6], rel=1e-3)


def test_classic_spellings_of_gemma_3_are_read_as_transformers_reads_them(tiny: Path, tmp_path: Path) -> None:
    from transformers import Gemma3ForCausalLM

    path = make(tiny, tmp_path / "base", "Gemma3", GEMMA)
    data = json.loads((path / "config.json").read_text())
    for key in ("rope_parameters", "layer_types", "_sliding_window_pattern"):
        del data[key]
    classic = {"rope_theta": 20_000, "rope_local_base_freq": 500, "sliding_window_pattern": 2}
    classic |= {"rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    (path / "config.json").write_text(json.dumps(data | classic))
    model, inputs = Llama(path, torch.float32, 128), torch.tensor([PROMPT])
    with torch.inference_mode():
        ours = model.logits(model.prefill(model.embed([PROMPT]), range(4), model.base)[0])
        theirs = Gemma3ForCausalLM.from_pretrained(path, dtype=torch.float32).eval()(inputs).logits[0]
    assert (ours - theirs).abs().max() < 1e-4


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        ("gemma2", {"hidden_activation": "gelu"}, "hidden_activation is 'gelu'"),
        ("gemma2", {"hidden_act": "silu"}, "hidden_act is 'silu'; the local engine runs 'gelu_pytorch_tanh'"),
        ("gemma2", {"use_bidirectional_attention": True}, "use_bidirectional_attention is True"),
        ("gemma2", {"attn_logit_softcapping": 0.0}, r"attn_logit_softcapping is 0\.0; give a positive number"),
        ("gemma2", {"final_logit_softcapping": -30.0}, "final_logit_softcapping is -30"),
        ("gemma2", {"query_pre_attn_scalar": 0}, "query_pre_attn_scalar is 0"),
        ("gemma2", {"sliding_window_size": 512}, "sliding_window_size is 512; the local engine runs 4096"),
        ("gemma2", {"sliding_window": None, "sliding_window_size": None}, "no sliding_window is set"),
        ("gemma2", {"sliding_window_pattern": 6}, "sliding_window_pattern is 6"),
        ("gemma2", {"rope_local_base_freq": 1e4}, "rope_local_base_freq"),
        ("gemma2", {"layer_types": ["chunked_attention"] * 46}, "layer_types"),
        ("gemma2", {"mlp_bias": True}, "mlp_bias"),
        ("gemma3_text", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "use_bidirectional_attention is True"),
        ("gemma3_text", {"final_logit_softcapping": 0.0}, "final_logit_softcapping is 0"),
        (
            "gemma3_text",
            {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
            "rope_type is .* in rope_parameters",
        ),
        ("gemma3_text", {"rope_scaling": {"rope_type": "dynamic", "factor": 8.0}}, "'dynamic'"),
        ("gemma3_text", {"rope_scaling": {"rope_type": "linear", "factor": 8.0, "twist": 1}}, "twist"),
        ("gemma3_text", {"use_sliding_window": True}, "use_sliding_window"),
        ("gemma3_text", {"vision_config": {"hidden_size": 8}}, "vision_config"),
    ],
)
def test_a_setting_of_gemma_that_would_not_be_heeded_is_refused_by_name(
    tmp_path: Path, kind: str, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidInput, match=named):
        read_architecture(settings(tmp_path, **(PUBLISHED[kind] | changes)))


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


@pytest.mark.attacks
async def test_a_control_token_that_the_weights_do_not_know_is_text_in_a_chat_and_refused_in_raw_text(
    copy: Path, opened: Callable[[Path], LocalEngine]
) -> None:
    """As with Gemma 3 1B, whose tokenizer has a token for pictures and whose embedding has no row for it."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens(["<image_soft_token>"], special_tokens=True)
    tokenizer.save_pretrained(copy)
    spec = TargetSpec("tb-00000000", str(copy), None, "", (), "", PRESETS["full"])
    async with opened(copy).open(spec) as target:
        assert (await target.chat("An <image_soft_token> is text.", max_tokens=2, temperature=0)).texts
        for ask in (target.complete("<image_soft_token>", max_tokens=2), target.score(Raw("An <image_soft_token>."))):
            with pytest.raises(
                InvalidInput, match=r"holds <image_soft_token>, and the weights of base .* Leave it out"
            ):
                await ask
