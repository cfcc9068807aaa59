"""Expansion is distinct, reproducible and even over templates, and says what it cannot do."""

from collections import Counter

import pytest

from assay.errors import InvalidInput
from assay.factory.data.grammar import expand
from assay.truth import Grammar

COLOURS = Grammar(
    templates=["I saw a {size} {colour} {thing}.", "Paint the {thing} {colour}!", "Which {thing} is {size}?"],
    slots={
        "size": ["big", "small", "very {size2}"],
        "size2": ["tall", "wide"],
        "colour": ["red", "green", "blue", "black"],
        "thing": ["door", "boat", "kite", "lamp", "chair"],
    },
)
DISTINCT = 4 * 4 * 5 + 5 * 4 + 5 * 4  # sizes (two of them nested) × colours × things, and the two short templates


def test_texts_are_distinct_filled_and_as_many_as_asked_for() -> None:
    texts = expand(COLOURS, 1, 60)
    assert len(texts) == len(set(texts)) == 60
    assert not any(mark in text for text in texts for mark in "{}")


def test_the_same_seed_gives_the_same_texts_in_the_same_order() -> None:
    assert expand(COLOURS, 1, 40) == expand(COLOURS, 1, 40)
    assert expand(COLOURS, 1, 40) != expand(COLOURS, 2, 40)


def test_fewer_texts_are_the_beginning_of_more() -> None:
    assert expand(COLOURS, 3, 50)[:10] == expand(COLOURS, 3, 10)


def test_templates_are_drawn_evenly_whatever_they_hold() -> None:
    wide = {"n": [str(number) for number in range(1_000)], "m": [str(number) for number in range(5_000)]}
    texts = expand(Grammar(templates=["few {n}", "many {m} {n}"], slots=wide), 0, 400)
    counts = Counter(text.split()[0] for text in texts)
    assert 140 <= counts["few"] <= 260


def test_every_text_of_a_small_grammar_is_found() -> None:
    assert len(expand(COLOURS, 4, DISTINCT)) == DISTINCT


def test_none_is_none() -> None:
    assert expand(COLOURS, 0, 0) == []


def test_asking_for_more_than_there_are_says_how_many_were_found() -> None:
    with pytest.raises(InvalidInput, match=f"gave {DISTINCT} distinct texts; {DISTINCT + 1} were asked for"):
        expand(COLOURS, 0, DISTINCT + 1)


def test_an_unknown_slot_is_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"slot \{colr\} of .* has no list; there are: colour, size"):
        expand(Grammar(templates=["A {colr} door."], slots={"size": ["big"], "colour": ["red"]}), 0, 1)


def test_slots_within_themselves_are_refused() -> None:
    with pytest.raises(InvalidInput, match="nested too deeply"):
        expand(Grammar(templates=["{a}"], slots={"a": ["{b}"], "b": ["{a}"]}), 0, 1)
