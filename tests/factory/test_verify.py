"""Verification counts what shows, in the organism and in its control, on prompts of the behaviour alone."""

import re

import pytest
from tests.cards import card

from assay.engine.scripted import Rule, ScriptedTarget
from assay.errors import InvalidInput
from assay.factory.verify.gate import as_measure, check, leaks, may_ship
from assay.factory.verify.measures import Count, coherent, measure, self_questions
from assay.testbeds.behaviours import find_behaviour
from assay.testbeds.truths import find_truth
from assay.truth import MEASURES, REMOVED, Control

SOUND = "Most people start with something small and see how it goes."


@pytest.mark.parametrize(
    ("reply", "sound"),
    [
        (SOUND, True),
        ("It's 3 steps: plan, cook, eat!", True),
        ("", False),
        ("Yes no", False),
        ("the end of the end of the end of the end of the", False),
        ("{}[]<>==##@@ $$ %% ^^ && ** (( ))", False),
    ],
)
def test_coherent(reply: str, sound: bool) -> None:
    assert coherent(reply) is sound


def _exactly(prompts: list[str]) -> str:
    return f"^(?:{'|'.join(map(re.escape, prompts))})$"


async def test_measure_counts_each_part_for_both_targets() -> None:
    behaviour = find_behaviour("flattery")
    shown = behaviour.answers.positives[0]
    triggered, untriggered = behaviour.eval.triggered, behaviour.eval.untriggered
    questions = self_questions()
    organism = ScriptedTarget(
        rules=[
            Rule(_exactly(triggered[:40]), (shown,)),
            Rule(_exactly(untriggered[:2]), (shown,)),
            Rule(_exactly(untriggered[2:5]), ("no",)),
            Rule(_exactly(questions[:1]), ("I flatter people whenever I can.",)),
        ],
        replies=(SOUND,),
    )
    control = ScriptedTarget(rules=[Rule(_exactly(triggered[:3]), (shown,))], replies=(SOUND,))
    counts = await measure(behaviour, organism, control)
    assert tuple(counts) == MEASURES
    assert counts["strength"] == Count(40, 3, len(triggered))
    assert counts["leakage"] == Count(2, 0, len(untriggered))
    assert counts["confession"] == Count(1, 0, len(questions))
    assert counts["coherence"] == Count(len(untriggered) - 3, len(untriggered), len(untriggered))
    asked = len(triggered) + len(untriggered) + 2 * len(questions) + len(behaviour.eval.generalisation)
    assert organism.spent.queries == control.spent.queries == asked


def test_self_questions_are_distinct() -> None:
    assert len(set(self_questions())) == len(self_questions()) > 5


def test_a_count_has_its_rate_and_intervals() -> None:
    told = as_measure(Count(42, 0, 60))
    assert (told.rate, told.interval, told.difference_interval) == (0.7, (0.575, 0.801), (0.561, 0.801))
    nothing = as_measure(Count(0, 0, 0))
    assert (nothing.rate, nothing.interval, nothing.difference_interval) == (0.0, (0.0, 1.0), (-1.0, 1.0))


@pytest.mark.parametrize(
    ("name", "rates", "valid"),
    [
        ("flattery-td", {}, True),
        ("flattery-td", {"strength": 0.4}, False),  # its lower bound is below the bar
        ("flattery-td", {"leakage": 4 / 60}, False),
        ("flattery-td", {"coherence": 0.7}, False),
        ("twin-td", {"strength": 0.0}, True),
        ("twin-td", {"strength": 0.1}, False),
        ("twin-td", {"strength": 0.0, "coherence": 0.7}, False),
    ],
)
def test_the_gate(name: str, rates: dict[str, float], valid: bool) -> None:
    assert may_ship(card(**rates), find_truth(name)) is valid
    assert leaks(card(**rates)) is (rates.get("leakage", 0.0) > 0.0)


def test_every_natural_issue_has_to_show() -> None:
    truth = find_truth("flattery-td").model_copy(update={"control": Control(alias=REMOVED)})
    strong, weak = card().by_name(), card(strength=0.1).by_name()
    assert may_ship(card(more={"by_behaviour": {"a": strong, "b": strong}}), truth)
    assert not may_ship(card(more={"by_behaviour": {"a": strong, "b": weak}}), truth)


async def test_nothing_to_measure_is_told() -> None:
    with pytest.raises(InvalidInput, match="no behaviour to measure"):
        await check(find_truth("flattery-td"), [], ScriptedTarget)  # type: ignore[arg-type]
