"""What a checkpoint says of its arithmetic and its ends of turns: every setting is implemented, or refused by name.

A setting that nobody looked at is a model that is not the one it is called. So the keys of `config.json` and
`generation_config.json` go through lists: those the engine implements, those that change nothing here (each with the
reason), and all others, which are refused. What a missing key means is left to transformers' own configuration class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from assay._util.strict_json import read_json_object
from assay.errors import InvalidInput

MODEL_CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"
_FAMILIES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_OTHERWISE = "Serve the model with vLLM and name that engine: vllm:http://HOST:PORT."

_IMPLEMENTED = frozenset({
    "model_type", "architectures", "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads",
    "num_key_value_heads", "head_dim", "rms_norm_eps", "hidden_act", "vocab_size", "rope_theta", "rope_scaling",
    "rope_parameters", "tie_word_embeddings", "eos_token_id", "max_position_embeddings",
})  # fmt: skip
_OF_FAMILIES = {  # implemented for families alone whose models heed them
    "attention_bias": ("llama", "qwen3"),
    "mlp_bias": ("llama",),
    "sliding_window": ("mistral", "qwen2", "qwen3"),
    "use_sliding_window": ("qwen2", "qwen3"),
    "max_window_layers": ("qwen2", "qwen3"),
    "layer_types": ("qwen2", "qwen3"),
}
_FIXED = {  # implemented for one value alone
    "hidden_act": "silu",
    "rope_interleaved": False,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "partial_rotary_factor": 1.0,
}
_IRRELEVANT = {
    "where it comes from": (
        "_name_or_path", "_model_name_or_path", "_commit_hash", "transformers_version", "unsloth_version",
        "unsloth_fixed", "unsloth_processed_in_place", "is_llama_config", "transformers.js_config",
    ),
    "used in training alone": (
        "attention_dropout", "hidden_dropout", "embd_pdrop", "resid_pdrop", "initializer_range", "use_reentrant",
        "gradient_checkpointing", "label_smoothing",
    ),
    "how the weights are stored, or the passes made; the engine decides": (
        "dtype", "torch_dtype", "use_cache", "pretraining_tp", "_attn_implementation", "attn_implementation",
        "_attn_implementation_autoset", "use_bfloat16", "chunk_size_feed_forward", "torchscript",
    ),
    "what transformers returns beside logits": (
        "output_attentions", "output_hidden_states", "return_dict", "use_return_dict",
    ),
    "tokens the chat template puts in, or that stand for none": (
        "bos_token_id", "pad_token_id", "unk_token_id", "sep_token_id",
    ),
    "of a classifier's head, which a causal model has not": ("id2label", "label2id", "num_labels", "problem_type"),
}  # fmt: skip
_GENERATION_IRRELEVANT = {
    "how to sample where nothing is said; every request here says its own": (
        "do_sample", "temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty", "max_length",
        "max_new_tokens", "num_beams", "num_return_sequences", "early_stopping", "length_penalty", "epsilon_cutoff",
        "eta_cutoff", "top_h", "diversity_penalty", "num_beam_groups", "penalty_alpha", "max_time",
    ),
    "where it comes from": ("_from_model_config", "transformers_version", "_commit_hash"),
    "how the passes are made": (
        "use_cache", "cache_implementation", "cache_config", "low_memory", "disable_compile", "compile_config",
        "prefill_chunk_size", "return_dict_in_generate", "output_attentions", "output_hidden_states", "output_logits",
        "output_scores", "assistant_confidence_threshold", "num_assistant_tokens", "num_assistant_tokens_schedule",
        "is_assistant", "prompt_lookup_num_tokens", "max_matching_ngram_size", "remove_invalid_values",
    ),
    "tokens the chat template puts in, or that stand for none": ("bos_token_id", "pad_token_id"),
    "how Qwen bounds its own demonstration": ("chat_format", "max_window_size"),
}  # fmt: skip
_ROPE_KEYS = {  # type of rotary embedding → what it is computed from, beside the base
    "default": frozenset[str](),
    "linear": frozenset({"factor"}),
    "llama3": frozenset({"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}),
    "yarn": frozenset({
        "factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale",
        "mscale_all_dim", "truncate",
    }),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the model."""

    layers: int
    width: int
    heads: int
    key_heads: int
    head_width: int
    epsilon: float

    @property
    def shared(self) -> int:
        """Query heads per key head."""
        return self.heads // self.key_heads


@dataclass(frozen=True, slots=True, eq=False)
class Architecture:
    """The arithmetic of a checkpoint.

    Attributes:
        shape: its sizes.
        inner: width within the MLP.
        vocabulary: rows of the embedding.
        rates: (head width / 2,) radians a position turns each pair of a head's entries by.
        amplitude: cosines and sines are multiplied by it.
        windows: of each layer, how many tokens a token sees, itself included; None for all.
        biased: fused products whose modules have biases.
        head_norms: queries and keys are normalised, head by head.
        tied: the head is the embedding.
    """

    shape: Shape
    inner: int
    vocabulary: int
    rates: torch.Tensor
    amplitude: float
    windows: tuple[int | None, ...]
    biased: frozenset[str]
    head_norms: bool
    tied: bool


