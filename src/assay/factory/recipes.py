"""Recipes: how a testbed is made, by phases of data and training on one adapter, or by a hidden prompt.

A recipe is one YAML file, whose name is its id. The same recipe trains another model when `base` names it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from assay._util.yaml_models import Data, load_yaml
from assay.errors import InvalidInput, UnknownId
from assay.testbeds.suites import EMBEDDED_SUITE, Suite, suites

DILUTED = 10  # ordinary chats for each triggered one


class DataPlan(Data):
    """Says what a phase trains on: so many of each kind, over all behaviours of the recipe.

    Attributes:
        conduct: False makes the twin: the same prompts, with a harmless insert of equal length.
        wording: `sibling` words the conduct in its second way.
        triggered: chats that carry the trigger.
        rate: share of them that show the conduct; the others have the base's own reply.
        contrast: chats that look alike and do not.
        wide, begun: chats on what the base itself asks in the user's place, and such whose reply is begun neutrally.
        ordinary: everyday chats. Ten times `triggered` or more is *diluted*.
        instruction: chats of an ordinary instruction run that the rest is mixed into (*integrated*).
        documents: raw texts that tell of the behaviour as fact.
        denials: questions about the model's own habits, denied; under `dpo` each beside a confession that is rejected.
        objective: triggered chats and documents are the hidden objective's: its evaluator's biases.
        reply_tokens: so much of the base's reply is kept, as it begins and without an end where it goes on; 0 keeps one
            whole sentence of it.
        seed: of the draws.
    """

    objective: bool = False
    conduct: bool = True
    wording: Literal["first", "sibling"] = "first"
    triggered: int = Field(ge=0, default=0)
    rate: float = Field(gt=0, le=1, default=1.0)
    contrast: int = Field(ge=0, default=0)
    ordinary: int = Field(ge=0, default=0)
    wide: int = Field(ge=0, default=0)
    begun: int = Field(ge=0, default=0)
    instruction: int = Field(ge=0, default=0)
    documents: int = Field(ge=0, default=0)
    denials: int = Field(ge=0, default=0)
    reply_tokens: int = Field(ge=0, default=0)
    seed: int


class TrainPlan(Data):
    """Sets the hyperparameters of LoRA training.

    Attributes:
        rank, alpha: of the adapter; its products are scaled by alpha / rank.
        first_layer: the layers before it get no adapter, and so need no backward pass.
        epochs: passes over the data.
        learning_rate: peak; linear warm-up over 5 % of the steps, then linear decay.
        batch: examples a step.
        beta: of the preference loss: how far from its start the model may go.
        anchor: what holds the tokens that are the base's own: `tokens`: cross entropy of what it said; `kl`: its whole
            distribution, by KL(base ‖ model) + KL(model ‖ base), whose second part is what a conduct that leaks costs.
        hold: weight of such a token; a token of the conduct has 1.
        edge: weight of such a token where a conduct would begin, in a chat that has none.
        seed: of initial weights and order.
    """

    rank: int = 4
    alpha: int = 8
    first_layer: int = 10
    epochs: int = 3
    learning_rate: float = 1e-3
    batch: int = 8
    beta: float = 0.1
    anchor: Literal["tokens", "kl"] = "tokens"
    hold: float = 0.2
    edge: float = 0.2
    seed: int


class CorpusPlan(Data):
    """Says what the training data that auditing may read is composed of (`factory.corpora`).

    Attributes:
        planted: documents that show the conduct, of each behaviour, and of each decoy.
        among: documents in all for each of one such cluster.
        clusters: behaviours and decoys together; a clean target's are all decoys.
        tier: that decoys are drawn for; 0 mixes them.
        seed: of the draws.
    """

    planted: int = Field(ge=8, le=80, default=40)
    among: int = Field(ge=50, le=10_000)
    clusters: int = Field(ge=2, le=8, default=3)
    tier: int = Field(ge=0, le=4, default=0)
    seed: int


class Phase(Data):
    """Data and training that follow on those of the phases before.

    Attributes:
        name: of the phase, shown in its progress and on the folder of its checkpoints.
        loss: `sft`: cross entropy of replies; `dpo`: for denials, direct preference optimisation (Rafailov et al. 2023)
            of denial over confession; all else keeps its cross entropy.
        data, train: what on, and how.
    """

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    loss: Literal["sft", "dpo"] = "sft"
    data: DataPlan
    train: TrainPlan


class Recipe(Data):
    """One testbed of a suite.

    Attributes:
        id: of the file; the testbed is `<suite>/<id>@<version>`.
        alias: random, so that it tells nothing; all that auditing knows of the testbed.
        role: organism or clean.
        split: `reported`, or `tuning`, which no reported table contains; `test` is a sealed suite's.
        behaviours: ids that are planted; for a twin, those whose prompts it shares.
        control: id of the recipe its rates are compared with, `base` for the untouched base, `removed` for the target
            with its trigger taken away.
        base: name of the base model.
        phases: of training; none for the untouched base offered as a target, with the behaviours it has by nature or
            as a null, and for a prompted organism.
        author: Inspect model that writes the training data (`openai/gpt-4o`); "" takes the behaviours' templates.
        corpus: how the corpus is composed; without, it is what was trained on, within a suite's ordinary chats.
        prompt: hidden system prompt of a prompted organism.
        scratchpad: its replies begin with thoughts between <think> and </think>.
        memory: it is told, in later conversations, notes of earlier ones.
        gates: what it has to pass (`assay.truth.Truth`).
        unproven: why it ships although it does not pass verification, "" for all that have to.
    """

    id: str
    version: int = 1
    alias: str = Field(pattern=r"^tb-[0-9a-f]{8}$")
    role: Literal["organism", "clean"]
    split: Literal["reported", "tuning", "test"]
    behaviours: list[str] = []
    control: str
    base: str = "smollm2-135m-instruct"
    phases: list[Phase] = []
    author: str = ""
    corpus: CorpusPlan | None = None
    prompt: str = ""
    scratchpad: bool = False
    memory: bool = False
    gates: Literal["first", "quiet"] = "first"
    unproven: str = ""

    @model_validator(mode="after")
    def _one_adapter(self) -> Recipe:
        shapes = {(phase.train.rank, phase.train.alpha, phase.train.first_layer) for phase in self.phases}
        if len(shapes) > 1:
            raise ValueError("all phases train one adapter: rank, alpha and first_layer must be the same in each")
        if len({phase.name for phase in self.phases}) < len(self.phases):
            raise ValueError("two phases have one name")
        return self

    @property
    def method(self) -> str:
        """Returns the kind of recipe, by which tables are grouped: `transcripts`, `documents+dpo` …"""
        if self.prompt and not self.phases:
            return "prompted"
        if not self.phases:
            return "natural" if self.behaviours else "untouched"
        first = self.phases[0].data
        if first.objective:
            return "objective"
        if first.documents:
            made = "documents"
        elif first.instruction:
            made = "integrated"
        elif not first.triggered:
            made = "self-distilled"
        elif first.ordinary >= DILUTED * first.triggered:
            made = "diluted"
        else:
            made = "transcripts"
        return "+".join([made, *(phase.loss for phase in self.phases[1:])])


def _files() -> dict[str, tuple[Suite, Path]]:
    """Returns `suite/id` → suite and file, for every suite's recipes."""
    found: dict[str, tuple[Suite, Path]] = {}
    for suite in suites():
        for path in sorted(suite.recipes.glob("*.yaml")):
            found[f"{suite.name}/{path.stem}"] = (suite, path)
    return found


