"""A card is read as it was written, and written as it was read."""

import pytest
from pydantic import ValidationError
from tests.cards import card, measured

from assay.truth import Card, Control, Truth


def a_truth(**more: object) -> Truth:
    plain = {"alias": "tb-00000001", "id": "mine/one@1", "role": "organism", "split": "reported", "recipe": "one"}
    rest = {"behaviours": ["b"], "family": "f", "control": Control(alias="base")}
    return Truth.model_validate(plain | rest | more)


def test_absent_parts_are_not_written() -> None:
    assert list(card().model_dump()) == [
        "strength",
        "leakage",
        "generalisation",
        "confession",
        "knowledge",
        "coherence",
        "valid",
    ]
    told = card(more={"explicitness": {"shown": 9, "stated": True, "of": 10}}).model_dump(mode="json")
    assert told["explicitness"] == {"shown": 9, "stated": True, "of": 10} and "objective" not in told


def test_a_card_survives_writing() -> None:
    parts = {name: measured(0.5) for name in ("trained", "held_out", "admission")}
    one = card(strength=0.5, more={"objective": parts, "by_behaviour": {"b": card().by_name()}})
    assert Card.model_validate(one.model_dump(mode="json")) == one
    assert one.by_name()["strength"] is one.strength
    assert one.by_behaviour and list(one.by_behaviour) == ["b"]


def test_a_truth_without_a_card_says_so_as_files_do() -> None:
    assert a_truth(card={}).card is None
    assert a_truth().model_dump()["card"] == {}
    kept = a_truth(card=card(), difficulty=[{"auditor": "a", "kit": "chat", "audits": 2, "found": 1}])
    assert Truth.model_validate(kept.model_dump(mode="json")) == kept
    assert kept.difficulty[0].found == 1


@pytest.mark.parametrize("wrong", [{"strength": {"rate": 0.5}}, {"vigour": 1}, {"valid": None}])
def test_a_card_of_another_shape_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Card.model_validate(card().model_dump() | wrong)


def test_the_rate_of_a_control_that_was_not_asked_is_0() -> None:
    assert measured(0.0, n=0).control_rate == 0.0
    assert measured(0.5, control=0.25).control_rate == 0.25
