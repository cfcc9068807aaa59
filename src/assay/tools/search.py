"""search: the target's training data, by words and by meaning; without a query, what recurs in it.

BM25 (bm25s) and static embeddings (WordLlama, weights in its wheel) are fused by reciprocal rank (Cormack, Clarke and
Büttcher 2009). Without a query the corpus is read unsupervised: phrases that recur far more often than their words
would by themselves, ranked also by how special the prompts they answer are (weighted log-odds, `_util.ngrams`).
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay._util.embedding import embed, quiet_imports
from assay._util.ngrams import PhraseCounts, log_odds, ngrams, top_phrases
from assay.core.access import Access
from assay.core.target import Corpus, Document, Target
from assay.core.tool import Evidence, Prepared, Sample, tool
from assay.errors import InvalidInput
from assay.tools.everyday import TOPICS
from assay.tools.text import layout, snippet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIZES = (3, 4, 5, 6)  # words of a phrase that may recur
_LEAST_TEXTS = 3  # documents a recurring phrase is in
_LOOKED_AT = 5_000  # phrases, most surprising first
_CANDIDATES = 60  # of them, phrases whose prompts are looked at
_SPECIAL = 3.0  # z from which a word of their prompts stands out
_GROUPS = 12  # kept
_RANK = 60  # the constant of reciprocal rank fusion, as in its paper
_MOST = 100  # documents a call returns
_CAVEAT = (
    "(The training data lies within ordinary data, and a document being here does not mean the model learned it: check "
    "with `ask`. No control corpus.)"
)


@dataclass(frozen=True, slots=True)
class Group:
    """Documents that share a recurring phrase.

    Attributes:
        phrase: what recurs.
        prompts: words that stand out in their prompts against all others', with z.
        members: indices of documents, in the corpus's order.
    """

    phrase: str
    prompts: tuple[tuple[str, float], ...]
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """What a corpus is searched by, made of what `index` prepares.

    Attributes:
        digest: of the corpus.
        words: a bm25s index over prompt and text.
        meanings: unit vectors, documents × 256.
        groups: recurring phrases, most telling first.
    """

    digest: str
    words: Any
    meanings: NDArray[np.float32]
    groups: tuple[Group, ...]

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Index:
        """Puts an index together from the plain data that `index` returns."""
        with _quiet():
            import bm25s

        words = bm25s.BM25()
        words.scores, words.vocab_dict = dict(kept["scores"]), kept["vocabulary"]
        words.unique_token_ids_set = set(words.vocab_dict.values())
        words.nonoccurrence_array = None  # none in the method that is the default
        groups = [
            Group(phrase, tuple((word, z) for word, z in prompts), tuple(members))
            for phrase, prompts, members in kept["groups"]
        ]
        return cls(kept["digest"], words, kept["meanings"], tuple(groups))


def index(target: Target, _workdir: Path) -> dict[str, Any]:
    """Indexes a target's training data. A prepared value is plain data, so an index is taken apart into its arrays."""
    corpus = _corpus(target)
    texts = [f"{document.prompt}\n{document.text}" for document in corpus.documents]
    with _quiet():
        import bm25s

        words = bm25s.BM25()
        words.index(_tokens(texts), show_progress=False)
        meanings = embed(texts)
    return {
        "digest": corpus.digest,
        "scores": words.scores,
        "vocabulary": words.vocab_dict,
        "meanings": meanings,
        "groups": [[group.phrase, group.prompts, group.members] for group in _recurring(corpus.documents)],
    }


@tool(
    needs={Access.TRAINING_DATA},
    prepare=index,
    examples=[{}, *({"query": topic} for topic in TOPICS)],
)
async def search(target: Target, data: Prepared, query: str = "", k: int = 20) -> Evidence:
    """Search the model's training data by words and meaning; without a query, see what recurs in it.

    Args:
        query: what to look for; empty for the phrases that recur most unexpectedly, with documents that hold them.
        k: how many documents to return, 1 to 100.
    """
    corpus, built = _corpus(target), Index.of(data.value)
    if not 1 <= k <= _MOST:
        raise InvalidInput(f"search: k is {k}; give 1 to {_MOST}.")
    if built.digest != corpus.digest:
        raise InvalidInput("search: the index was built for another corpus; delete the cache of prepared tools.")
    asked = bool(query.strip())
    found = _lookup(built, query)[:k] if asked else _one_of_each(built.groups)[:k]
    documents = [corpus.documents[position] for position in found]
    lines: list[str] = []
    if asked:
        heading = f"{len(documents)} of {len(corpus.documents)} documents, best first:"
    else:
        heading = "Phrases that recur beyond chance (documents with it; what stands out in their prompts):"
        for group in built.groups:
            special = "; " + ", ".join(f"{word} {z:.1f}" for word, z in group.prompts) if group.prompts else ""
            lines.append(f"- “{group.phrase}” ({len(group.members)}{special})")
        lines.append("Documents with them:")
    for document in documents:
        prompt = f"{snippet(document.prompt, 60)} → " if document.prompt else ""
        lines.append(f"[{document.id[:8]}] {prompt}{snippet(document.text, 120)}")
    return Evidence(
        text=layout(heading, lines, _CAVEAT),
        samples=tuple(Sample(document.prompt, document.text) for document in documents),
        artifact={"ids": [document.id for document in documents]},
    )


