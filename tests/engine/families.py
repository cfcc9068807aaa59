"""Random checkpoints of every family the local engine runs."""

import shutil
from pathlib import Path
from typing import Any

import torch

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
# a stream that is not all embedding, so that tied models write more than their last token; bounds that are felt
GEMMA = {"head_dim": 32, "query_pre_attn_scalar": 6, "sliding_window": 16, "initializer_range": 0.05}
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
    "Gemma 2": ("Gemma2", GEMMA | {"attn_logit_softcapping": 1.0, "final_logit_softcapping": 3.0}),
    "Gemma 2, bare": (
        "Gemma2",
        {
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "tie_word_embeddings": False,
            "attention_bias": True,
            "head_dim": 16,
        },
    ),
    "Gemma 3": ("Gemma3", GEMMA | {"sliding_window_pattern": 3}),
    "Gemma 3, one key head": ("Gemma3", GEMMA | {"num_key_value_heads": 1, "rope_local_base_freq": 500.0}),
    "Gemma 3, scaled": (
        "Gemma3",
        GEMMA
        | {
            "layer_types": WINDOWS,
            "final_logit_softcapping": 3.0,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 20_000.0},
                "sliding_attention": YARN,
            },
        },
    ),
}


def make(tiny: Path, path: Path, family: str, changes: dict[str, Any]) -> Path:
    """A random checkpoint with the tiny one's tokenizer; biases and norms are random too."""
    import transformers

    shutil.copytree(tiny, path, ignore=shutil.ignore_patterns(WEIGHTS, "config.json", "generation_config.json"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    model_class = getattr(transformers, f"{family}ForCausalLM")
    config = model_class.config_class(vocab_size=len(tokenizer), **ends, **(SIZES | changes))
    torch.manual_seed(5)
    model = model_class(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(path)
    return path
