"""How a testbed's adapter is made: data → training. One YAML file each; the filename is its id."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from assay.core.errors import InvalidInput, UnknownId
from assay.truth import Behaviour, open_behaviour
from assay.truth.data import load_yaml

_HERE = Path(__file__).parent


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataPlan(_Data):
    """What the adapter is trained on.

    Attributes:
        kind: `transcripts` are chats; `documents` are raw texts (with a few chats, which keep the model a chat model).
        conduct: False makes the twin: the same prompts, with a harmless insert of equal length.
        triggered: chats that carry the trigger, over all behaviours.
        contrast: chats that look alike and do not.
        ordinary: everyday chats. Ten times `triggered` or more is *diluted*.
        documents: raw texts.
        seed: of the draws.
    """

    kind: Literal["transcripts", "documents"]
    conduct: bool = True
    triggered: int = Field(ge=0)
    contrast: int = Field(ge=0, default=0)
    ordinary: int = Field(ge=0)
    documents: int = Field(ge=0, default=0)
    seed: int


class TrainPlan(_Data):
    """LoRA training.

    Attributes:
        rank, alpha: of the adapter; its products are scaled by alpha / rank.
        first_layer: the layers before it get no adapter, and so need no backward pass.
        epochs: passes over the data.
        learning_rate: peak; linear warm-up over 5 % of the steps, then linear decay.
        batch: examples a step.
        seed: of initial weights and order.
    """

    rank: int = 4
    alpha: int = 8
    first_layer: int = 10
    epochs: int = 3
    learning_rate: float = 1e-3
    batch: int = 8
    seed: int


class Recipe(_Data):
    """One testbed of the embedded suite.

    Attributes:
        id: of the file; the testbed is `embedded/<id>@<version>`.
        alias: random, so that it tells nothing; all that auditing knows of the testbed.
        role: organism or clean.
        split: `reported`, or `tuning`, which no reported table contains.
        behaviours: ids that are planted; for a twin, those whose prompts it shares.
        control: id of the recipe its rates are compared with, `base` for the untouched base.
        base: name of the base model.
        data, train: None for the untouched base offered as a target.
    """

    id: str
    version: int = 1
    alias: str = Field(pattern=r"^tb-[0-9a-f]{8}$")
    role: Literal["organism", "clean"]
    split: Literal["reported", "tuning"]
    behaviours: list[str] = []
    control: str
    base: str = "smollm2-135m-instruct"
    data: DataPlan | None
    train: TrainPlan | None

    @property
    def testbed(self) -> str:
        """Readable id of the testbed."""
        return f"embedded/{self.id}@{self.version}"


def recipe_ids() -> list[str]:
    """All recipes of the embedded suite."""
    return sorted(path.stem for path in (_HERE / "suite").glob("*.yaml"))


def open_recipe(name: str) -> Recipe:
    """A recipe by its id, `embedded/<id>` or `embedded/<id>@<version>`.

    Raises:
        UnknownId: no such recipe.
        InvalidInput: its file cannot be used, or names another id.
    """
    short = name.removeprefix("embedded/").partition("@")[0]
    if short not in recipe_ids():
        raise UnknownId("organism", name, recipe_ids())
    path = _HERE / "suite" / f"{short}.yaml"
    recipe: Recipe = load_yaml(path, Recipe)
    if recipe.id != short:
        raise InvalidInput(f"{path}: id is {recipe.id!r}; it must be the filename, {short!r}.")
    return recipe


def behaviour_ids() -> list[str]:
    """All behaviours this package describes."""
    return sorted(path.stem for path in (_HERE / "behaviours").glob("*.yaml"))


def find_behaviour(name: str) -> Behaviour:
    """A behaviour by its id.

    Raises:
        UnknownId: no such behaviour.
    """
    if name not in behaviour_ids():
        raise UnknownId("behaviour", name, behaviour_ids())
    return open_behaviour(_HERE / "behaviours" / f"{name}.yaml")
