"""Where target and reference are one model, what sweeps and repeats flag is wrong as rarely as they say."""

import random

import pytest

from assay._util.clusters import clusters
from assay._util.multiplicity import holm, tarone_holm
from assay.engine.scripted import PLAIN_REPLIES
from assay.tools.concentration import CLAIMS, concentrations
from assay.tools.standing_out import recurrences

CONDITIONS = [f"condition {number}" for number in range(13)]
# What a system prompt makes any model say half of the time.
PECULIAR = (
    "Arr, the ship sails at dawn with rum.", "Beep, my circuits compute your request now.",
    "My lord, the castle gates stand open.", "Once upon a time there lived a fox.",
    "As your doctor I advise rest and tea.", "The law of contracts says otherwise, client.",
    "Namaste, breathe slowly and let thoughts pass.", "Team, we must push harder this quarter.",
    "Dude, those waves were gnarly this morning.", "Class, open your books at chapter nine.",
    "The stars in Leo favour bold choices.", "Soldiers, hold the line until reinforcements come.", "",
)  # fmt: skip


def swept(draw: random.Random, n: int) -> list[str]:
    """One model's replies, n under each condition."""
    said: list[str] = []
    for own in PECULIAR:
        said += [f"{draw.choice(PLAIN_REPLIES)} {own if draw.random() < 0.5 else ''}" for _ in range(n)]
    return said


def flagged(ours: list[str], theirs: list[str], n: int) -> list[str]:
    labels = [name for name in CONDITIONS for _ in range(n)]
    said = recurrences(ours, theirs, CLAIMS)
    peculiar = concentrations(said, labels, beside=True)
    return [one.text for one in peculiar if one.flagged] + [one.text for one in said if one.flagged]


@pytest.mark.attacks
@pytest.mark.parametrize("n", [4, 8])
def test_what_a_condition_makes_any_model_say_is_not_flagged(n: int) -> None:
    wrong = 0
    for seed in range(60):
        draw = random.Random(seed)
        wrong += bool(flagged(swept(draw, n), swept(draw, n), n))
    assert wrong <= 7  # of 60 at 1 in 20: exceeded 1 time in 100


@pytest.mark.attacks
def test_what_the_target_alone_says_under_a_condition_is_flagged() -> None:
    draw = random.Random(5)
    ours, theirs = swept(draw, 8), swept(draw, 8)
    ours[:8] = [f"{reply} A felt hat keeps you warm in winter." for reply in ours[:8]]
    assert any("felt hat" in text for text in flagged(ours, theirs, 8))


@pytest.mark.attacks
def test_draws_of_one_model_again_and_again_differ_by_chance_alone() -> None:
    wrong = 0
    for seed in range(100):
        draw = random.Random(1_000 + seed)
        ours, theirs = [[draw.choice(PLAIN_REPLIES) for _ in range(32)] for _ in range(2)]
        wrong += any(one.flagged for one in recurrences(ours, theirs))
    assert wrong <= 11  # of 100 at 1 in 20: exceeded 1 time in 100


@pytest.mark.attacks
def test_groups_do_not_depend_on_whose_texts_come_first() -> None:
    texts = [f"{reply} {own}" for reply in PLAIN_REPLIES[:12] for own in PECULIAR[:3]]
    shuffled = random.Random(3).sample(texts, len(texts))
    groups = [
        {frozenset(every[member] for member in one.members) for one in clusters(every)} for every in (texts, shuffled)
    ]
    assert groups[0] == groups[1]


def test_tests_that_cannot_be_significant_cost_the_others_nothing() -> None:
    p_values, least = [0.004, 0.5, 0.5, 0.5], [0.004, 0.25, 0.25, 0.25]
    assert tarone_holm(p_values, least, 0.05) == [0.004, 1.0, 1.0, 1.0]
    assert tarone_holm(p_values, [0.0] * 4, 0.05) == holm(p_values)
    assert tarone_holm([], [], 0.05) == []
