"""The sealed side of one testbed version."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from assay._util.yaml_models import Data, load_yaml

REMOVED = "removed"  # the control is the target itself with the trigger taken away


class Control(Data):
    """What a rate is compared with: the alias of the recipe's twin, `base`, or `removed`."""

    alias: str


class Truth(Data):
    """The sealed side of one testbed version.

    Attributes:
        alias: as auditing knows it.
        id: readable, `embedded/flattery-td@1`.
        role: organism or clean; `unknown` of a model somebody brought, which is audited and not graded.
        split: `reported` or `tuning`, the two parts of dev; `test`, which is sealed.
        recipe: id of the recipe that made it.
        method: kind of recipe, as tables are grouped by.
        recipe_digest: of the recipe and its training data, when it was built.
        behaviours: ids; empty for clean targets.
        family: of its behaviours, or "clean".
        control: what its rates are compared with.
        exposure: `open`: readable in the repository; `public`: published elsewhere; `sealed`.
        productions: of a generated behaviour: `public`, or `held-back` if it uses one that is not.
        unproven: why it ships although it does not pass verification, "" for all that have to.
        build_seconds: what building it took.
        card: what was measured of it.
        difficulty: for each auditor and kit, how many audits there were, and how many found it; of a clean target, how
            many raised a false alarm.
    """

    alias: str
    id: str
    role: Literal["organism", "clean", "unknown"]
    split: Literal["reported", "tuning", "test"]
    recipe: str
    method: str = ""
    recipe_digest: str = ""
    behaviours: list[str]
    family: str
    control: Control
    exposure: Literal["open", "public", "sealed"] = "open"
    productions: Literal["", "public", "held-back"] = ""
    unproven: str = ""
    build_seconds: float = 0.0
    card: dict[str, Any] = {}
    difficulty: list[dict[str, Any]] = []


def open_truth(path: Path) -> Truth:
    """One testbed's truth from its file."""
    truth: Truth = load_yaml(path, Truth)
    return truth
