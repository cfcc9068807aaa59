"""Defines what a testbed grants and a tool needs: a set of flags, only partly ordered."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from assay.errors import UnknownId


class Access(StrEnum):
    """One kind of access to a target."""

    CHAT = "CHAT"
    SAMPLING = "SAMPLING"  # system prompt, prefill, raw text, user turns, temperature, n
    LOGITS = "LOGITS"
    ACTIVATIONS_READ = "ACTIVATIONS_READ"
    ACTIVATIONS_WRITE = "ACTIVATIONS_WRITE"
    GRADIENTS = "GRADIENTS"
    WEIGHTS = "WEIGHTS"
    REFERENCE = "REFERENCE"  # a base or earlier checkpoint
    TRAINING_DATA = "TRAINING_DATA"
    AUX_MODEL = "AUX_MODEL"


_API = frozenset({Access.CHAT, Access.SAMPLING})
_GREY = _API | {Access.LOGITS}
_WHITE = _GREY | {Access.ACTIVATIONS_READ, Access.ACTIVATIONS_WRITE, Access.GRADIENTS, Access.WEIGHTS}

# Effects are reported per preset, so that a tool which needs a reference is never ranked against one that does not.
PRESETS: dict[str, frozenset[Access]] = {
    "api": _API,
    "grey": _GREY,
    "white": _WHITE,
    "full": _WHITE | {Access.REFERENCE, Access.TRAINING_DATA},
}


def parse_access(names: Iterable[str]) -> frozenset[Access]:
    """Reads flags from flag and preset names.

    Raises:
        UnknownId: a name is neither a flag nor a preset.
    """
    flags: set[Access] = set()
    for name in names:
        if name in PRESETS:
            flags |= PRESETS[name]
        elif name in Access.__members__:
            flags.add(Access[name])
        else:
            raise UnknownId("access flag or preset", name, [*Access.__members__, *PRESETS])
    return frozenset(flags)