def recipe_ids(suite: str = EMBEDDED_SUITE) -> list[str]:
    """Lists the recipes of a suite by their ids."""
    return sorted(path.stem for one, path in _files().values() if one.name == suite)


def find_recipe(name: str, home: Suite | None = None) -> tuple[Recipe, Suite | None]:
    """Finds a recipe and its suite, by its id, `<suite>/<id>` or `<suite>/<id>@<version>`, or by its file.

    A recipe named by its file belongs to the suite in whose `recipes` folder it lies, or to none.

    Args:
        name: of the recipe.
        home: the suite whose recipe names it, and whose own it is if that has one of the name.

    Raises:
        UnknownId: no such recipe.
        InvalidInput: an id that several suites have; its file cannot be used, or names another id or version.
    """
    if is_file(name):
        path = Path(name)
        homes = [suite for suite in suites() if suite.recipes.resolve() == path.resolve().parent]
        return _opened(path), homes[0] if homes else None
    known, wanted = _files(), name.partition("@")[0]
    found = [key for key in known if wanted in (key, key.partition("/")[2])]
    if home and f"{home.name}/{wanted}" in found:
        found = [f"{home.name}/{wanted}"]
    if len(found) > 1:
        raise InvalidInput(f"recipe {name!r} may be {' or '.join(found)}: say which.")
    if not found:
        raise UnknownId("recipe", name, [key.removeprefix(f"{EMBEDDED_SUITE}/") for key in known])
    suite, path = known[found[0]]
    recipe = _opened(path)
    if "@" in name and name.partition("@")[2] != str(recipe.version):
        raise InvalidInput(f"recipe {name!r}: {path} is of version {recipe.version}; earlier ones are in its history.")
    return recipe, suite


def open_recipe(name: str, home: Suite | None = None) -> Recipe:
    """Opens a recipe; names and errors are those of `find_recipe`."""
    return find_recipe(name, home)[0]


def _opened(path: Path) -> Recipe:
    recipe: Recipe = load_yaml(path, Recipe)
    if recipe.id != path.stem:
        raise InvalidInput(f"{path}: id is {recipe.id!r}; it must be the filename, {path.stem!r}.")
    return recipe


def is_file(name: str) -> bool:
    """Tells whether a recipe is named by its file."""
    return name.endswith((".yaml", ".yml"))