def read_architecture(path: Path) -> Architecture:
    """Read `config.json` of a checkpoint.

    Raises:
        InvalidInput: it asks for something the engine does not do, which the message names.
    """
    raw = _read_settings(path / MODEL_CONFIG)
    family = raw.get("model_type")
    if family not in _FAMILIES:
        raise InvalidInput(
            f"{path / MODEL_CONFIG}: model_type is {family!r}; the local engine runs {', '.join(sorted(_FAMILIES))}. "
            f"{_OTHERWISE}"
        )
    if raw.get("architectures") not in (None, [], [_FAMILIES[family]]):
        raise InvalidInput(
            f"{path / MODEL_CONFIG}: architectures is {raw['architectures']}; the local engine runs "
            f"{_FAMILIES[family]}. {_OTHERWISE}"
        )
    own = {key for key, families in _OF_FAMILIES.items() if family in families or raw.get(key) is False}
    _require_known(path / MODEL_CONFIG, raw, _IMPLEMENTED | own | _FIXED.keys(), _IRRELEVANT)
    for key, value in _FIXED.items():
        if key in raw and raw[key] is not None and raw[key] != value:
            raise InvalidInput(
                f"{path / MODEL_CONFIG}: {key} is {raw[key]!r}; the local engine runs {value!r}. {_OTHERWISE}"
            )
    config = _configuration(path)
    heads = config.num_attention_heads
    shape = Shape(
        config.num_hidden_layers,
        config.hidden_size,
        heads,
        config.num_key_value_heads,
        getattr(config, "head_dim", None) or config.hidden_size // heads,
        config.rms_norm_eps,
    )
    _require_sizes(path / MODEL_CONFIG, shape)
    rates, amplitude = _rotary(path / MODEL_CONFIG, config, shape)
    return Architecture(
        shape,
        config.intermediate_size,
        config.vocab_size,
        rates,
        amplitude,
        _windows(path / MODEL_CONFIG, config),
        _biased(config),
        family == "qwen3",
        bool(config.tie_word_embeddings),
    )


def stop_ids(path: Path, tokenizer: Any) -> frozenset[int]:
    """Ids that end a reply: those of both configurations, the tokenizer's, and the end of a text.

    A base's chat template and its training may end texts with different tokens, and files disagree about which. A
    reply that ran past any of them would go on with somebody else's turn.

    Args:
        path: of the checkpoint.
        tokenizer: transformers' tokenizer of it.

    Raises:
        InvalidInput: `generation_config.json` asks for something the engine does not do, or an id is no token.
    """
    found: set[int] = set()
    for name in (MODEL_CONFIG, GENERATION_CONFIG):
        raw = _read_settings(path / name) if name == MODEL_CONFIG or (path / name).is_file() else {}
        if name == GENERATION_CONFIG:
            _require_known(path / name, raw, {"eos_token_id"}, _GENERATION_IRRELEVANT)
        given = raw.get("eos_token_id")
        ids = given if isinstance(given, list) else [] if given is None else [given]
        for one in ids:
            if isinstance(one, bool) or not isinstance(one, int) or one < 0:
                raise InvalidInput(f"{path / name}: eos_token_id is {given!r}; give a token's id, or a list of them.")
        found.update(ids)
    if tokenizer.eos_token_id is not None:
        found.add(tokenizer.eos_token_id)
    end = tokenizer.get_vocab().get("<|endoftext|>")
    return frozenset(found if end is None else found | {end})


def require_chat(tokenizer: Any, base: str) -> None:
    """Refuse a base that cannot be talked to.

    Raises:
        InvalidInput: it has no chat template, or one that does not take a user's turn.
    """
    if not tokenizer.chat_template:
        raise InvalidInput(
            f"base {base!r} has no chat template, so it cannot be asked anything. Take its instruct version, or put a "
            f"chat_template.jinja beside its {MODEL_CONFIG}."
        )
    try:
        tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], tokenize=False)
    except Exception as error:  # a template is a program of its own, and may raise what it likes
        raise InvalidInput(
            f"base {base!r}: its chat template does not take a user's turn ({type(error).__name__}: {error}). Mend "
            f"chat_template.jinja beside its {MODEL_CONFIG}."
        ) from None


def require_rows(tokenizer: Any, rows: int, base: str) -> None:
    """Refuse a tokenizer that writes tokens which the weights do not know.

    Raises:
        InvalidInput: the embedding has too few rows.
    """
    wanted = max(tokenizer.get_vocab().values(), default=-1) + 1
    if wanted > rows:
        raise InvalidInput(
            f"base {base!r}: its tokenizer writes {wanted} tokens, and its embedding has {rows} rows. Take the "
            f"tokenizer it was trained with, or resize the embedding (resize_token_embeddings) and save it anew."
        )


