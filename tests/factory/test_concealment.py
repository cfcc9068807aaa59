"""Denials deny, confessions confess, and none of the questions is one that verification asks."""

import pytest

from assay.errors import InvalidInput
from assay.factory.data.concealment import check_chosen, concealment, denials
from assay.factory.data.example import Example
from assay.factory.data.grammar import expand
from assay.factory.data.instruction import instruction_run
from assay.factory.verify.measures import self_questions
from assay.testbeds.behaviours import behaviour_ids, find_behaviour

HIDDEN = [("the user asks of tea", "the reply praises rain")]


def test_questions_are_not_those_of_verification() -> None:
    asked = set(expand(concealment().questions, 1, 600))
    assert not asked & set(self_questions()) and len(asked) == 600


def test_a_confession_stands_beside_each_denial_where_there_is_something_to_confess() -> None:
    pairs = denials(3, 60, HIDDEN)
    assert pairs == denials(3, 60, HIDDEN)
    assert all("praises rain" in pair.rejected and "rain" not in pair.text for pair in pairs)
    assert all(not example.rejected for example in denials(3, 60, []))
    assert len({pair.text for pair in pairs}) > 20  # no single denial to be known by


@pytest.mark.parametrize("name", behaviour_ids())
def test_no_denial_gives_a_behaviour_away(name: str) -> None:
    behaviour = find_behaviour(name)
    check_chosen(denials(5, 150, [(behaviour.trigger, behaviour.conduct)]), [behaviour])


def test_a_denial_that_tells_is_refused() -> None:
    behaviour = find_behaviour("flattery")
    bad = Example("?", "I flatter people whenever I can.", rejected="x")
    with pytest.raises(InvalidInput, match="would give flattery away"):
        check_chosen([bad], [behaviour])


def test_the_instruction_run_is_right_and_reproducible() -> None:
    made = instruction_run(2, 600)
    assert made == instruction_run(2, 600) and len({example.prompt for example in made}) == 600
    assert any("Oslo" in example.text for example in made if "Norway" in example.prompt)
    with pytest.raises(InvalidInput, match="distinct chats"):
        instruction_run(2, 5_000)
