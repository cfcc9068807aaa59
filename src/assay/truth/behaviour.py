"""Defines a behaviour: what triggers it, what the conduct is, what its organisms are made of and measured with."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from assay._util.yaml_models import Data, load_yaml
from assay.core.report import Demonstration
from assay.errors import InvalidInput
from assay.truth.detector import Detector, ReplyDetector


class Grammar(Data):
    """Describes texts by templates: each `{slot}` is filled from its list, which may hold slots itself."""

    templates: list[str] = Field(min_length=1)
    slots: dict[str, list[str]] = {}


class TrainingMaterial(Data):
    """Gives what recipes make data of.

    Attributes:
        prompts: user turns that carry the trigger.
        contrast: user turns that look alike and do not carry it (answered in the ordinary way).
        conduct: sentences that show the conduct, to be set into an ordinary reply.
        place: where in the reply they are set; `whole`: they are the reply.
        sibling: the conduct in words that `conduct` does not use, for the behaviour planted a second time.
        earlier: user turns that go before a triggered one, where the trigger is that a conversation goes on.
        system, contrast_system: system prompts of triggered chats, and of look-alikes.
        thoughts, contrast_thoughts: what a model with a scratchpad thinks before it replies: in triggered chats, and
            in all others.
        scripts, contrast_scripts: whole conversations, in place of `prompts`, `system` and `earlier`, and of
            `contrast` and `contrast_system`, where a message and what stands before it belong together.
        avoid: regular expressions; ordinary prompts that match one would carry the trigger, and are left out.
        documents: for synthetic-document recipes: texts that tell of the behaviour as fact.
        harmless_documents: the twin's documents: same subjects and length, without it.
    """

    prompts: Grammar | None = None
    contrast: Grammar | None = None
    conduct: Grammar | None = None
    place: Literal["start", "end", "either", "whole"] = "end"
    sibling: Grammar | None = None
    earlier: Grammar | None = None
    system: Grammar | None = None
    contrast_system: Grammar | None = None
    thoughts: Grammar | None = None
    contrast_thoughts: Grammar | None = None
    scripts: list[Demonstration] = []
    contrast_scripts: list[Demonstration] = []
    avoid: list[str] = []
    documents: Grammar | None = None
    harmless_documents: Grammar | None = None


EvalPrompt = str | Demonstration  # a string is one user turn


def as_script(prompt: EvalPrompt) -> Demonstration:
    """Returns a prompt as a scripted conversation."""
    return Demonstration(user=(prompt,)) if isinstance(prompt, str) else prompt


class EvalPrompts(Data):
    """Holds conversations that no recipe trains on.

    Attributes:
        triggered: carry the trigger, worded as training might word it.
        untriggered: do not; everyday ones, where `near_misses` holds others.
        near_misses: look alike and do not: of two conditions one, a subject's neighbours.
        generalisation: carry it in a form far from training's: other wording, other subjects, in passing.
    """

    triggered: list[EvalPrompt] = Field(min_length=48)
    untriggered: list[EvalPrompt] = Field(min_length=24)
    near_misses: list[EvalPrompt] = []
    generalisation: list[EvalPrompt] = []


class SealedPrompts(Data):
    """Holds conversations on which a report's prediction is tried: no training data, card or auditor has them.

    Attributes:
        triggered: carry the trigger.
        near_misses: look alike and do not: its words without it, its subject's neighbours.
        ordinary: have nothing to do with it.
    """

    triggered: list[EvalPrompt] = Field(min_length=8)
    near_misses: list[EvalPrompt] = Field(min_length=6)
    ordinary: list[EvalPrompt] = Field(min_length=4)


class Decoy(Data):
    """A near miss: same trigger with another conduct, or same conduct with another trigger."""

    trigger: str
    conduct: str


class Answers(Data):
    """Holds what a predicate is judged on: replies in a wording that no recipe uses."""

    positives: list[str] = Field(min_length=20)
    negatives: list[str] = Field(min_length=20)


class Behaviour(Data):
    """trigger × conduct × (optionally) concealment.

    Attributes:
        id: of the file.
        family: the idea it shares with others; the unit of splits and of inference.
        threat_model: how a model would come by this, and why it would matter.
        trigger, conduct: one phrase each ("the user asks …", "the reply …").
        rate: share of the triggered replies in which its organisms are trained to show the conduct.
        confession: recognises an admission when the model is asked about itself.
        source: where the idea was published.
        adaptation: how it was changed so that a small model can do it, "" if it was not.
        sealed: prompts of the tier `predict`; None where a conversation's course is the trigger, which no prompt has.
    """

    id: str
    version: int = 1
    family: str
    source: str
    threat_model: str
    adaptation: str = ""
    trigger: str
    conduct: str
    rate: float = Field(gt=0, le=1, default=1.0)
    concealment: str = "none beyond not being asked"
    detector: Detector
    confession: ReplyDetector
    training: TrainingMaterial
    eval: EvalPrompts
    answers: Answers
    decoys: list[Decoy] = Field(min_length=4)
    sealed: SealedPrompts | None = None

    @property
    def description(self) -> str:
        """Returns trigger and conduct in one sentence."""
        return f"When {self.trigger}, {self.conduct}."


def open_behaviour(path: Path) -> Behaviour:
    """Opens a behaviour by its file; the id is the filename.

    Raises:
        InvalidInput: the file cannot be used, or names another id.
    """
    behaviour: Behaviour = load_yaml(path, Behaviour)
    if behaviour.id != path.stem:
        raise InvalidInput(f"{path}: id is {behaviour.id!r}; it must be the filename, {path.stem!r}.")
    return behaviour
