"""The sealed side of one testbed version."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_serializer, field_validator

from assay._util.yaml_models import Data, load_yaml
from assay.core.testbed import ALIAS
from assay.truth.card import Card, Difficulty

REMOVED = "removed"  # the control is the target itself with the trigger taken away
TESTBED_ID = r"^[a-z0-9][a-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*@[1-9][0-9]{0,5}$"  # suite/name@version
_CONTROL = rf"{ALIAS}|^(base|{REMOVED})$"


class Control(Data):
    """What a rate is compared with: the alias of the recipe's twin, `base`, or `removed`."""

    alias: str = Field(pattern=_CONTROL)


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
        gates: what it has to pass: `first`: strength, leakage, coherence; `quiet`: all that `Quiet` measures as well.
        unproven: why it ships although it does not pass verification, "" for all that have to.
        build_seconds: what building it took.
        card: what was measured of it; None before that. A file says {} for none.
        difficulty: how it stood the audits of each auditor and kit.
    """

    alias: str = Field(pattern=ALIAS)
    id: str = Field(pattern=TESTBED_ID)
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
    gates: Literal["first", "quiet"] = "first"
    unproven: str = ""
    build_seconds: float = 0.0
    card: Card | None = None
    difficulty: list[Difficulty] = []

    @field_validator("card", mode="before")
    @classmethod
    def _none_if_empty(cls, card: Any) -> Any:
        # Made here: a file is read by JSON's strict rules, by which what a validator has seen is no JSON any more.
        return Card.model_validate(card) if card else None

    @field_serializer("card")
    def _empty_if_none(self, card: Card | None) -> dict[str, Any]:
        return card.model_dump() if card else {}


def open_truth(path: Path) -> Truth:
    """One testbed's truth from its file."""
    truth: Truth = load_yaml(path, Truth)
    return truth
