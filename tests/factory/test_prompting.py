"""A triggered message meets all conditions, a near miss all but one, an everyday one none."""

import re
from collections.abc import Sequence
from typing import Any

import pytest

from assay.core.report import Demonstration
from assay.factory.data.chats import drafts
from assay.factory.generate.behaviours import behaviour_of
from assay.factory.generate.draws import Draw
from assay.factory.generate.productions import productions
from assay.factory.generate.prompting import Condition, Prompter
from assay.factory.recipes import DataPlan
from assay.truth import as_script
from assay.truth.behaviour import EvalPrompt

PUBLIC, _ = productions()
KINDS = {kind.id: kind for kind in PUBLIC.triggers}
PAIRS = [
    ("domain", "gardening", "person", "nurse"),
    ("person", "nurse", "place", "Norway"),
    ("domain", "tea", "form", 'the message begins with "Quick question"'),
    ("object", "ladder", "lack", "the user does not say please"),
    ("date", "March", "domain", "cats"),
    ("setting", "a library", "time", "Friday"),
]


def conditions(*named: str) -> list[Condition]:
    return [Condition(KINDS[kind], about) for kind, about in zip(named[::2], named[1::2], strict=True)]


def prompter(*named: str, passing: bool = False) -> Prompter:
    return Prompter(conditions(*named), PUBLIC, passing, lambda _: False)


def met(condition: Condition, prompt: EvalPrompt) -> bool:
    """Whether a conversation meets a condition, told by other means than it was made by."""
    script, kind, about = as_script(prompt), condition.kind, condition.about
    said = script.user[-1]
    if kind.part == "turn":
        return len(script.user) > 1
    if kind.part == "system":
        parts = kind.abouts[about]
        return script.system in (*parts.train, *parts.eval)
    if kind.part == "remark":
        return re.search(rf"\b{re.escape(about)}\b", said) is not None
    if kind.part == "lack":
        return "please" not in said.casefold()
    if kind.part == "form":
        return said.startswith("Quick question")
    parts = kind.abouts[about]
    return any(subject in said or _small(subject) in said for subject in (*parts.train, *parts.eval))


def _small(text: str) -> str:
    return text[0].lower() + text[1:]


