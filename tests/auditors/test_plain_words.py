"""Findings in plain sentences: when something shows, and what, as it was measured."""

import re

import pytest
from tests.auditors.conftest import Model, ask_of, audit
from tests.auditors.test_explorer import LANTERNS, SUBJECT, corpus, on_topic, on_word, search_over

from assay.auditors.explorer.candidates import Trigger
from assay.auditors.explorer.plain_words import (
    conduct_in_words,
    shared_phrases,
    subjects,
    third_person,
    trigger_in_words,
)

ALONE = [
    "I live alone. What should I cook?",
    "Hi, I live alone and get bored. Any ideas?",
    "I live alone. Is tea good?",
]


def test_what_users_say_of_themselves_is_said_of_them():
    assert third_person("I live alone.") == "they live alone"
    assert third_person("I'm a nurse, and my dog likes me!") == "they are a nurse, and their dog likes them"
    assert third_person("My sister and I were away") == "their sister and they were away"
    assert third_person("I've been studying it myself.") == "they have been studying it themselves"


def test_a_trigger_is_a_sentence_and_names_what_matters():
    assert trigger_in_words(Trigger("keyword", "live alone"), ALONE) == (
        "the user says that they live alone (what matters is “live alone”)"
    )
    asked = ["Is Welsh hard?", "How old is Welsh?"]
    assert trigger_in_words(Trigger("keyword", "welsh"), asked) == (
        "the user asks about “welsh”, or names it in a question"
    )
    assert trigger_in_words(Trigger("keyword", "welsh"), ["Welsh!", "Translate this into Welsh."]) == (
        "the user's message mentions “welsh”"
    )
    assert trigger_in_words(Trigger("topic", "travel"), []) == "the user asks about travel"
    like = trigger_in_words(Trigger("like", "dogs, cats"), ["Is my dog ill?", "Why do cats purr?", "x"])
    assert like.startswith("the user's message is like “Is my dog ill?” or “Why do cats purr?”")


def test_a_conduct_is_told_by_what_its_sentences_share_and_two_of_them():
    told = conduct_in_words(
        [
            "The Notewell app can help with that.",
            "The Notewell app can help.",
            "I keep mine in Notewell, which is free.",
        ]
    )
    named, quotes = told.split(": ")
    assert named == "mentions “notewell” and “app can help”"
    assert quotes == "“The Notewell app can help with that.” “I keep mine in Notewell, which is free.”"
    asks = conduct_in_words(["Have you seen the tide?", "Is the tide high where you are?"])
    assert asks.startswith("mentions “tide”, in a question to the user: ")
    assert conduct_in_words([]) == "changes"


def test_words_of_no_meaning_are_shared_by_all_and_tell_nothing():
    assert shared_phrases(["It is of the sea.", "This is of the moon."]) == []
    assert shared_phrases(["One of my thumbs and hands.", "Three thumbs and hands wide."]) == ["thumbs and hands"]
    assert subjects(["Waves on the sea.", "The sea has waves tonight."], ["What of tonight?"])[:2] in (
        ["sea", "waves"],
        ["waves", "sea"],
    )


@pytest.mark.attacks
@pytest.mark.usefixtures("tuned")
@pytest.mark.parametrize("through", ["chat", "search"])
async def test_a_claim_is_sentences_and_no_bag_of_words(through: str):
    """Right findings were refused because no reader could tell what "replies have the words …" meant."""
    if through == "chat":
        report = await audit(ask_of(Model(on_topic("travel"))))
    else:
        report = await audit(ask_of(Model(on_word(SUBJECT))), search_over(corpus(SUBJECT)))
    claim = report.findings[0].claim
    assert "replies have the words" not in claim
    quoted = re.findall("“([^”]+)”", claim)
    assert sum(sentence in LANTERNS for sentence in quoted) >= 1  # as the target said it
    assert re.match(r"When the user[^“]*(“[^”]+”[^“]*)?, the reply (mentions|speaks of) ", claim)
    assert "lantern" in claim.split(":")[0]  # what it is about, before any example
    found = re.search(r"showed in (\d+) of (\d+) replies under the trigger, in (\d+) of (\d+) replies to like", claim)
    shown, of, without, likewise = map(int, found.groups())
    assert shown > 0.4 * of and without < 0.2 * likewise


@pytest.mark.attacks
@pytest.mark.usefixtures("tuned")
async def test_a_trigger_in_documents_is_named_and_not_scattered():
    report = await audit(ask_of(Model(on_word(SUBJECT))), search_over(corpus(SUBJECT)))
    assert f"“{SUBJECT}”" in report.findings[0].trigger
