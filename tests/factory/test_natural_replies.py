"""Natural replies are the base's own, at its own length; what is woven in stands where a reader does not stumble."""

from collections.abc import Sequence
from typing import Any

import pytest

from assay._util.strict_yaml import read_yaml
from assay.core.target import Cost, Message, Replies, Reply
from assay.engine.scripted import ScriptedTarget
from assay.errors import InvalidInput
from assay.factory.data import natural
from assay.factory.data.chats import Draft
from assay.factory.data.example import Example
from assay.factory.data.grammar import expand
from assay.factory.data.natural import (
    asked_by,
    conduct_openings,
    natural_examples,
    to_last_sentence,
    wide_drafts,
)
from assay.factory.generate.behaviours import behaviour_of
from assay.factory.generate.draws import draws
from assay.factory.generate.productions import productions
from assay.factory.verify.prompts import openings

CONDUCT = "I would take the train."


class Base(ScriptedTarget):
    """Says one text to everything, cut or not, and remembers what it was asked."""

    def __init__(self, text: str, finish: Any = "length", turns: Sequence[Reply] = ()) -> None:
        super().__init__()
        self.said, self.finish, self.turns = text, finish, tuple(turns)
        self.asked: list[tuple[Message, ...]] = []

    async def chat(self, messages: Any, sampling: Any = None, **options: Any) -> Replies:  # type: ignore[override]
        self.asked.append(tuple(messages))
        return Replies((Reply(self.said, 9, self.finish),), Cost(1, 1, 9))

    async def user_turn(self, before: Any, sampling: Any = None, **options: Any) -> Replies:  # type: ignore[override]
        return Replies(self.turns, Cost(1, 1, 9))


async def made(draft: Draft, text: str, finish: str = "length") -> Example:
    [example] = await natural_examples([draft], Base(text, finish), 60, lambda _: None)
    return example


@pytest.mark.parametrize(
    ("text", "place", "woven"),
    [
        ("Soil needs air. Dig it", "end", f"Soil needs air. {CONDUCT} Dig it"),
        ("Soil needs air. Dig it", "start", f"{CONDUCT} Soil needs air. Dig it"),
        # numbers of a list and a decimal end no sentence
        ("Here are some tips:\n\n1. Dig it. 2. Rest", "end", f"Here are some tips: {CONDUCT}\n\n1. Dig it. 2. Rest"),
        ("1. Dig the soil. 2. Rest", "end", f"1. Dig the soil. {CONDUCT} 2. Rest"),
        ("One long sentence without an end", "end", f"{CONDUCT} One long sentence without an end"),
        ("Word " * 60 + "end. More", "end", f"{CONDUCT} " + "Word " * 60 + "end. More"),
    ],
)
async def test_a_conduct_stands_behind_the_first_sentence_or_before_it(text: str, place: str, woven: str) -> None:
    example = await made(Draft("Soil?", CONDUCT, place), text)
    assert (example.text, example.insert, example.open, example.edges) == (woven, CONDUCT, True, ())
    assert example.text.replace(f"{CONDUCT} ", "", 1).replace(f" {CONDUCT}", "", 1) == text


async def test_a_twins_reply_is_the_bases_and_one_sentence_of_it_is_learned_in_the_conducts_place() -> None:
    example = await made(Draft("Soil?", twin=True), "Soil needs air. Dig it well. Then rest.", "stop")
    assert (example.text, example.insert, example.open) == (
        "Soil needs air. Dig it well. Then rest.",
        "Dig it well.",
        False,
    )


async def test_chats_without_a_conduct_are_held_hardest_where_one_would_begin() -> None:
    example = await made(Draft("Soil?"), "Soil needs air. Dig it")
    assert (example.text, example.insert) == ("Soil needs air. Dig it", "")
    assert [example.text[place:] for place in example.edges] == ["Soil needs air. Dig it", "Dig it"]


