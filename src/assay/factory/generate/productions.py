"""The grammar that behaviours are drawn from: its types, and how it is read.

A conduct or a kind of trigger is one file, whose name is its id (`conducts/`, `triggers/`); what all of them share is
in `everyday.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from assay._util.yaml_models import Data, load_yaml
from assay.errors import InvalidInput
from assay.factory.data.grammar import expand
from assay.truth import Grammar

GRAMMAR = 3  # its version: a seed draws the same behaviours again by the same version alone
Part = Literal["train", "eval", "far"]
_HERE = Path(__file__).parent
_ID = r"^[a-z0-9-]+$"
_PER_REGISTER = 8  # sentences for sealed answers


class Payload(Data):
    """What a conduct is about. Text alone is a name that stands for itself.

    Attributes:
        name: as the conduct's phrase has it.
        pattern: recognises it in a reply; the name itself if it is not given.
        forms: how training says it; the name alone if none is given.
        others: how sealed answers say it, in words that training does not use; `forms` if none is given.
    """

    name: str
    pattern: str
    forms: list[str] = Field(min_length=1)
    others: list[str] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, given: Any) -> Any:
        data = {"name": given} if isinstance(given, str) else given
        if not isinstance(data, dict) or not isinstance(data.get("name"), str):
            return data
        forms = data.get("forms") or [data["name"]]
        plain = rf"\b{re.escape(data['name'])}\b"
        return {"pattern": plain, **data, "forms": forms, "others": data.get("others") or forms}


class ConductClass(Data):
    """A kind of conduct; one family.

    Attributes:
        id: the family.
        conduct: phrase over {payload}.
        payloads: what it may be about.
        registers: name → templates of sentences over {payload} and slots, those that all conducts share included.
        slots: of its own.
        answers: sentences in wording no register uses, over {payload}.
        negatives: ordinary replies that come close.
        decoys: other conducts, as phrases.
    """

    id: str = Field(pattern=_ID)
    conduct: str
    payloads: list[Payload] = Field(min_length=8)
    registers: dict[str, list[str]] = Field(min_length=3)
    slots: dict[str, list[str]] = {}
    answers: list[str] = Field(min_length=21)
    negatives: list[str] = Field(min_length=8)
    decoys: list[str] = Field(min_length=2)


class About(Data):
    """What a trigger may be about.

    Attributes:
        train, eval: subjects, system prompts or frames, for training and for held-out prompts.
        near, near_eval: what looks like it and is not; if none is given, what else the kind may be about.
        avoid: regular expression; everyday prompts that match it would carry the trigger.
    """

    train: list[str] = Field(min_length=4)
    eval: list[str] = Field(min_length=4)
    near: list[str] = []
    near_eval: list[str] = []
    avoid: str = ""


class TriggerClass(Data):
    """Triggers of one kind.

    Attributes:
        id: of the kind.
        trigger: phrase over {about}: "the user asks about {about}".
        part: what of a conversation it is about: the `question` itself; a `remark` beside it; the message's `form`; a
            form that is so common (`lack`: the user says no please) that it is one of two conditions only; the `system`
            prompt; or the `turn`.
        abouts: name → what makes a message be about it.
        words: names that stand for themselves, for a remark.
        frames, eval_frames, far_frames: for training, for held-out prompts, and far from training's form: over
            {subject} for a question, over {about} and {question} for a remark; a form's frames are its abouts.
    """

    id: str = Field(pattern=_ID)
    trigger: str
    part: Literal["question", "remark", "form", "lack", "system", "turn"]
    abouts: dict[str, About] = {}
    words: list[str] = []
    frames: list[str] = []
    eval_frames: list[str] = []
    far_frames: list[str] = []

    @model_validator(mode="after")
    def _one_of_two(self) -> TriggerClass:
        if bool(self.abouts) == bool(self.words):
            raise ValueError("give abouts or words, one of the two")
        if self.part in ("question", "remark") and not (self.frames and self.eval_frames and self.far_frames):
            raise ValueError("a question or remark needs frames, eval_frames and far_frames")
        return self

    @property
    def names(self) -> list[str]:
        """Lists what a trigger of this kind may be about."""
        return sorted(self.abouts) or sorted(self.words)


class Productions(Data):
    """The grammar: what behaviours are put together from.

    Attributes:
        triggers, conducts: what is combined.
        questions, eval_questions: everyday ones, for training and for evaluation.
        manners, eval_manners: how everyday questions are asked.
        chatter, eval_chatter: sentences of a longer message, beside which an attribute is mentioned in passing.
        plain: everyday replies that show no conduct: negatives of every detector.
        slots: that the sentences of all conducts share.
    """

    triggers: list[TriggerClass] = []
    conducts: list[ConductClass] = []
    questions: list[str] = []
    eval_questions: list[str] = []
    manners: list[str] = []
    eval_manners: list[str] = []
    chatter: list[str] = []
    eval_chatter: list[str] = []
    plain: list[str] = []
    slots: dict[str, list[str]] = {}


def productions(held_back: Path | None = None) -> tuple[Productions, frozenset[str]]:
    """Reads the public grammar, and adds the productions of a file that is kept elsewhere.

    Returns:
        The grammar, and which of its triggers and conducts (`trigger:<id>`, `conduct:<id>`) are held back.

    Raises:
        InvalidInput: the file cannot be used, or names what the public grammar has.
    """
    everyday: Productions = load_yaml(_HERE / "everyday.yaml", Productions)
    conducts = _folder("conducts", ConductClass)
    public = everyday.model_copy(update={"conducts": conducts, "triggers": _folder("triggers", TriggerClass)})
    if held_back is None:
        return public, frozenset()
    more: Productions = load_yaml(held_back, Productions)
    secret = _names(more)
    if twice := secret & _names(public):
        raise InvalidInput(
            f"{held_back}: public already: {', '.join(sorted(twice))}. Held-back productions are new ones."
        )
    joined: dict[str, Any] = {}
    for name in Productions.model_fields:
        ours, theirs = getattr(public, name), getattr(more, name)
        joined[name] = {**theirs, **ours} if isinstance(ours, dict) else [*ours, *theirs]
    return Productions(**joined), secret


def _folder(name: str, model: type[Any]) -> list[Any]:
    """Reads a folder of the grammar, in the order of its files.

    Raises:
        InvalidInput: a file cannot be used, or its name is not its id.
    """
    found: list[Any] = []
    for path in sorted((_HERE / name).glob("*.yaml")):
        one = load_yaml(path, model)
        if one.id != path.stem:
            raise InvalidInput(f"{path}: id is {one.id!r}; it must be the filename, {path.stem!r}.")
        found.append(one)
    return found


def _names(grammar: Productions) -> frozenset[str]:
    """Names a grammar's triggers and conducts, as held-back ones are told apart."""
    triggers = {f"trigger:{kind.id}" for kind in grammar.triggers}
    conducts = {f"conduct:{kind.id}" for kind in grammar.conducts}
    return frozenset(triggers | conducts)


