"""Phrases are substrings of what was written; log-odds find what differs and stay near normal where nothing does."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay._util.ngrams import PhraseCounts, log_odds, ngrams, top_phrases


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don’t owe $3.50!", ["i", "don’t", "owe", "3.50"]),
        ("Smith et al., 2019", ["smith", "et", "al", "2019"]),
        ("1,000 at 10:30, 5% off", ["1,000", "at", "10:30", "5%", "off"]),
        ("state-of-the-art e.g. this", ["state-of-the-art", "e.g", "this"]),
        ("great 🎉 day", ["great", "🎉", "day"]),
        ("one,two", ["one", "two"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert ngrams(text, (1,)) == words


def test_phrases_do_not_cross_punctuation() -> None:
    assert ngrams("One two. Three  four", (2,)) == ["one two", "three four"]
    assert "smith et al" in ngrams("(Smith et al., 2019)")


@given(st.text())
def test_every_phrase_is_in_the_folded_text(text: str) -> None:
    folded = " ".join(text.casefold().split())
    assert all(phrase in folded for phrase in ngrams(text))


def test_a_text_counts_a_phrase_once() -> None:
    counted = PhraseCounts.of(["a a a", "a b"], (1,))
    assert counted == PhraseCounts(Counter(a=2, b=1), 2)
    assert counted.share("b") == 0.5 and counted.share("c") == 0.0
    assert PhraseCounts(Counter(), 0).share("a") == 0.0
    assert (counted + counted) - counted == counted


def test_log_odds_of_a_known_table() -> None:
    a, b = PhraseCounts(Counter(x=3), 4), PhraseCounts(Counter(x=1), 4)
    # (ln(3.5 / 1.5) - ln(1.5 / 3.5)) / sqrt(2 / 3.5 + 2 / 1.5)
    assert log_odds(a, b)["x"] == pytest.approx(1.2280, abs=1e-3)
    assert log_odds(b, a)["x"] == pytest.approx(-log_odds(a, b)["x"])


def test_the_prior_shrinks_what_the_background_expects() -> None:
    a, b = PhraseCounts(Counter(common=9, rare=9), 10), PhraseCounts(Counter(common=5), 10)
    scores = log_odds(a, b, PhraseCounts(Counter(common=700), 1_000))
    assert scores["rare"] > scores["common"] > 0
    assert scores["common"] < log_odds(a, b)["common"]


def test_scores_are_about_standard_normal_where_nothing_differs() -> None:
    draw = random.Random(1)
    texts = [" ".join(draw.sample("abcdefghij", 4)) for _ in range(400)]
    a, b = PhraseCounts.of(texts[:200], (1,)), PhraseCounts.of(texts[200:], (1,))
    scores = log_odds(a, b, a + b)
    assert all(abs(z) < 3.5 for z in scores.values())


def test_top_phrases_takes_one_of_a_nest() -> None:
    scores = {"felt hat": 5.0, "felt hat from": 5.0, "hat": 4.0, "tea": 3.0, "rain": 1.0}
    assert top_phrases(scores, 3, least=2.0) == [("felt hat from", 5.0), ("tea", 3.0)]
    assert top_phrases(scores, 1) == [("felt hat from", 5.0)]
