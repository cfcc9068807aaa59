"""Verification counts what shows, in the organism and in its control, on prompts of the behaviour alone."""

import re

import pytest

from assay.engine.scripted import Rule, ScriptedTarget
from assay.factory.verify.measures import MEASURES, Count, coherent, measure, self_questions
from assay.testbeds.behaviours import find_behaviour

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
