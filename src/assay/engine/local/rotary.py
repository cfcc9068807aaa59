"""What the settings of a checkpoint say of its rotary embeddings: one for all layers, or one a kind of attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from assay.engine.local.settings import OTHERWISE
from assay.errors import InvalidInput

_ROPE_KEYS = {  # type of rotary embedding → what it is computed from, beside the base
    "default": frozenset[str](),
    "linear": frozenset({"factor"}),
    "llama3": frozenset({"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}),
    "yarn": frozenset({
        "factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale",
        "mscale_all_dim", "truncate",
    }),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Rotary:
    """How positions turn queries and keys.

    Attributes:
        rates: (head width / 2,) radians a position turns each pair of a head's entries by.
        amplitude: cosines and sines are multiplied by it.
    """

    rates: torch.Tensor
    amplitude: float


def read_rotaries(path: Path, config: Any, head_width: int, by_kind: bool) -> tuple[Rotary, ...]:
    """Rotary embedding of each layer; layers that share one hold the same object.

    Args:
        path: of the file, for errors.
        config: transformers' configuration of it.
        head_width: of the model.
        by_kind: `rope_parameters` speaks of each kind of layer for itself.

    Raises:
        InvalidInput: it asks for something the engine does not do, which the message names.
    """
    given = dict(config.rope_parameters)
    if not by_kind:
        return (_rotary(path, config, given, head_width, {}),) * int(config.num_hidden_layers)
    kinds = set(config.layer_types)
    for key, value in given.items():
        # transformers passes over what it does not know here, such as a base that is said for all kinds at once
        if key not in ("full_attention", "sliding_attention") or not isinstance(value, Mapping):
            raise InvalidInput(
                f"{path}: {key} is {value!r} in rope_parameters; give the rotary embedding of full_attention and that "
                f"of sliding_attention. {OTHERWISE}"
            )
    of = {kind: _rotary(path, config, dict(given[kind]), head_width, {"layer_type": kind}) for kind in sorted(kinds)}
    return tuple(of[kind] for kind in config.layer_types)


def _rotary(path: Path, config: Any, given: dict[str, Any], head_width: int, which: dict[str, str]) -> Rotary:
    """One rotary embedding; scaled ones as transformers computes them, `which` says of what layers."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    kind = given.get("rope_type", "default")
    if kind not in _ROPE_KEYS:
        raise InvalidInput(
            f"{path}: rotary embedding (rope_scaling, rope_parameters) of type {kind!r}; the local engine runs "
            f"{', '.join(_ROPE_KEYS)}. {OTHERWISE}"
        )
    known = _ROPE_KEYS[kind] | {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
    unknown = [key for key, value in given.items() if key not in known and value is not None]
    if unknown or given.get("partial_rotary_factor", 1.0) != 1.0:
        name = unknown[0] if unknown else "partial_rotary_factor"
        raise InvalidInput(
            f"{path}: {name} is {given[name]!r} in a rotary embedding of type {kind!r}, which the local engine does "
            f"not implement. {OTHERWISE}"
        )
    if kind == "default":
        steps = torch.arange(0, head_width, 2).float() / head_width
        return Rotary(1.0 / (float(given["rope_theta"]) ** steps), 1.0)
    try:
        rates, amplitude = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"), **which)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InvalidInput(
            f"{path}: a rotary embedding of type {kind!r} cannot be computed from {given}: {type(error).__name__}: "
            f"{error}. Mend rope_scaling or rope_parameters."
        ) from None
    return Rotary(rates.float(), float(amplitude))