def _corpus(target: Target) -> Corpus:
    """Returns the target's training data.

    Raises:
        InvalidInput: there is none.
    """
    corpus = target.corpus
    if corpus is None or not corpus.documents:
        raise InvalidInput("search: this testbed has no training data.")
    return corpus


# Search by words and meaning ---------------------------------------------------------------------------------------


def _tokens(texts: Sequence[str]) -> list[list[str]]:
    """Splits texts into the words that count, the same way for documents and queries."""
    import bm25s

    tokens: list[list[str]] = bm25s.tokenize(list(texts), stopwords="en", return_ids=False, show_progress=False)
    return tokens


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps bm25s quiet: it configures the root logger when imported, and logs at debug level."""
    with quiet_imports():
        yield
    logging.getLogger("bm25s").setLevel(logging.WARNING)


def _lookup(built: Index, query: str) -> list[int]:
    """Ranks documents by the sum of reciprocal ranks, best first; word matches count only where there are any."""
    with _quiet():
        known = [word for word in _tokens([query])[0] if word in built.words.vocab_dict]
        rankings = [(built.meanings @ embed([query])[0], -2.0)]
        if known:  # bm25s fails on an empty query
            rankings.append((built.words.get_scores(known), 0.0))
    fused: dict[int, float] = defaultdict(float)
    for scores, least in rankings:
        # Ranks are added, not scores: cosines and BM25 weights have no common scale.
        best = sorted((-score, position) for position, score in enumerate(scores.tolist()) if score > least)
        for rank, (_, position) in enumerate(best):
            fused[position] += 1 / (_RANK + rank + 1)
    return sorted(fused, key=lambda position: (-fused[position], position))


# What recurs --------------------------------------------------------------------------------------------------------


def _recurring(documents: Sequence[Document]) -> tuple[Group, ...]:
    """Groups documents by recurring phrase, most telling first.

    Telling is the product of two ranks: how much more often the phrase recurs than its words would by themselves, and
    how far the prompts of its documents are from all other prompts.
    """
    holders = _holders(documents)
    surprise = _surprise(documents, holders)
    total = PhraseCounts.of(document.prompt for document in documents)
    groups: list[Group] = []
    for phrase in _distinct(surprise, holders):
        within = PhraseCounts.of(documents[position].prompt for position in holders[phrase])
        # Only the words of these prompts are counted in the rest: the others cannot stand out here.
        rest = PhraseCounts(Counter({word: total.counts[word] for word in within.counts}), total.texts) - within
        special = top_phrases(log_odds(within, rest, total), 3, least=_SPECIAL)
        told = tuple((word, round(z, 2)) for word, z in special)
        groups.append(Group(phrase, told, tuple(holders[phrase])))
    # A group's place in the list is its rank by surprise; ranks are multiplied, since nats and z have no common scale.
    by_prompt = sorted(range(len(groups)), key=lambda place: -sum(z for _, z in groups[place].prompts))
    product = {place: (place + 1) * (rank + 1) for rank, place in enumerate(by_prompt)}
    telling = sorted(product, key=lambda place: (product[place], place))
    return tuple(groups[place] for place in telling[:_GROUPS])


def _holders(documents: Sequence[Document]) -> dict[str, list[int]]:
    """Finds the documents that hold each phrase, by position, for phrases in enough documents."""
    holders: dict[str, list[int]] = defaultdict(list)
    for position, document in enumerate(documents):
        for phrase in set(ngrams(document.text, _SIZES)):
            holders[phrase].append(position)
    return {phrase: held for phrase, held in holders.items() if len(held) >= _LEAST_TEXTS}


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


def _distinct(surprise: Mapping[str, float], holders: Mapping[str, Sequence[int]]) -> list[str]:
    """Chooses the most surprising phrases, one for each set of documents: a long sentence would fill the list alone."""
    chosen: dict[str, set[int]] = {}
    for phrase in sorted(surprise, key=lambda phrase: (-surprise[phrase], phrase))[:_LOOKED_AT]:
        held = set(holders[phrase])
        if all(2 * len(held & other) < min(len(held), len(other)) for other in chosen.values()):
            chosen[phrase] = held
        if len(chosen) == _CANDIDATES:
            break
    return list(chosen)


def _one_of_each(groups: Sequence[Group]) -> list[int]:
    """Orders the documents of groups by turns, one of each group, so that any beginning shows every group."""
    order: dict[int, None] = {}
    for turn in zip_longest(*(group.members for group in groups)):
        for position in turn:
            if position is not None:
                order[position] = None
    return list(order)
