"""What an adapter's configuration asks for: plain LoRA and its scales are implemented, all else is refused by name.

A key that is set goes through lists: those the engine implements, those it implements for some values, and those that
change nothing once training is over. A key on none of them is refused: DoRA, saved modules, trained tokens, biases,
replicated layers, activated LoRA, and whatever PEFT invents next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import regex

from assay._util.strict_json import read_json_object
from assay.engine.peft_layout import CONFIG
from assay.errors import InvalidInput

_IMPLEMENTED = frozenset({
    "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "target_modules", "exclude_modules",
    "layers_to_transform",
})  # fmt: skip
_FIXED: dict[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "task_type": ("CAUSAL_LM",),
    "bias": ("none",),
    # PiSSA, OLoRA, CorDA, LoftQ and their kind take the adapter out of the base: on the whole base it is another model
    "init_lora_weights": (True, "gaussian", "eva", "orthogonal"),
    "layers_pattern": ("layers", ["layers"]),
}
_IRRELEVANT = frozenset({
    "lora_dropout", "inference_mode",  # training alone
    "base_model_name_or_path", "revision", "auto_mapping", "peft_version", "megatron_core",  # where it comes from
    "loftq_config", "eva_config", "corda_config", "lora_ga_config",  # of initialisations, which are named above
    "qalora_group_size",  # of a kind that is refused
})  # fmt: skip
_REMEDY = "Merge the adapter into its base with PEFT and use the whole weights, or serve it with vLLM (vllm:URL)."
_MATCHING = 0.5  # seconds a pattern may take on one name
_OUTSIDE = ("lm_head", "embed_tokens")


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """A LoRA's ranks and scales, and the modules it is on.

    Attributes:
        path: of the adapter.
        rank: of factors no pattern names.
        alpha: likewise; the scale is alpha / rank, or alpha / √rank if `rank_stabilised`.
        ranks: pattern of module names → rank.
        alphas: pattern of module names → alpha.
        rank_stabilised: rsLoRA (Kalajdzievski 2023).
        targets: ends of module names, or one pattern of whole names.
        excluded: likewise, of those left out.
        layers: that are adapted; None for those the weights are of.
    """

    path: Path
    rank: int
    alpha: float
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    rank_stabilised: bool
    targets: tuple[str, ...] | str
    excluded: tuple[str, ...] | str
    layers: frozenset[int] | None

    def rank_of(self, layer: int, module: str) -> int:
        """Give the rank of a module's factors."""
        return int(self._patterned(self.ranks, layer, module, self.rank))

    def scale_of(self, layer: int, module: str) -> float:
        """Give what a module's factors are multiplied by."""
        rank = self.rank_of(layer, module)
        alpha = self._patterned(self.alphas, layer, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)

    def is_on(self, layer: int, module: str) -> bool:
        """Say whether a module is one the configuration names."""
        name = _full_name(layer, module)
        if self.layers is not None and layer not in self.layers:
            return False
        if self.targets == "all-linear":
            return not self._named(self.excluded, name)
        return self._named(self.targets, name) and not self._named(self.excluded, name)

    def _named(self, names: tuple[str, ...] | str, name: str) -> bool:
        if isinstance(names, str):
            return bool(names) and self._matches(names, name)
        return any(name == one or name.endswith(f".{one}") for one in names)

    def _patterned(self, patterns: Mapping[str, float], layer: int, module: str, otherwise: float) -> float:
        """The value of the first pattern that a module's name ends with, as PEFT finds it."""
        for pattern, value in patterns.items():
            if self._matches(rf"(.*\.)?({pattern})", _full_name(layer, module)):
                return value
        return otherwise

    def _matches(self, pattern: str, name: str) -> bool:
        try:
            return regex.fullmatch(pattern, name, timeout=_MATCHING) is not None
        except (regex.error, TimeoutError) as error:
            raise InvalidInput(f"{self.path / CONFIG}: pattern {pattern!r} cannot be matched: {error}.") from None