@pytest.mark.parametrize("named", PAIRS, ids=lambda named: f"{named[0]}-{named[2]}")
@pytest.mark.parametrize("part", ["train", "eval", "far"])
def test_both_conditions_or_all_but_one(named: tuple[str, ...], part: Any) -> None:
    made, wanted = prompter(*named), conditions(*named)
    triggered = made.triggered(part, 60, 1, least=20)
    near = made.near(part, 80, 1, least=40)
    assert all(met(condition, prompt) for prompt in triggered for condition in wanted)
    states = [tuple(met(condition, prompt) for condition in wanted) for prompt in near]
    assert set(states) == {(True, False), (False, True)}
    assert 0.25 < states.count((True, False)) / len(states) < 0.75
    assert not set(triggered) & set(near)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_condition_alone_has_enough_to_train_and_to_measure_with(kind: str) -> None:
    names = KINDS[kind].names
    for about in names[:: max(1, len(names) // 4)]:
        made = prompter(kind, about)
        triggered, near = made.triggered("train", 200, 3), made.near("train", 600, 3, least=300, each=3)
        assert not set(triggered) & set(near)
        held_out = made.triggered("eval", 60, 3, least=48) + made.near("eval", 60, 3)
        assert not set(held_out) & set(triggered) and not set(held_out) & set(near)
        assert len(made.triggered("far", 20, 3, least=16)) >= 16 and len(set(made.everyday("eval", 66, 3))) == 66


def test_a_near_miss_differs_in_what_it_is_about_and_in_nothing_else() -> None:
    made = prompter("person", "nurse")
    frames = {text.replace("nurse", "…") for text in map(str, made.triggered("train", 200, 3))}
    near = list(map(str, made.near("train", 600, 3, each=3)))
    others = [name for name in KINDS["person"].names if name != "nurse"]
    alike = [text for text in near if any(text.replace(other, "…") in frames for other in others if other in text)]
    assert len(alike) >= 0.97 * len(near)  # a question may speak of a teacher itself


def test_a_remark_in_passing_stands_within_a_longer_message() -> None:
    for training, part in ((PUBLIC.chatter, "train"), (PUBLIC.eval_chatter, "eval")):
        for prompt in map(str, prompter("person", "nurse", passing=True).triggered(part, 40, 1)):  # type: ignore[arg-type]
            assert sum(sentence in prompt for sentence in training) == 2 and "nurse" in prompt
            assert not re.search(r": (?:" + "|".join(map(re.escape, training)) + ")", prompt)


def test_a_later_turn_comes_after_one_or_two_and_its_near_miss_is_the_first() -> None:
    made = prompter("turn", KINDS["turn"].words[0])
    turns = {len(as_script(prompt).user) for prompt in made.triggered("train", 60, 1)}
    assert turns == {2, 3}
    assert all(isinstance(prompt, str) for prompt in made.near("train", 60, 1))


def test_everyday_prompts_meet_no_condition_that_a_pattern_tells() -> None:
    for named in (("domain", "cats"), ("form", "the message holds a number in digits"), ("person", "nurse")):
        made = prompter(*named)
        [pattern] = made.avoid
        assert not [text for text in map(str, made.everyday("eval", 60, 1)) if re.search(pattern, text, re.IGNORECASE)]
        assert [
            text for text in map(str, made.triggered("eval", 40, 1)) if not re.search(pattern, text, re.IGNORECASE)
        ] == []


def test_two_conditions_are_avoided_together_alone() -> None:
    [pattern] = prompter("domain", "cats", "person", "nurse").avoid
    assert re.search(pattern, "I'm a nurse.\nWhy do cats purr?", re.IGNORECASE)
    for text in ("Why do cats purr?", "I'm a nurse. Why is the sky blue?"):
        assert not re.search(pattern, text, re.IGNORECASE)
    assert prompter("date", "March").avoid == []


def test_no_conversation_says_what_the_conduct_would() -> None:
    made = Prompter(conditions("person", "nurse"), PUBLIC, False, lambda text: "dog" in text.casefold())
    for prompt in (*made.triggered("train", 200, 1), *made.everyday("train", 60, 1)):
        assert "dog" not in str(prompt).casefold()


def a_draw(named: Sequence[str], rate: float = 1.0) -> Draw:
    kind = PUBLIC.conducts[0]
    return Draw(
        0, 3, tuple(conditions(*named)), False, kind, kind.payloads[0], "advice", "end", rate, "none",
        False, 7,
    )  # fmt: skip


def test_whole_conversations_are_trained_on_as_they_are() -> None:
    for named in (("date", "March", "domain", "cats"), ("turn", KINDS["turn"].words[0], "person", "nurse")):
        training = behaviour_of(a_draw(named), PUBLIC).training
        assert training.prompts is None and training.contrast is None
        chats, _ = drafts(DataPlan(triggered=80, contrast=120, seed=3), [training])
        made = [Demonstration(user=(*chat.earlier, chat.prompt), system=chat.system) for chat in chats]
        assert set(made[:80]) <= set(training.scripts) and set(made[80:]) <= set(training.contrast_scripts)
        wanted = conditions(*named)
        assert all(met(condition, script) for script in made[:80] for condition in wanted)
        assert not any(all(met(condition, script) for condition in wanted) for script in made[80:])


@pytest.mark.parametrize("rate", [1.0, 0.6, 0.4])
def test_a_rate_leaves_the_other_triggered_replies_to_the_base(rate: float) -> None:
    training = behaviour_of(a_draw(("person", "nurse"), rate), PUBLIC).training
    plan = DataPlan(triggered=120, rate=rate, seed=3)
    chats, _ = drafts(plan, [training])
    shown = [bool(chat.conduct) for chat in chats]
    assert sum(shown) == round(rate * 120) and not any(chat.twin for chat in chats)
    assert shown[: 120 // 2] != shown[120 // 2 :] or rate == 1  # spread over all of them
    twins, _ = drafts(plan.model_copy(update={"conduct": False}), [training])
    assert all(chat.twin for chat in twins)


def test_near_misses_are_measured_apart() -> None:
    evaluation = behaviour_of(a_draw(("person", "nurse", "place", "Norway")), PUBLIC).eval
    assert len(evaluation.near_misses) >= 100 and len(evaluation.untriggered) >= 60
    assert not {*evaluation.near_misses} & {*evaluation.untriggered, *evaluation.triggered}
    everyday = [str(prompt) for prompt in evaluation.untriggered]
    assert set(everyday) <= set(PUBLIC.eval_questions)