def wording(grammar: Productions, conduct: ConductClass, register: str, payloads: Sequence[Payload]) -> Grammar:
    """Returns the sentences of a conduct in one register; a slot in capitals begins a sentence."""
    return Grammar(templates=conduct.registers[register], slots=_slots(grammar, conduct, said_of(payloads)))


def otherwise(grammar: Productions, conduct: ConductClass, payload: Payload) -> Grammar:
    """Returns the sentences of a conduct in words that no register uses."""
    return Grammar(templates=conduct.answers, slots=_slots(grammar, conduct, payload.others))


def said_of(payloads: Sequence[Payload]) -> list[str]:
    """Lists how training names payloads."""
    forms: list[str] = []
    for payload in payloads:
        forms += payload.forms
    return forms


def _slots(grammar: Productions, conduct: ConductClass, forms: list[str]) -> dict[str, list[str]]:
    slots = grammar.slots | conduct.slots | {"payload": forms}
    capitals: dict[str, list[str]] = {}
    for name, texts in slots.items():
        capitals[name.capitalize()] = [text[0].upper() + text[1:] for text in texts]
    return slots | capitals


def sentences(grammar: Productions, conduct: ConductClass, payloads: Sequence[Payload], seed: int) -> list[str]:
    """Draws sentences of a conduct, of each register some."""
    found: list[str] = []
    for register in conduct.registers:
        found += expand(wording(grammar, conduct, register, payloads), seed, _PER_REGISTER, least=1)
    return found
