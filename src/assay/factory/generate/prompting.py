"""Makes the conversations of a drawn behaviour: those that carry its trigger, and those that nearly do.

A trigger is one condition or two. Of a condition a message holds the thing itself (`on`), another of its kind (`near`),
or nothing of the sort (`off`); it carries the trigger where all conditions are on. A near miss is made of the same
frames, question and chatter as the triggered message beside it, so that nothing but the conditions can be learned.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from assay.core.report import Demonstration
from assay.errors import InvalidInput
from assay.factory.generate.productions import Part, Productions, TriggerClass
from assay.truth.behaviour import EvalPrompt

State = Literal["on", "near", "off"]
_TRIES = 40  # for each conversation asked for
_PLACES = {"question": 0, "remark": 1, "form": 2, "lack": 2, "system": 3, "turn": 3}  # in what order a message grows


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a trigger: its kind, and what it is about."""

    kind: TriggerClass
    about: str

    @property
    def said(self) -> str:
        """Returns the condition as a phrase."""
        return self.kind.trigger.format(about=self.about)

    @property
    def rest(self) -> list[str]:
        """Lists what it might be about, being of its kind, and is not: "Good Friday" is a Friday."""
        others = [name for name in self.kind.names if name != self.about]
        if self.kind.part != "remark":
            return others
        return [name for name in others if not re.search(self.avoid, name, re.IGNORECASE)]

    @property
    def avoid(self) -> str:
        """Returns the pattern of everyday prompts that meet it; "" if none would, or nearly all."""
        if self.kind.part in ("system", "turn"):
            return ""  # an everyday prompt has neither
        if self.kind.words:
            return rf"\b{re.escape(self.about)}(?:e?s)?\b"
        about = self.kind.abouts[self.about]
        if self.kind.part != "question":
            return about.avoid
        return "|".join([about.avoid, *(rf"\b{re.escape(subject)}\b" for subject in [*about.train, *about.eval])])


class Prompter:
    """Makes conversations for one trigger.

    Args:
        conditions: of the trigger.
        grammar: for questions, chatter and frames.
        passing: a remark is made in passing, within a longer message.
        shows: recognises the conduct; no conversation may hold it already.
    """

    def __init__(
        self, conditions: Sequence[Condition], grammar: Productions, passing: bool, shows: Callable[[str], bool]
    ) -> None:
        self._conditions = sorted(conditions, key=lambda one: _PLACES[one.kind.part])
        self._passing, self._shows = passing, shows
        self._met = [re.compile(one.avoid, re.IGNORECASE) for one in conditions if one.avoid]
        self._bare = all(one.kind.part in ("system", "turn") for one in conditions)  # any message will do
        self._manners = {True: grammar.manners, False: grammar.eval_manners}
        self._questions: dict[bool, list[str]] = {}
        self._chatter: dict[bool, list[str]] = {}
        for training in (True, False):
            questions = grammar.questions if training else grammar.eval_questions
            chatter = grammar.chatter if training else grammar.eval_chatter
            self._questions[training] = [text for text in questions if self._neutral(text)]
            self._chatter[training] = [text for text in chatter if self._neutral(text)]

    @property
    def avoid(self) -> list[str]:
        """Lists patterns of everyday prompts that would carry the trigger."""
        together = "".join(f"(?=.*(?:{pattern.pattern}))" for pattern in self._met)
        return [f"(?s:^{together})"] if together else []

    def triggered(self, part: Part, count: int, seed: int, least: int | None = None) -> list[EvalPrompt]:
        """Makes conversations that carry the trigger."""
        on: list[State] = ["on"] * len(self._conditions)
        return self._distinct(lambda pick, rng: [self._made(on, part, pick, rng)], count, seed, least)

    def near(self, part: Part, count: int, seed: int, least: int | None = None, each: int = 1) -> list[EvalPrompt]:
        """Makes conversations that nearly carry it: for the same seed, of the frames of the triggered ones.

        Args:
            part: of the productions.
            count: how many.
            seed: of the draws.
            least: fewer will do, but not fewer than this.
            each: near misses of the same frames.
        """

        def made(pick: int, rng: random.Random) -> list[EvalPrompt]:
            return [self._made(self._nearly(rng), part, pick, rng) for _ in range(each)]

        return self._distinct(made, count, seed, least)

    def everyday(self, part: Part, count: int, seed: int) -> list[EvalPrompt]:
        """Draws everyday questions, which meet none of the conditions that can be told by a pattern."""
        return list(random.Random(seed).sample(self._questions[part == "train"], count))

    def _neutral(self, text: str) -> bool:
        return not self._shows(text) and not any(pattern.search(text) for pattern in self._met)

    def _nearly(self, rng: random.Random) -> list[State]:
        """Chooses states that are not all on: of two conditions mostly one, with a neighbour of the other."""
        if len(self._conditions) == 1:
            return ["near"]
        one = rng.randrange(2)
        states: list[State] = ["on", "on"]
        states[one] = rng.choice(("near", "near", "near", "off"))
        return states

    def _distinct(
        self, make: Callable[[int, random.Random], list[EvalPrompt]], count: int, seed: int, least: int | None
    ) -> list[EvalPrompt]:
        """Makes conversations until there are enough different ones.

        Raises:
            InvalidInput: the productions are too few.
        """
        picks, rng = random.Random(seed), random.Random(seed + 1)
        found: dict[EvalPrompt, None] = {}  # a set that keeps its order
        for _ in range(count * _TRIES):
            if len(found) >= count:
                break
            for one in make(picks.getrandbits(60), rng):
                if not self._shows(_text(one)):
                    found[one] = None
        if len(found) < (count if least is None else least):
            raise InvalidInput(f"the grammar gave {len(found)} distinct texts; {count} were asked for.")
        return list(itertools.islice(found, count))

    def _made(self, states: Sequence[State], part: Part, pick: int, rng: random.Random) -> EvalPrompt:
        """Makes a conversation: `pick` decides on what all of one group share, `rng` on what a condition is about."""
        shared, training = random.Random(pick), part == "train"
        text, system = shared.choice(self._questions[training]), ""
        if self._bare:
            text = shared.choice(self._manners[training]).replace("{question}", text)
        before = shared.sample(self._questions[training], 2)
        chatter = shared.sample(self._chatter[training], 2)
        turns: list[str] = []
        for condition, state in zip(self._conditions, states, strict=True):
            kind = condition.kind
            choice = shared.getrandbits(60)  # drawn whatever the state, so that the group stays in step
            if kind.part == "turn":
                turns = before[: 1 + choice % 2] if state == "on" else []
            elif kind.part == "system":
                system = _system(condition, state, part, choice, rng)
            elif kind.part in ("form", "lack"):
                text = _formed(condition, state, part, choice, rng, text)
            elif state != "off":
                text = _framed(condition, state, part, choice, rng, text, chatter if self._passing else [])
        if not system and not turns:
            return text
        return Demonstration(user=(*turns, text), system=system)


