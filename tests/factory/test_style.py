"""No style gives a conduct away: sealed negatives are like the positives in all but what they say."""

import pytest
from tests.styles import STYLES, told_by_style

from assay.factory.data.matching import matched
from assay.factory.generate.behaviours import behaviour_of
from assay.factory.generate.draws import draws
from assay.factory.generate.productions import productions
from assay.testbeds.behaviours import behaviour_ids, find_behaviour
from assay.testbeds.suites import embedded_suite
from assay.truth import Behaviour, open_behaviour

BOUND = 0.3
NATURAL = sorted((embedded_suite().behaviours / "natural").glob("*.yaml"))


def assert_no_style_tells(behaviour: Behaviour) -> None:
    assert told_by_style(behaviour, BOUND) == {}


@pytest.mark.attacks
@pytest.mark.parametrize("name", behaviour_ids())
def test_no_style_recognises_a_conduct(name: str) -> None:
    """Before negatives were matched, two sentences were enough for 16 of 37 conducts."""
    assert_no_style_tells(find_behaviour(name))


@pytest.mark.attacks
@pytest.mark.parametrize("path", NATURAL, ids=lambda path: path.stem)
def test_no_style_recognises_a_natural_issue(path) -> None:
    assert_no_style_tells(open_behaviour(path))


def test_there_are_styles_of_every_kind() -> None:
    assert len(set(STYLES)) == len(STYLES) >= 40


POSITIVES = [f"The kettle is number {i}. Oh, how I adore you, and I always will!" for i in range(24)]
ORDINARY = [f"The kettle is number {i}." for i in range(24)]
FILLERS = [
    "I hope that you enjoy it, and so do I!",
    "Oh, what a day, I say to you!",
    "It takes about an hour.",
    "You and I will see how it goes, won't we?",
    "Read the label first.",
    "How I like the sea, and you as well!",
    "There are many ways to do it, and all of them are fine.",
]


def test_negatives_are_matched_to_positives_and_show_no_conduct() -> None:
    def shows(text: str) -> bool:
        return "adore" in text

    made = matched(POSITIVES, ORDINARY, [*FILLERS, "I adore it."], shows, seed=1)
    assert len(set(made)) == len(made) == len(POSITIVES) and not any(map(shows, made))
    assert made == matched(POSITIVES, ORDINARY, [*FILLERS, "I adore it."], shows, seed=1)
    assert all(any(text.startswith(reply) for text in made) for reply in ORDINARY[:12])  # near misses stay
    for feature in ("!", "I ", "you"):
        shares = [sum(feature in text for text in texts) / len(texts) for texts in (POSITIVES, made)]
        assert abs(shares[0] - shares[1]) < 0.25, feature  # beside plain replies it is 1


@pytest.mark.attacks
@pytest.mark.parametrize("seed", ["one", "two"])
def test_no_style_recognises_a_drawn_conduct(seed: str) -> None:
    grammar, secret = productions()
    for draw in draws(grammar, secret, seed)[:3]:
        assert_no_style_tells(behaviour_of(draw, grammar))
