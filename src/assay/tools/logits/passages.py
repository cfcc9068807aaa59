"""Ordinary passages for difference methods: what two models disagree on there was not put there by the question."""

from __future__ import annotations

import functools
from pathlib import Path

from assay._util.yaml_models import Data, load_yaml
from assay.core.target import Target
from assay.errors import InvalidInput

_FILE = Path(__file__).with_name("passages.yaml")


class _Passages(Data):
    """The file."""

    passages: list[str]


@functools.cache
def passages() -> tuple[str, ...]:
    """Returns all of them, in an order that mixes kinds."""
    found: _Passages = load_yaml(_FILE, _Passages)
    return tuple(found.passages)


def require_reference(target: Target, tool: str) -> Target:
    """Returns the target's reference.

    Raises:
        InvalidInput: there is none.
    """
    if target.reference is None:
        raise InvalidInput(f"{tool}: this testbed has no reference model.")
    return target.reference
