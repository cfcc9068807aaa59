"""Keys of a checkpoint's configurations: those that are implemented, those that change nothing here, and no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import InvalidInput

SILU, GELU_TANH = "silu", "gelu_pytorch_tanh"
OTHERWISE = "Serve the model with vLLM and name that engine: vllm:http://HOST:PORT."


@dataclass(frozen=True, slots=True)
class Family:
    """What checkpoints of one `model_type` compute, whatever their settings say.

    Attributes:
        model: transformers' class.
        activation: of the gate within the MLP.
        head_norms: queries and keys are normalised, head by head.
        gemma: as all Gemmas do from the second on, the embedding is scaled, norms multiply by one more than what is
            stored, and a branch is normalised once more before the residual stream takes it.
        rotary_by_kind: layers of each kind of attention have a rotary embedding of their own.
    """

    model: str
    activation: str = SILU
    head_norms: bool = False
    gemma: bool = False
    rotary_by_kind: bool = False


_FAMILIES = {
    "llama": Family("LlamaForCausalLM"),
    "mistral": Family("MistralForCausalLM"),
    "qwen2": Family("Qwen2ForCausalLM"),
    "qwen3": Family("Qwen3ForCausalLM", head_norms=True),
    "gemma2": Family("Gemma2ForCausalLM", GELU_TANH, gemma=True),
    "gemma3_text": Family("Gemma3ForCausalLM", GELU_TANH, head_norms=True, gemma=True, rotary_by_kind=True),
}
_IMPLEMENTED = frozenset({
    "model_type", "architectures", "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads",
    "num_key_value_heads", "head_dim", "rms_norm_eps", "hidden_act", "vocab_size", "rope_theta", "rope_scaling",
    "rope_parameters", "tie_word_embeddings", "eos_token_id", "max_position_embeddings",
})  # fmt: skip
_OF_FAMILIES = {  # implemented for families alone whose models heed them
    "attention_bias": ("llama", "qwen3", "gemma2", "gemma3_text"),
    "mlp_bias": ("llama",),
    "sliding_window": ("mistral", "qwen2", "qwen3", "gemma2", "gemma3_text"),
    "use_sliding_window": ("qwen2", "qwen3"),
    "max_window_layers": ("qwen2", "qwen3"),
    "layer_types": ("qwen2", "qwen3", "gemma2", "gemma3_text"),
    "query_pre_attn_scalar": ("gemma2", "gemma3_text"),
    "final_logit_softcapping": ("gemma2", "gemma3_text"),
    "attn_logit_softcapping": ("gemma2",),  # transformers reads it of Gemma 3, too, and does not heed it
    "hidden_activation": ("gemma2", "gemma3_text"),
    "sliding_window_size": ("gemma2",),
    "sliding_window_pattern": ("gemma3_text",),
    "_sliding_window_pattern": ("gemma3_text",),  # as transformers writes it, beside the layer_types it made of it
    "rope_local_base_freq": ("gemma3_text",),
}
_FIXED: dict[str, Any] = {  # implemented for one value alone
    "rope_interleaved": False,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "partial_rotary_factor": 1.0,
    "use_bidirectional_attention": False,
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
        "cache_implementation",
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


def require_model_keys(path: Path, raw: Mapping[str, Any]) -> Family:
    """Look at every key of a model's configuration.

    Args:
        path: of the file, for errors.
        raw: what it says.

    Returns:
        Its family.

    Raises:
        InvalidInput: a key, or its value, is not implemented, which the message names.
    """
    kind = raw.get("model_type")
    family = _FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise InvalidInput(
            f"{path}: model_type is {kind!r}; the local engine runs {', '.join(sorted(_FAMILIES))}. {OTHERWISE}"
        )
    if raw.get("architectures") not in (None, [], [family.model]):
        raise InvalidInput(
            f"{path}: architectures is {raw['architectures']}; the local engine runs {family.model}. {OTHERWISE}"
        )
    fixed = _FIXED | {"hidden_act": family.activation, "hidden_activation": family.activation}
    # another name of the window, which transformers passes over: it may stand there if it says the same
    fixed["sliding_window_size"] = raw.get("sliding_window")
    own = {key for key, families in _OF_FAMILIES.items() if kind in families or raw.get(key) is False}
    _require_known(path, raw, _IMPLEMENTED | own | _FIXED.keys(), _IRRELEVANT)
    for key, value in fixed.items():
        if key in raw and raw[key] is not None and raw[key] != value:
            raise InvalidInput(f"{path}: {key} is {raw[key]!r}; the local engine runs {value!r}. {OTHERWISE}")
    return family


def require_generation_keys(path: Path, raw: Mapping[str, Any]) -> None:
    """Look at every key of `generation_config.json`.

    Raises:
        InvalidInput: one of them is not implemented, which the message names.
    """
    _require_known(path, raw, {"eos_token_id"}, _GENERATION_IRRELEVANT)


def _require_known(
    path: Path, raw: Mapping[str, Any], implemented: Iterable[str], irrelevant: Mapping[str, tuple[str, ...]]
) -> None:
    """Refuse keys that are on no list. What is null, or an empty list or object, is not set."""
    known = set(implemented).union(*irrelevant.values())
    unknown = [key for key, value in raw.items() if key not in known and value not in (None, [], {})]
    if unknown:
        raise InvalidInput(
            f"{path}: {unknown[0]} is {raw[unknown[0]]!r}, which the local engine does not implement. {OTHERWISE} Or "
            f"remove the key, if it changes neither logits nor ends of turns."
        )