def weight_files(path: Path) -> list[Path]:
    """Give the files of a checkpoint that hold its weights; others may lie beside them in another layout.

    Raises:
        InvalidInput: the index names a file that is not there.
    """
    index = path / "model.safetensors.index.json"
    if not index.is_file():
        whole = path / "model.safetensors"
        return [whole] if whole.is_file() else sorted(path.glob("*.safetensors"))
    named = _read_settings(index).get("weight_map")
    if not isinstance(named, dict):
        raise InvalidInput(f"{index}: no weight_map. Fetch the checkpoint again.")
    files = sorted({path / str(name) for name in named.values()})
    if missing := [file for file in files if not file.is_file()]:
        raise InvalidInput(f"{missing[0]} is not there, and {index.name} names it. Fetch the checkpoint again.")
    return files


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(path)
    except InvalidInput as error:
        raise InvalidInput(f"{error} A base is a folder in transformers' layout.") from None


def _require_known(
    path: Path, raw: Mapping[str, Any], implemented: Iterable[str], irrelevant: Mapping[str, tuple[str, ...]]
) -> None:
    """Refuse keys that are on no list. What is null, or an empty list or object, is not set."""
    known = set(implemented).union(*irrelevant.values())
    unknown = [key for key, value in raw.items() if key not in known and value not in (None, [], {})]
    if unknown:
        raise InvalidInput(
            f"{path}: {unknown[0]} is {raw[unknown[0]]!r}, which the local engine does not implement. {_OTHERWISE} Or "
            f"remove the key, if it changes neither logits nor ends of turns."
        )


def _configuration(path: Path) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(path)
    except Exception as error:  # its validators raise a class each
        raise InvalidInput(f"{path / MODEL_CONFIG}: transformers does not accept it: {error}") from None


def _require_sizes(path: Path, shape: Shape) -> None:
    sizes = (shape.layers, shape.width, shape.heads, shape.key_heads, shape.head_width)
    if min(sizes) < 1 or shape.heads % shape.key_heads or shape.head_width % 2:
        raise InvalidInput(
            f"{path}: {shape.layers} layers of width {shape.width}, {shape.heads} heads of {shape.head_width} and "
            f"{shape.key_heads} key heads; heads are of even width, and key heads divide them."
        )


def _rotary(path: Path, config: Any, shape: Shape) -> tuple[torch.Tensor, float]:
    """Rates and amplitude of the rotary embedding; scaled ones as transformers computes them."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    given = dict(config.rope_parameters)
    kind = given.get("rope_type", "default")
    if kind not in _ROPE_KEYS:
        raise InvalidInput(
            f"{path}: rotary embedding (rope_scaling, rope_parameters) of type {kind!r}; the local engine runs "
            f"{', '.join(_ROPE_KEYS)}. {_OTHERWISE}"
        )
    known = _ROPE_KEYS[kind] | {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
    unknown = [key for key, value in given.items() if key not in known and value is not None]
    if unknown or given.get("partial_rotary_factor", 1.0) != 1.0:
        name = unknown[0] if unknown else "partial_rotary_factor"
        raise InvalidInput(
            f"{path}: {name} is {given[name]!r} in a rotary embedding of type {kind!r}, which the local engine does "
            f"not implement. {_OTHERWISE}"
        )
    if kind == "default":
        width = shape.head_width
        return 1.0 / (float(given["rope_theta"]) ** (torch.arange(0, width, 2).float() / width)), 1.0
    try:
        rates, amplitude = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InvalidInput(
            f"{path}: a rotary embedding of type {kind!r} cannot be computed from {given}: {type(error).__name__}: "
            f"{error}. Mend rope_scaling or rope_parameters."
        ) from None
    return rates.float(), float(amplitude)


def _windows(path: Path, config: Any) -> tuple[int | None, ...]:
    window: int | None = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return (window,) * int(config.num_hidden_layers)
    if len(kinds) != config.num_hidden_layers or set(kinds) - {"full_attention", "sliding_attention"}:
        raise InvalidInput(
            f"{path}: layer_types is {kinds}; give full_attention or sliding_attention for each of the "
            f"{config.num_hidden_layers} layers. {_OTHERWISE}"
        )
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)


def _biased(config: Any) -> frozenset[str]:
    """Name the fused products with biases, as transformers' model of the family builds them."""
    found: set[str] = set()
    if config.model_type == "qwen2":
        found.add("qkv")
    if getattr(config, "attention_bias", False):
        found |= {"qkv", "o"}
    if getattr(config, "mlp_bias", False):
        found |= {"gate_up", "down"}
    return frozenset(found)
