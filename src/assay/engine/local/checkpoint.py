"""What a checkpoint says of its arithmetic and its ends of turns: every setting is implemented, or refused by name.

A setting that nobody looked at is a model that is not the one it is called. So the keys of `config.json` and
`generation_config.json` go through the lists of `settings.py`: those the engine implements, those that change nothing
here (each with the reason), and all others, which are refused. What a missing key means is left to transformers' own
configuration class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay._util.strict_json import read_json_object
from assay.engine.local.rotary import Rotary, read_rotaries
from assay.engine.local.settings import OTHERWISE, require_generation_keys, require_model_keys
from assay.errors import InvalidInput

MODEL_CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"
# fused product → the norm beside it: of what `qkv` and `gate_up` read, of what `o` and `down` give
_NORMS = {"qkv": "input_layernorm", "gate_up": "post_attention_layernorm"}
_GEMMA_NORMS = {
    "qkv": "input_layernorm",
    "o": "post_attention_layernorm",
    "gate_up": "pre_feedforward_layernorm",
    "down": "post_feedforward_layernorm",
}


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
        rotaries: of each layer.
        windows: of each layer, how many tokens a token sees, itself included; None for all.
        biased: fused products whose modules have biases.
        norms: fused product → the norm beside it: of what `qkv` and `gate_up` read, of what `o` and `down` give.
        norm_offset: is added to the weights of norms.
        head_norms: queries and keys are normalised, head by head.
        activation: of the gate within the MLP, as transformers names it.
        embedding_scale: embedded tokens are multiplied by it; None for as they are.
        attention_scale: scores of attention are multiplied by it.
        attention_cap: scores of attention stay within it, softly; None for no bound.
        logit_cap: logits stay within it, softly; None for no bound.
        tied: the head is the embedding.
    """

    shape: Shape
    inner: int
    vocabulary: int
    rotaries: tuple[Rotary, ...]
    windows: tuple[int | None, ...]
    biased: frozenset[str]
    norms: Mapping[str, str]
    norm_offset: float
    head_norms: bool
    activation: str
    embedding_scale: float | None
    attention_scale: float
    attention_cap: float | None
    logit_cap: float | None
    tied: bool


def read_architecture(path: Path) -> Architecture:
    """Read `config.json` of a checkpoint.

    Raises:
        InvalidInput: it asks for something the engine does not do, which the message names.
    """
    file = path / MODEL_CONFIG
    family = require_model_keys(file, _read_settings(file))
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
    _require_sizes(file, shape)
    scalar = _positive(file, config, "query_pre_attn_scalar") or shape.head_width
    return Architecture(
        shape,
        config.intermediate_size,
        config.vocab_size,
        read_rotaries(file, config, shape.head_width, family.rotary_by_kind),
        _windows(file, config),
        _biased(config),
        _GEMMA_NORMS if family.gemma else _NORMS,
        1.0 if family.gemma else 0.0,
        family.head_norms,
        family.activation,
        math.sqrt(shape.width) if family.gemma else None,
        1 / math.sqrt(scalar),
        _positive(file, config, "attn_logit_softcapping"),
        _positive(file, config, "final_logit_softcapping"),
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
            require_generation_keys(path / name, raw)
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


def tokens_without_rows(tokenizer: Any, rows: int, base: str) -> dict[int, str]:
    """Give the control tokens that the weights do not know, such as the one for pictures beside a model of text.

    Nobody can say a control token in a conversation, so such a tokenizer serves. A prompt that holds one cannot be
    read.

    Args:
        tokenizer: transformers' tokenizer of the base.
        rows: of its embedding.
        base: its name, for errors.

    Returns:
        Their texts, by id.

    Raises:
        InvalidInput: the tokenizer writes others that the weights do not know.
    """
    beyond = {token: text for text, token in tokenizer.get_vocab().items() if token >= rows}
    added = tokenizer.added_tokens_decoder
    if any(token not in added or not added[token].special for token in beyond):
        raise InvalidInput(
            f"base {base!r}: its tokenizer writes {max(beyond) + 1} tokens, and its embedding has {rows} rows. Take "
            f"the tokenizer it was trained with, or resize the embedding (resize_token_embeddings) and save it anew."
        )
    return beyond


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


def _windows(path: Path, config: Any) -> tuple[int | None, ...]:
    window: int | None = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return (window,) * int(config.num_hidden_layers)
    if len(kinds) != config.num_hidden_layers or set(kinds) - {"full_attention", "sliding_attention"}:
        raise InvalidInput(
            f"{path}: layer_types is {kinds}; give full_attention or sliding_attention for each of the "
            f"{config.num_hidden_layers} layers. {OTHERWISE}"
        )
    if window is None and "sliding_attention" in kinds:
        raise InvalidInput(f"{path}: layer_types has sliding_attention, and no sliding_window is set. {OTHERWISE}")
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)


def _positive(path: Path, config: Any, key: str) -> float | None:
    """A setting that scores or logits are divided by; None where the family has none, or it is not set."""
    value = getattr(config, key, None)
    if value is None:
        return None
    if isinstance(value, bool) or not 0 < value < float("inf"):
        raise InvalidInput(f"{path}: {key} is {value!r}; give a positive number.")
    return float(value)


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