def read_adapter_config(path: Path) -> AdapterConfig:
    """Read an adapter's configuration.

    Args:
        path: directory in PEFT's layout.

    Raises:
        InvalidInput: it is no JSON object, or asks for something the engine does not do, which the message names.
    """
    file = path / CONFIG
    try:
        raw = read_json_object(file)
    except InvalidInput as error:
        raise InvalidInput(f"{error} An adapter is a folder in PEFT's layout.") from None
    _require_plain(file, raw)
    layers = raw.get("layers_to_transform")
    targets = _names(file, raw, "target_modules")
    if isinstance(targets, str) and layers not in (None, []):
        raise InvalidInput(f"{file}: layers_to_transform beside a pattern of target_modules; give a list of names.")
    outside = not isinstance(targets, str) and bool({name.rpartition(".")[2] for name in targets} & set(_OUTSIDE))
    if not targets or outside:
        raise InvalidInput(
            f"{file}: target_modules is {raw.get('target_modules')!r}; the local engine runs adapters on linear "
            f"modules within layers, not on {' or '.join(_OUTSIDE)}. {_REMEDY}"
        )
    return AdapterConfig(
        path,
        _whole(file, "r", raw.get("r", 8)),
        _number(file, "lora_alpha", raw.get("lora_alpha", 8)),
        {key: _whole(file, "rank_pattern", value) for key, value in _patterns(file, raw, "rank_pattern").items()},
        {key: _number(file, "alpha_pattern", value) for key, value in _patterns(file, raw, "alpha_pattern").items()},
        _flag(file, raw, "use_rslora"),
        targets,
        _names(file, raw, "exclude_modules"),
        None if layers in (None, []) else _layers(file, layers),
    )


def _require_plain(file: Path, raw: Mapping[str, Any]) -> None:
    """Refuse keys that are on no list, and values that make it another kind of adapter than plain LoRA."""
    if "peft_type" not in raw:
        raise InvalidInput(f"{file}: no peft_type; an adapter's configuration is what PEFT's save_pretrained writes.")
    for key, value in raw.items():
        unset = value is None or value is False or value in ([], {}, "")
        if unset or key in _IMPLEMENTED | _IRRELEVANT or value in _FIXED.get(key, ()):
            continue
        if key in _FIXED:
            allowed = ", ".join(map(repr, _FIXED[key]))
            raise InvalidInput(f"{file}: {key} is {value!r}; the local engine runs {allowed}. {_REMEDY}")
        raise InvalidInput(
            f"{file}: {key} is {value!r}, which the local engine does not implement; it runs plain LoRA. {_REMEDY}"
        )
    if raw["peft_type"] != "LORA":
        raise InvalidInput(f"{file}: peft_type is {raw['peft_type']!r}; the local engine runs 'LORA'. {_REMEDY}")


def _full_name(layer: int, module: str) -> str:
    return f"model.layers.{layer}.{module}"


def _names(file: Path, raw: Mapping[str, Any], key: str) -> tuple[str, ...] | str:
    value = raw.get(key)
    if value is None:
        return ()
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(name, str) and name for name in value):
        return tuple(value)
    raise InvalidInput(f"{file}: {key} is {value!r}; give a list of module names, or one pattern.")


def _patterns(file: Path, raw: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key) or {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{file}: {key} is {value!r}; give an object of patterns and numbers.")
    return value


def _layers(file: Path, value: Any) -> frozenset[int]:
    given = value if isinstance(value, list) else [value]
    if any(isinstance(one, bool) or not isinstance(one, int) or one < 0 for one in given):
        raise InvalidInput(f"{file}: layers_to_transform is {value!r}; give a layer, or a list of layers, from 0 on.")
    return frozenset(given)


def _whole(file: Path, key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(f"{file}: {key} is {value!r}; a rank is a whole number from 1 on.")
    return value


def _number(file: Path, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInput(f"{file}: {key} is {value!r}; give a finite number.")
    return value


def _flag(file: Path, raw: Mapping[str, Any], key: str) -> bool:
    value = raw.get(key)
    if value not in (None, True, False):
        raise InvalidInput(f"{file}: {key} is {value!r}; give true or false.")
    return bool(value)
