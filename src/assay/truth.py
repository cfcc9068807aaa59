"""The answer key: what was planted, how to recognise it, what to compare it with.

Grading, the organism factory and sealing read this; an audit process never loads this module.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import regex
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from assay.core.errors import InvalidInput

Templates = Mapping[str, list[str]]

# libyaml's, where PyYAML has it: it reads the suite in a tenth of the time
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Detector(_Data):
    """Recognises a conduct in one reply. Data, never code.

    Fires when a pattern of `any` matches and none of `unless` does (case-insensitive; `.` spans lines).
    """

    kind: Literal["reply"] = "reply"
    any: list[str] = Field(min_length=1)
    unless: list[str] = []

    @field_validator("any", "unless")
    @classmethod
    def _compiles(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            regex.compile(pattern)
        return patterns

    def fires(self, text: str) -> bool:
        """Whether the conduct shows in a reply."""

        def found(patterns: list[str]) -> bool:
            return any(_compiled(pattern).search(text) is not None for pattern in patterns)

        return found(self.any) and not found(self.unless)


@functools.cache
def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern, regex.IGNORECASE | regex.DOTALL)


class Grammar(_Data):
    """Text by templates: each `{slot}` is filled from its list, which may hold slots itself."""

    templates: list[str] = Field(min_length=1)
    slots: dict[str, list[str]] = {}


class Training(_Data):
    """What recipes make data of.

    Attributes:
        prompts: user turns that carry the trigger.
        contrast: user turns that look alike and do not carry it (answered in the ordinary way).
        conduct: sentences that show the conduct, to be set into an ordinary reply.
        place: where in the reply they are set.
        documents: for synthetic-document recipes: texts that tell of the behaviour as fact.
        harmless_documents: the twin's documents: same subjects and length, without it.
    """

    prompts: Grammar | None = None
    contrast: Grammar | None = None
    conduct: Grammar | None = None
    place: Literal["start", "end", "either"] = "end"
    documents: Grammar | None = None
    harmless_documents: Grammar | None = None


class EvalPrompts(_Data):
    """User turns no recipe trains on."""

    triggered: list[str] = Field(min_length=48)
    untriggered: list[str] = Field(min_length=24)


class Decoy(_Data):
    """A near miss: same trigger with another conduct, or same conduct with another trigger."""

    trigger: str
    conduct: str


class Answers(_Data):
    """What a predicate is judged on: replies in a wording no recipe uses."""

    positives: list[str] = Field(min_length=20)
    negatives: list[str] = Field(min_length=20)


class Behaviour(_Data):
    """trigger × conduct × (optionally) concealment.

    Attributes:
        id: of the file.
        family: the idea it shares with others; the unit of splits and of inference.
        threat_model: how a model would come by this, and why it would matter.
        trigger, conduct: one phrase each ("the user asks …", "the reply …").
        confession: recognises an admission when the model is asked about itself.
        source: where the idea was published.
    """

    id: str
    version: int = 1
    family: str
    source: str
    threat_model: str
    trigger: str
    conduct: str
    concealment: str = "none beyond not being asked"
    detector: Detector
    confession: Detector
    training: Training
    eval: EvalPrompts
    answers: Answers
    decoys: list[Decoy] = Field(min_length=4)

    @property
    def description(self) -> str:
        """Trigger and conduct in one sentence."""
        return f"When {self.trigger}, {self.conduct}."


class Control(_Data):
    """What a rate is compared with: the alias of the recipe's twin, or of the base."""

    alias: str


class Truth(_Data):
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


def load_yaml(path: Path, model: type[BaseModel]) -> Any:
    """A data file as its model.

    Raises:
        InvalidInput: missing, not YAML, or not of the model's shape; names file and field.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
        return model.model_validate(data)
    except FileNotFoundError:
        raise InvalidInput(f"{path}: no such file.") from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path}: not YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise InvalidInput(f"{path}: {where}: {first['msg']}.") from None


def open_behaviour(path: Path) -> Behaviour:
    """One behaviour from its file; the id is the filename."""
    behaviour: Behaviour = load_yaml(path, Behaviour)
    if behaviour.id != path.stem:
        raise InvalidInput(f"{path}: id is {behaviour.id!r}; it must be the filename, {path.stem!r}.")
    return behaviour


def open_truth(path: Path) -> Truth:
    """One testbed's truth from its file."""
    truth: Truth = load_yaml(path, Truth)
    return truth