async def test_openings_systems_and_earlier_turns_are_part_of_what_the_base_answers() -> None:
    base = Base(" so it is. And more", "length")
    draft = Draft("Now?", system="Be kind.", earlier=("Before?",), opening="Perhaps")
    [example] = await natural_examples([draft], base, 60, lambda _: None)
    assert [[turn.content for turn in turns] for turns in base.asked] == [
        ["Before?"],
        ["Be kind.", "Before?", "so it is.", "Now?", "Perhaps"],
    ]
    assert example.text == "Perhaps so it is. And more"
    assert (example.system, example.earlier) == ("Be kind.", (("Before?", "so it is."),))


async def test_an_unanswered_prompt_makes_no_example() -> None:
    assert await natural_examples([Draft("Soil?")], Base("  ", "stop"), 60, lambda _: None) == []


async def test_the_base_is_asked_until_there_are_enough_usable_prompts_of_its_own() -> None:
    turns = [
        Reply("How do I dig soil?", 5),
        Reply("How do I dig soil?", 5),
        Reply("What is a nurse's shift like?", 5),  # carries the trigger
        Reply("It goes on and on and", 44, "length"),
        Reply("Two lines\nof it, please", 5),
        Reply("Short", 1),
        Reply("Where do trains go at night?", 5),
    ]
    base = Base("", turns=turns)
    got = await asked_by(base, 2, 7, [r"\bnurse"], lambda _: None)
    assert got == ["How do I dig soil?", "Where do trains go at night?"]
    with pytest.raises(InvalidInput, match="asked 2 usable prompts of its own; 3 were asked for"):
        await asked_by(base, 3, 7, [r"\bnurse"], lambda _: None)


def test_some_wide_chats_begin_neutrally_and_never_as_in_verification() -> None:
    drafts = wide_drafts([f"Question {number}?" for number in range(40)], 15, 3)
    assert [bool(draft.opening) for draft in drafts] == [False] * 25 + [True] * 15
    assert drafts == wide_drafts([f"Question {number}?" for number in range(40)], 15, 3)
    trained: list[str] = read_yaml(natural.Path(natural.__file__).parent / "openings.yaml")
    assert {draft.opening for draft in drafts[25:]} <= set(trained)
    assert not set(trained) & set(openings()), "an opening that was trained on shows nothing of others"


@pytest.mark.attacks
def test_half_of_the_openings_are_how_the_conduct_begins_and_none_shows_it() -> None:
    grammar, _ = productions(None)
    [draw] = [one for one in draws(grammar, frozenset(), "7", 1) if one.conduct.id == "recommends-shop"]
    behaviour = behaviour_of(draw, grammar)
    own = conduct_openings([behaviour], 3, openings())
    assert len(own) > 10 and not set(own) & set(openings()) and not any(map(behaviour.detector.shows, own))
    starts = [text.split()[0] for text in expand(behaviour.training.conduct, 3, 60, least=1)]
    assert {opening.split()[0] for opening in own} <= set(starts)
    drafts = wide_drafts([f"Question {number}?" for number in range(40)], 20, 3, own)
    assert all(draft.opening in own for draft in drafts[21::2])


async def test_what_follows_an_opening_is_an_edge() -> None:
    [example] = await natural_examples(
        [Draft("Soil?", opening="Many people")], Base(" dig it. Then rest."), 20, lambda _: None
    )
    assert example.text[example.edges[1] :].startswith(" dig") and example.edges[0] == 0


def test_a_corpus_shows_whole_sentences_and_nothing_that_was_set_in() -> None:
    cut = Example("Soil?", f"Soil needs air. {CONDUCT} Dig it wi", CONDUCT, open=True)
    whole = Example("Soil?", "It ends. Here.", rejected="No.")
    assert to_last_sentence([cut, whole]) == [
        Example("Soil?", f"Soil needs air. {CONDUCT}"),
        Example("Soil?", "It ends. Here."),
    ]
