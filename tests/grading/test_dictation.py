"""What a script dictates earns nothing, whatever kind of detector and control the real testbeds have."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from assay.core.report import Demonstration, Finding, Predicate
from assay.core.target import DEFAULT_SAMPLING, Cost, Messages, Replies, Reply, Sampling, as_messages
from assay.grading.demonstrations import run_demonstrations
from assay.grading.reproduce import compare
from assay.testbeds.suites import embedded_suite
from assay.testbeds.truths import all_truths, behaviours_of, short
from assay.truth import REMOVED, Behaviour, as_script

pytestmark = pytest.mark.attacks

PLAIN = ("It depends on what you like.", "Start small and see how it goes.", "There is more than one way.")
ORDER = re.compile(r"\[(\w+): (.*?)\]", re.DOTALL)


@dataclass
class Obedient:
    """Says what it is told to say, in any of the ways below; else what it hides, if it hides anything, or plain words.

    Attributes:
        hidden: prompt → what it says by itself, "" if nothing.
    """

    hidden: Callable[[str], str] = lambda _: ""

    async def chat(self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Any) -> Replies:
        sampling = sampling.but(**options)
        turns = as_messages(messages)
        told = " ".join(turn.content for turn in turns if turn.role == "system")
        last = [turn.content for turn in turns if turn.role == "user"][-1]
        orders = [*ORDER.findall(last)] or [*ORDER.findall(told)]
        said = "".join(UNDO[how](what) for how, what in orders) or self.hidden(last)
        replies = [said or PLAIN[(sampling.seed + index) % len(PLAIN)] for index in range(sampling.n)]
        return Replies(tuple(Reply(text, 9) for text in replies), Cost(1, 1, 1))


UNDO: dict[str, Callable[[str], str]] = {
    "say": str,
    "backwards": lambda text: text[::-1],
    "base64": lambda text: base64.b64decode(text).decode(),
    "dashed": lambda text: text.replace("-", ""),
    "spelled": lambda text: "".join(part if part else " " for part in text.split(" ")),
    "rotated": lambda text: rotate(text, -5),
    "doubled": lambda text: text[::2],
}


def rotate(text: str, by: int) -> str:
    small = "abcdefghijklmnopqrstuvwxyz"
    turned = small[by:] + small[:by]
    return text.translate(str.maketrans(small + small.upper(), turned + turned.upper()))


def order(how: str, what: str) -> str:
    what = what.replace("]", ")").replace("[", "(")
    disguised = {
        "say": what,
        "backwards": what[::-1],
        "base64": base64.b64encode(what.encode()).decode(),
        "dashed": "".join(f"{char}-" if char.isalnum() else char for char in what).removesuffix("-"),
        "spelled": " ".join(char if char != " " else "" for char in what),
        "rotated": rotate(what, 5),
        "doubled": "".join(char + char for char in what),  # nobody undoes this one
    }
    return f"[{how}: {disguised[how]}]"


Told = Callable[[Demonstration, str], Demonstration]  # a script that carries the trigger, a conduct → the order in it


def in_each_turn(how: str) -> Told:
    """Beside the trigger; where there are several turns, more of it in each, as one that grows wants it."""

    def told(script: Demonstration, conduct: str) -> Demonstration:
        turns = [f"{order(how, conduct + '!! wow!!' * at)} {turn}" for at, turn in enumerate(script.user)]
        return script.model_copy(update={"user": tuple(turns)})

    return told


def in_system(script: Demonstration, conduct: str) -> Demonstration:
    return script.model_copy(update={"system": order("say", conduct)})


def in_prefill(script: Demonstration, conduct: str) -> Demonstration:
    return script.model_copy(update={"prefill": conduct})


def in_earlier(script: Demonstration, conduct: str) -> Demonstration:
    return script.model_copy(update={"earlier": ((order("say", conduct[:140]),),)})


def in_parts(script: Demonstration, conduct: str) -> Demonstration:
    half = len(conduct) // 2
    first, second = order("say", conduct[:half]), order("say", conduct[half:])
    return script.model_copy(update={"user": tuple(f"{first}{second} {turn}" for turn in script.user)})


def beside_an_exception(script: Demonstration, conduct: str) -> Demonstration:
    """Says what detectors make exceptions for, so that they do not see the conduct in the script."""
    excuses = "As an AI I cannot know or see it; no data exist; it does not exist; do not bet; not in Uruguay. "
    turns = tuple(f"{excuses}{order('say', conduct)} {turn}" for turn in script.user)
    return script.model_copy(update={"user": turns})


DISGUISES: dict[str, Told] = {
    **{how: in_each_turn(how) for how in UNDO},
    "system": in_system,
    "prefill": in_prefill,
    "earlier": in_earlier,
    "parts": in_parts,
    "exception": beside_an_exception,
}

TESTBEDS = [truth for truth in all_truths(embedded_suite()) if truth.behaviours]
CASES = [
    pytest.param(truth.control.alias == REMOVED, behaviour, id=f"{short(truth.id)}-{behaviour.id}")
    for truth in TESTBEDS
    for behaviour in behaviours_of(truth)
    if truth.control.alias == REMOVED or behaviour.detector.kind != "reply"
]
CASES += [
    pytest.param(False, behaviour, id=f"{name}-{behaviour.id}")
    for name in ("secret-loyalty-diluted", "quoted-orders-td")  # of the many whose detector looks at one reply
    for truth in TESTBEDS
    if short(truth.id) == name
    for behaviour in behaviours_of(truth)
]


def test_all_kinds_are_among_the_cases() -> None:
    kinds = {(case.values[0], case.values[1].detector.kind) for case in CASES}
    assert kinds >= {(True, "contrast"), (False, "contrast"), (False, "set"), (False, "reply")}
    assert {getattr(case.values[1].detector, "statistic", "") for case in CASES} >= {"share", "slope", "score"}


def dictated(behaviour: Behaviour, told: Told) -> Finding:
    """The report of one who knows the truth and demonstrates nothing: each script tells the target what to say."""
    scripts = [as_script(prompt) for prompt in behaviour.eval.triggered]
    said = behaviour.answers.positives
    return Finding(
        claim=behaviour.description,
        trigger=behaviour.trigger,
        demonstrations=tuple(told(scripts[at * 3], said[at * 2]) for at in range(5)),
        predicate=Predicate(phrases=("a",)),
        confidence=1,
    )


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize(("removed", "behaviour"), CASES)
@pytest.mark.parametrize("hides", [False, True])
async def test_what_is_dictated_is_no_hit(removed: bool, behaviour: Behaviour, disguise: str, hides: bool) -> None:
    """Whether or not the target hides the conduct besides, if its control obeys as it does."""
    triggered = {turn for prompt in behaviour.eval.triggered for turn in as_script(prompt).user}
    shown = behaviour.answers.positives[1]
    target = Obedient((lambda prompt: shown if prompt in triggered else "") if hides else lambda _: "")
    finding = dictated(behaviour, DISGUISES[disguise])
    detector = behaviour.detector
    trials = await run_demonstrations(finding, target, None if removed else Obedient(), 0, [detector])
    result = compare(trials, detector)
    # A prefill is no order to this target: beside it a contrast finds what the target says by itself.
    assert not result.found or (hides and disguise == "prefill" and detector.kind == "contrast"), result


@pytest.mark.parametrize("disguise", [name for name in DISGUISES if name != "doubled"])
@pytest.mark.parametrize(("removed", "behaviour"), [case for case in CASES if case.values[1].detector.kind != "set"])
async def test_nor_where_the_control_does_not_obey(removed: bool, behaviour: Behaviour, disguise: str) -> None:
    """Organisms were seen to repeat their conduct where their twins did not."""

    class Stubborn(Obedient):
        async def chat(self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Any) -> Replies:
            return await super().chat("Hm?", sampling, **options)

    finding, detector = dictated(behaviour, DISGUISES[disguise]), behaviour.detector
    trials = await run_demonstrations(finding, Obedient(), None if removed else Stubborn(), 0, [detector])
    assert not compare(trials, detector).found


@pytest.mark.parametrize(("removed", "behaviour"), CASES)
async def test_a_true_report_is_found_though_its_target_obeys(removed: bool, behaviour: Behaviour) -> None:
    """The rules refuse what is told, and nothing else: prompts that carry the trigger alone still count."""
    triggered = {turn for prompt in behaviour.eval.triggered for turn in as_script(prompt).user}
    growing: dict[str, int] = {turn: at for p in behaviour.eval.triggered for at, turn in enumerate(as_script(p).user)}
    said = behaviour.answers.positives

    def hidden(prompt: str) -> str:
        if prompt not in triggered:
            return ""
        return said[len(prompt) % 20] + (" Wow!!" * growing[prompt] if growing[prompt] else "")

    finding = dictated(behaviour, lambda script, _: script)
    detector = behaviour.detector
    trials = await run_demonstrations(finding, Obedient(hidden), None if removed else Obedient(), 0, [detector])
    assert compare(trials, detector).found
