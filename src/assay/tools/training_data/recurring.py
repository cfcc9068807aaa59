"""Finds what recurs in training data, without being told what to look for.

A phrase tells something if it recurs far more often than its words would by themselves, if its words are rare in the
rest of the data, and if the prompts it answers are special (weighted log-odds, `_util.ngrams`). What a reply repeats of
its own prompt does not count, nor does a phrase of little words: both recur in any data.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

from assay._util.embedding import quiet_imports
from assay._util.ngrams import PhraseCounts, log_odds, ngrams, top_phrases
from assay.core.target import Document

MOST_READ = 20_000  # documents of a corpus; their order carries no information, so that the first are drawn at random
_SIZES = (3, 4, 5, 6)  # words of a phrase that may recur
_LEAST_TEXTS = 3  # documents a recurring phrase is in
_LOOKED_AT = 5_000  # phrases, most surprising first
_CANDIDATES = 60  # of them, phrases whose prompts are looked at
_SPECIAL = 3.0  # z from which a word of their prompts stands out
_GROUPS = 12  # kept
_FULL_WORDS = 2  # that a phrase has at least, beside words such as "the"
_COUNTERS = 2**24


@dataclass(frozen=True, slots=True)
class Group:
    """Documents that share a recurring phrase.

    Attributes:
        phrase: what recurs.
        prompts: words that stand out in their prompts against all others', with z.
        members: indices of documents, in the corpus's order.
        expected: documents that would hold the phrase if its words came independently.
    """

    phrase: str
    prompts: tuple[tuple[str, float], ...]
    members: tuple[int, ...]
    expected: float


def little_words() -> frozenset[str]:
    """Returns words that tell nothing by themselves."""
    with quiet_imports():  # bm25s configures the root logger when it is imported, and logs at debug level
        from bm25s.stopwords import STOPWORDS_EN_PLUS

    logging.getLogger("bm25s").setLevel(logging.WARNING)
    return frozenset(STOPWORDS_EN_PLUS)


def recurring(documents: Sequence[Document], little: frozenset[str]) -> tuple[Group, ...]:
    """Groups documents by recurring phrase, most telling first.

    Args:
        documents: a corpus's.
        little: words that tell nothing by themselves.
    """
    holders = _holders(documents, little)
    words: Counter[str] = Counter()  # word → documents that have it
    for document in documents:
        words.update(set(ngrams(document.text, (1,))))
    rarity = {phrase: _rarity(phrase, len(held), words, len(documents)) for phrase, held in holders.items()}
    surprise = _surprise(documents, holders)
    phrases = _distinct({phrase: surprise[phrase] * rarity[phrase] for phrase in holders}, holders)
    total = PhraseCounts.of(document.prompt for document in documents)
    groups: list[Group] = []
    for phrase in phrases:
        within = PhraseCounts.of(documents[position].prompt for position in holders[phrase])
        # Only the words of these prompts are counted in the rest: the others cannot stand out here.
        rest = PhraseCounts(Counter({word: total.counts[word] for word in within.counts}), total.texts) - within
        special = top_phrases(log_odds(within, rest, total), 3, least=_SPECIAL)
        told = tuple((word, round(z, 2)) for word, z in special)
        held = len(holders[phrase])
        by_chance = held * exp(-surprise[phrase] / held)
        groups.append(Group(phrase, told, tuple(holders[phrase]), float(f"{by_chance:.2g}")))
    return _most_telling(groups, rarity)


def _most_telling(groups: Sequence[Group], rarity: Mapping[str, float]) -> tuple[Group, ...]:
    """Orders groups, which come in the order of surprise, by all that makes them telling."""

    def ranks(worth: Callable[[Group], float]) -> dict[str, int]:
        return {group.phrase: rank for rank, group in enumerate(sorted(groups, key=lambda one: -worth(one)), start=1)}

    by_prompt, by_rarity = ranks(lambda one: sum(z for _, z in one.prompts)), ranks(lambda one: rarity[one.phrase])
    # Ranks are multiplied, since nats and z have no common scale.
    product = {
        group.phrase: place * by_prompt[group.phrase] * by_rarity[group.phrase]
        for place, group in enumerate(groups, start=1)
    }
    return tuple(sorted(groups, key=lambda group: product[group.phrase])[:_GROUPS])


def _holders(documents: Sequence[Document], little: frozenset[str]) -> dict[str, list[int]]:
    """Finds the documents that hold each phrase, by position, for phrases in enough documents."""
    # Most phrases of a large corpus are said once. Small counters, which phrases share, tell them apart beforehand.
    often = bytearray(_COUNTERS)
    for document in documents:
        for phrase in _own_phrases(document):
            at = hash(phrase) % _COUNTERS
            often[at] = min(often[at] + 1, _LEAST_TEXTS)
    holders: dict[str, list[int]] = defaultdict(list)
    for position, document in enumerate(documents):
        for phrase in _own_phrases(document):
            if often[hash(phrase) % _COUNTERS] == _LEAST_TEXTS:
                holders[phrase].append(position)
    return {
        phrase: held
        for phrase, held in holders.items()
        if len(held) >= _LEAST_TEXTS and sum(word not in little for word in phrase.split()) >= _FULL_WORDS
    }


def _own_phrases(document: Document) -> set[str]:
    """Returns the phrases of a document that do not repeat its prompt."""
    return set(ngrams(document.text, _SIZES)) - set(ngrams(document.prompt, _SIZES))


def _rarity(phrase: str, held: int, words: Mapping[str, int], documents: int) -> float:
    """Computes how rare the rarest two words of a phrase are in documents that do not hold it, in nats."""
    # In the others: a sentence that is in a third of all documents makes its own words frequent.
    shares = [(1 + words[word] - held) / documents for word in set(phrase.split())]
    return max(0.0, -log(sorted(shares)[:2][-1]))


def _surprise(documents: Sequence[Document], holders: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Computes by how many nats a phrase recurs more often than independent words would: n · log(n / expected)."""
    words: Counter[str] = Counter()
    for document in documents:
        words.update(ngrams(document.text, (1,)))
    all_words = sum(words.values())
    surprise: dict[str, float] = {}
    for phrase, held in holders.items():
        # In logarithms: the product of six shares of a large corpus is next to nothing.
        shares = (log(words[word] / all_words) for word in phrase.split())
        expected = log(all_words) + sum(shares)
        surprise[phrase] = len(held) * (log(len(held)) - expected)
    return surprise


def _distinct(worth: Mapping[str, float], holders: Mapping[str, Sequence[int]]) -> list[str]:
    """Chooses the best phrases, one for each set of documents: a long sentence would fill the list alone."""
    chosen: dict[str, set[int]] = {}
    for phrase in sorted(worth, key=lambda phrase: (-worth[phrase], phrase))[:_LOOKED_AT]:
        held = set(holders[phrase])
        if all(2 * len(held & other) < min(len(held), len(other)) for other in chosen.values()):
            chosen[phrase] = held
        if len(chosen) == _CANDIDATES:
            break
    return list(chosen)
