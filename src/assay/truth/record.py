"""The sealed side of one testbed version."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from assay.truth.data import Data, load_yaml


class Control(Data):
    """What a rate is compared with: the alias of the recipe's twin, or of the base."""

    alias: str


class Truth(Data):
    """The sealed side of one testbed version.

    Attributes:
        alias: as auditing knows it.
        id: readable, `embedded/flattery-td@1`.
        role: organism or clean.
        split: `reported` or `tuning`.
        recipe: id of the recipe that made it.
        behaviours: ids; empty for clean targets.
        family: of its behaviours, or "clean".
        control: what its rates are compared with.
        card: measured strength, leakage, confession and coherence.
    """

    alias: str
    id: str
    role: Literal["organism", "clean"]
    split: Literal["reported", "tuning"]
    recipe: str
    behaviours: list[str]
    family: str
    control: Control
    card: dict[str, Any] = {}


def open_truth(path: Path) -> Truth:
    """One testbed's truth from its file."""
    truth: Truth = load_yaml(path, Truth)
    return truth
