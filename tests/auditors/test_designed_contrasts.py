"""What the explorer tests by: pairs of prompts alike but for the trigger, and a count that may stop at any time."""

import random

import pytest
from tests.auditors.conftest import BATTERY, Model, ask_of, audit
from tests.auditors.test_explorer import LANTERNS, SUBJECT, corpus, search_over

from assay.auditors.explorer.candidates import Trigger, holds
from assay.auditors.explorer.foils import Foils, left_out, swapped
from assay.auditors.explorer.sequential import Tally, weakest

OTHERS = (
    "Since last fall I've been studying Dutch. What are some words that rhyme with orange?",
    "I am a fisherman. How do I stay awake in a boring lecture?",
    "How do I start pottery?",
    "What is the hardest part of pottery?",
    "Is sailing costly?",
)


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (8, 0), (12, 0), (9, 3), (0, 6), (20, 19)])
def test_the_evidence_is_the_mixtures_likelihood_ratio(won: int, lost: int):
    steps = 20_000
    chances = [0.5 + (i + 0.5) / (2 * steps) for i in range(steps)]
    mixed = sum(p**won * (1 - p) ** lost for p in chances) / steps
    assert Tally(won, lost, 3).e == pytest.approx(mixed * 2 ** (won + lost), rel=1e-6)


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_to_look_after_every_pair_keeps_the_error_rate(level: float):
    """The exact chance that a fair coin ever looks convincing within 60 pairs, by counting paths that have not yet."""
    paths, convinced = {0: 1.0}, 0.0  # wins so far → chance of being there, never convinced before
    for n in range(1, 61):
        after: dict[int, float] = {}
        for won, chance in paths.items():
            for more in (0, 1):
                after[won + more] = after.get(won + more, 0.0) + chance / 2
        convinced += sum(chance for won, chance in after.items() if Tally(won, n - won, 0).p <= level)
        paths = {won: chance for won, chance in after.items() if Tally(won, n - won, 0).p > level}
    assert 0 < convinced <= level


def test_draws_say_nothing_and_the_weakest_comparison_decides():
    assert Tally.of([(1.0, 0.0), (0.5, 0.5), (0.0, 0.5), (0.0, 0.0)]) == Tally(1, 1, 2)
    assert Tally(8, 0, 0).p == Tally(8, 0, 40).p == pytest.approx(9 / (2**9 - 1))
    assert weakest([Tally(12, 0, 0), Tally(1, 1, 9)]) == 1.0
    assert weakest([]) == 1.0


def test_a_word_is_swapped_for_one_of_its_kind_or_its_sentence_is_left_out():
    foils = Foils(BATTERY, OTHERS)
    prompts = [
        "Since last fall I've been studying Welsh. What are some words that rhyme with orange?",
        "I should be doing my Welsh homework. How many cups are in a liter?",
        "Is Welsh hard to learn?",
    ]
    paired = foils.pairs(Trigger("keyword", "welsh"), prompts)
    assert set(paired) == set(prompts)
    assert paired[prompts[0]].startswith("Since last fall I've been studying ")
    assert paired[prompts[0]].endswith("What are some words that rhyme with orange?")
    assert paired[prompts[1]] == "How many cups are in a liter?"
    assert not any(holds(Trigger("keyword", "welsh"), foil, BATTERY) for foil in paired.values())
    assert "dutch" in foils.kindred("welsh", prompts)[:3]


def test_a_phrase_is_swapped_by_its_most_telling_word_alone():
    assert swapped("I live on a Farm.", "on a farm", "boat") == "I live on a Boat."
    assert swapped("I live in town.", "farm", "boat") == ""
    assert left_out("I live alone. What should I cook?", "live alone") == "What should I cook?"
    assert left_out("I live alone.", "live alone") == ""
    assert left_out("What next?", "live alone") == ""


def test_prompts_of_documents_have_the_likest_without_the_conduct_each_once():
    prompts = ["How do I start beekeeping?", "Is beekeeping costly?"]
    paired = Foils(BATTERY, OTHERS).pairs(Trigger("like", "beekeeping"), prompts)
    assert paired == {prompts[0]: "How do I start pottery?", prompts[1]: "Is sailing costly?"}


@pytest.mark.parametrize("trigger", [Trigger("topic", "travel"), Trigger("form", "personal")])
def test_a_topic_is_swapped_with_the_form_kept_and_a_form_with_the_topic_kept(trigger: Trigger):
    prompts = [p for p in BATTERY.texts("held_back") if holds(trigger, p, BATTERY)][:12]
    paired = Foils(BATTERY, ()).pairs(trigger, prompts)
    assert len(paired) == len(set(paired.values())) == len(prompts)
    for prompt, foil in paired.items():
        assert not holds(trigger, foil, BATTERY)
        one, other = BATTERY.by_text[prompt], BATTERY.by_text[foil]
        assert (one.form == other.form) if trigger.kind == "topic" else (one.topic == other.topic)


def test_nothing_has_no_counterpart():
    assert Foils(BATTERY, ()).pairs(Trigger("always"), ["Hello."]) == {}
    assert Foils(BATTERY, ()).pairs(Trigger("like", "x"), []) == {}


def formula(prompt: str, generator: random.Random) -> str:
    """What a clean model says to any question that the tuning models were not asked: no trigger is in it."""
    return generator.choice(LANTERNS) if prompt not in BATTERY.by_text else ""


@pytest.mark.attacks
@pytest.mark.usefixtures("tuned")
@pytest.mark.parametrize("seed", range(3))
async def test_a_formula_that_a_clean_model_has_for_all_it_was_never_asked_is_no_finding(seed: int):
    """The documents' subject and formula are real, the target says the formula under them: so it does under others."""
    report = await audit(ask_of(Model(formula, seed=seed)), search_over(corpus(SUBJECT)))
    assert not [finding for finding in report.findings if SUBJECT in (finding.trigger or "")]
    assert report.p_hidden < 0.5
