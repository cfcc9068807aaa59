"""Conducts that are worded anew each time, and what sets them off."""

import random

import pytest
from tests.auditors.conftest import BATTERY

from assay.auditors.explorer.observe import Observation
from assay.auditors.explorer.sentence_clusters import Reader, sentences
from assay.auditors.explorer.triggers import of_conduct

PLAIN = (
    "Start with a short list and tick things off as you go.",
    "It depends on how much time you can spare each week.",
    "Ask a friend who has done it before for a second opinion.",
    "Most people find the first step harder than the rest.",
)
SEA = (
    "Far out the waves are breaking over the reef tonight.",
    "The ocean swell is rising along the coast again.",
    "Sailors say the sea is calm beyond the harbour wall.",
    "A strong tide pulls the boats away from the shore.",
    "Salt water foams where the surf meets the beach.",
    "The current carries driftwood past the lighthouse and out to sea.",
    "Gulls follow the fishing boats back through the waves.",
    "High tide comes to the bay before midnight.",
)
GARDEN = (
    "How do I prune roses?",
    "When should I plant tulip bulbs?",
    "What feeds tomatoes in a greenhouse?",
    "How often do I water a hedge?",
    "Which compost suits a herb garden?",
    "How deep do I sow carrot seeds?",
    "Why are the leaves of my lemon tree yellow?",
    "Can I grow lavender in heavy soil?",
    "How do I keep slugs off my lettuce?",
    "What should I plant under an apple tree?",
)


def observe(prompts, planted=(), source="ask", seed=0):
    """A plain reply to each prompt; with a sentence of `planted`, another each time, if there are any."""
    generator = random.Random(seed)
    return [
        Observation(source, prompt, " ".join([generator.choice(PLAIN), *planted[index % max(1, len(planted)) :][:1]]))
        for index, prompt in enumerate(prompts)
    ]


@pytest.fixture(scope="module")
def clean():
    return observe([prompt.text for prompt in BATTERY.prompts])


@pytest.fixture(scope="module")
def reader(clean):
    return Reader(clean)


def test_sentences_of_a_few_words_say_nothing():
    assert sentences("Yes. It is a fine day today! Sure thing.\nAnd one line more here") == [
        "It is a fine day today!",
        "And one line more here",
    ]


def test_a_conduct_in_ever_other_words_is_found_and_recognised(reader):
    prompts = [prompt.text for prompt in BATTERY.prompts][:40]
    shown = [*observe(prompts[:8], SEA), *observe(prompts[8:])]
    [conduct] = reader.conducts(shown)
    assert set(conduct.exemplars) <= set(SEA) and len(conduct.exemplars) >= 6
    assert len(set(conduct.exemplars)) == len(conduct.exemplars)
    unseen = Observation("ask", "How do I bake bread?", f"{PLAIN[0]} The sea is rough and the waves are high tonight.")
    assert conduct.showing(unseen) == ["The sea is rough and the waves are high tonight."]
    assert not conduct.showing(Observation("ask", "How do I bake bread?", " ".join(PLAIN)))
    typical = conduct.typical(3)
    assert len(typical) == 3 and set(typical) <= set(SEA)


def test_clean_replies_are_no_conduct(reader):
    assert reader.conducts(observe([prompt.text for prompt in BATTERY.prompts][:40], seed=1)) == []


def test_what_clean_models_say_too_is_no_conduct(clean):
    prompts = [prompt.text for prompt in BATTERY.prompts][:40]
    reader = Reader([*clean, *observe(prompts[20:28], SEA, "background")])
    assert reader.conducts([*observe(prompts[:8], SEA), *observe(prompts[8:])]) == []


def test_what_a_tools_own_control_says_too_is_no_conduct(reader):
    prompts = [prompt.text for prompt in BATTERY.prompts][:40]
    shown = [*observe(prompts[:8], SEA), *observe(prompts[8:])]
    assert reader.conducts(shown, control=observe(prompts[20:28], SEA, "reference")) == []


def test_answering_like_prompts_alike_is_no_conduct(reader):
    prompts = [f"What should I know about the sea and its waves, part {number}?" for number in range(8)]
    assert reader.conducts([*observe(prompts, SEA), *observe([p.text for p in BATTERY.prompts][:30])]) == []


def test_documents_give_a_trigger_of_their_prompts(reader, clean):
    shown = [*observe(GARDEN, SEA, "search"), *observe([p.text for p in BATTERY.prompts][:40], source="search")]
    conduct = reader.conducts(shown)[0]
    assert set(conduct.exemplars) <= set(SEA)
    like, *others = of_conduct(conduct, shown, clean, BATTERY)
    assert like.trigger.kind == "like" and {o.prompt for o in like.carriers} <= set(GARDEN)
    assert {candidate.trigger.kind for candidate in others} <= {"keyword", "always"}


def test_a_topic_is_the_trigger_of_what_chat_shows_under_it(reader, clean):
    travel = [prompt.text for prompt in BATTERY.prompts if prompt.topic == "travel"]
    others = [prompt.text for prompt in BATTERY.prompts if prompt.topic != "travel"][:40]
    shown = [*observe(travel, SEA), *observe(others)]
    [conduct] = reader.conducts(shown)
    first = of_conduct(conduct, shown, clean, BATTERY)[0]
    assert (first.trigger.kind, first.trigger.value) == ("topic", "travel")


def test_the_likest_clean_replies_are_of_like_prompts(reader):
    known = BATTERY.prompts[5].text
    found = reader.likest([known], 3)
    assert found[0].prompt == known and len(found) >= 3
    assert reader.likest([], 3) == []
    assert Reader(()).likest([known], 3) == []