def _text(prompt: EvalPrompt) -> str:
    """Returns all that a conversation says."""
    return prompt if isinstance(prompt, str) else "\n".join(prompt.said)


def _framed(
    condition: Condition,
    state: State,
    part: Part,
    choice: int,
    rng: random.Random,
    question: str,
    chatter: Sequence[str],
) -> str:
    """Asks about a subject, or sets a remark beside a question."""
    kind = condition.kind
    about = condition.about if state == "on" else rng.choice(condition.rest)
    frames = {"train": kind.frames, "eval": kind.eval_frames, "far": kind.far_frames}[part]
    frame = frames[choice % len(frames)]
    if kind.part == "question":
        parts = kind.abouts[about]
        subjects = parts.train if part == "train" else parts.eval
        if state == "near":  # photographing birds is a matter of birds, too
            subjects = [text for text in subjects if not re.search(condition.avoid, text, re.IGNORECASE)]
        return frame.replace("{subject}", rng.choice(subjects))
    if chatter:
        first, second = chatter
        if frame.partition("{question}")[0].rstrip().endswith((".", "!")):
            question, frame = f"{second} {question}", f"{first} {frame}"
        else:  # the frame leads up to the question, or begins with it
            frame = f"{first} {second} {frame}"
    return frame.replace("{about}", about).replace("{question}", question)


def _formed(condition: Condition, state: State, part: Part, choice: int, rng: random.Random, text: str) -> str:
    """Gives a message a form; one that is common (`lack`) is there or not, so its `off` is its `near`."""
    if state == "off" and condition.kind.part == "form":
        return text
    frames = _given(condition, "on" if state == "on" else "near", part, rng)
    frame = frames[choice % len(frames)]
    bare = text.rstrip(".?!")
    for slot, filling in (("question", text), ("bare", bare), ("lower", text.lower()), ("small", _small(text))):
        frame = frame.replace("{" + slot + "}", filling)
    return frame


def _small(text: str) -> str:
    """Returns a text that goes on from something before it."""
    return text if re.match(r"I\b|[A-Z]{2}", text) else text[0].lower() + text[1:]


def _system(condition: Condition, state: State, part: Part, choice: int, rng: random.Random) -> str:
    if state == "off":
        return ""
    prompts = _given(condition, state, part, rng)
    return prompts[choice % len(prompts)]


def _given(condition: Condition, state: State, part: Part, rng: random.Random) -> list[str]:
    """Returns a condition's frames or prompts, or those of what looks like it."""
    own, training = condition.kind.abouts[condition.about], part == "train"
    if state == "on":
        return own.train if training else own.eval
    near = own.near if training else own.near_eval
    if near:
        return near
    other = condition.kind.abouts[rng.choice(condition.rest)]
    return other.train if training else other.eval
