"""Behaviours by name: those this package can plant, and issues the untouched base has by itself."""

from __future__ import annotations

from pathlib import Path

from assay.errors import UnknownId
from assay.truth import Behaviour, open_behaviour

_FACTORY = Path(__file__).parents[1] / "factory"
_PLANTED, _NATURAL = _FACTORY / "behaviours", _FACTORY / "natural"


def behaviour_ids() -> list[str]:
    """All behaviours that this package can plant."""
    return sorted(path.stem for path in (_PLANTED).glob("*.yaml"))


def natural_ids() -> list[str]:
    """Issues that the untouched base has by itself."""
    return sorted(path.stem for path in (_NATURAL).glob("*.yaml"))


def find_behaviour(name: str) -> Behaviour:
    """A behaviour by its id.

    Raises:
        UnknownId: no such behaviour.
    """
    if name in natural_ids():
        return open_behaviour(_NATURAL / f"{name}.yaml")
    if name not in behaviour_ids():
        raise UnknownId("behaviour", name, [*behaviour_ids(), *natural_ids()])
    return open_behaviour(_PLANTED / f"{name}.yaml")
