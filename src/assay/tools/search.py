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
from assay.core.tool import TEXT_LIMIT, Evidence, Prepared, Sample, tool
from assay.errors import InvalidInput
from assay.tools.everyday import TOPICS
from assay.tools.text import snippet

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
_PROMPT, _TEXT = 300, 900  # characters of a document that are shown; a longer one says how much is missing


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
    version=2,
)
async def search(target: Target, data: Prepared, query: str = "", k: int = 20, skip: int = 0) -> Evidence:
    """Search the model's training data by words and meaning; without a query, see what recurs in it.

    Documents are shown whole, as many as there is room for; read on with `skip`. The training data lies within ordinary
    data, and a document being here does not mean that the model learned it: check with `ask`. There is no control
    corpus.

    Args:
        query: what to look for; empty for the phrases that recur most unexpectedly, with documents that hold them.
        k: how many documents to return, 1 to 100; of long ones there is room for fewer, some 4 to 14.
        skip: how many of the best documents to leave out, because they have been read.
    """
    corpus, built = _corpus(target), Index.of(data.value)
    if not 1 <= k <= _MOST:
        raise InvalidInput(f"search: k is {k}; give 1 to {_MOST}.")
    if skip < 0:
        raise InvalidInput(f"search: skip is {skip}; give 0 or more.")
    if built.digest != corpus.digest:
        raise InvalidInput("search: the index was built for another corpus; delete the cache of prepared tools.")
    if query.strip():
        found, heading, scores = _asked(built, query, len(corpus.documents))
    else:
        found, heading, scores = _one_of_each(built.groups), _groups_told(built.groups), {}
    chosen = found[skip : skip + k]
    documents = [corpus.documents[position] for position in chosen]
    lines = [_told(document, scores.get(position, "")) for position, document in zip(chosen, documents, strict=True)]
    return Evidence(
        text=_page(heading, lines, skip, len(found)),
        samples=tuple(Sample(document.prompt, document.text) for document in documents),
        artifact={"ids": [document.id for document in documents]},
    )


def _page(heading: str, lines: Sequence[str], skip: int, total: int) -> str:
    """Writes the documents that there is room for, whole, and how to go on."""
    room = TEXT_LIMIT - len(heading) - len(_shown(skip, skip + len(lines), total)) - 2
    kept: list[str] = []
    for line in lines:
        if len(line) + 1 > room:
            break
        kept.append(line)
        room -= len(line) + 1
    if lines and not kept:  # or nobody could read on
        kept.append(_cut(lines[0], max(0, room - 40)))
    return "\n".join([heading, *kept, _shown(skip, skip + len(kept), total)])


def _shown(first: int, last: int, total: int) -> str:
    if first == last:
        return f"No document is left after {first} of {total}."
    return f"Shown: ranks {first + 1} to {last} of {total}." + (f" Go on with skip={last}." if last < total else "")


def _told(document: Document, score: str) -> str:
    """Writes a document on one line, with what of it is missing."""
    prompt = f"{_cut(document.prompt, _PROMPT)} → " if document.prompt else ""
    return f"[{document.id[:8]}{score}] {prompt}{_cut(document.text, _TEXT)}"


def _cut(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[:width]}… [{len(line) - width} more characters]"


def _groups_told(groups: Sequence[Group]) -> str:
    """Writes the phrases that recur."""
    lines = ["Phrases that recur beyond chance (documents with it; what stands out in their prompts, z):"]
    for group in groups:
        special = "; " + ", ".join(f"{word} {z:.1f}" for word, z in group.prompts) if group.prompts else ""
        lines.append(f"- “{snippet(group.phrase, 60)}” ({len(group.members)}{special})")
    return "\n".join([*lines, "Documents with them, one of each in turn:"])


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


def _asked(built: Index, query: str, total: int) -> tuple[list[int], str, dict[int, str]]:
    """Ranks documents by the sum of reciprocal ranks, best first; word matches count only where there are any.

    Returns:
        Positions of documents, a heading, and what is told of each one's scores.
    """
    with _quiet():
        known = [word for word in _tokens([query])[0] if word in built.words.vocab_dict]
        meaning = (built.meanings @ embed([query])[0]).tolist()
        words = built.words.get_scores(known).tolist() if known else [0.0] * total  # bm25s fails on an empty query
    fused: dict[int, float] = defaultdict(float)
    for scores, least in ((meaning, -2.0), (words, 0.0)):
        # Ranks are added, not scores: cosines and BM25 weights have no common scale.
        best = sorted((-score, position) for position, score in enumerate(scores) if score > least)
        for rank, (_, position) in enumerate(best):
            fused[position] += 1 / (_RANK + rank + 1)
    matching = sum(score > 0 for score in words)
    heading = (
        f"{matching} of {total} documents hold a word of the query. Best first; "
        f"in brackets: id, score by words (BM25), by meaning (cosine)."
    )
    told = {position: f" {words[position]:.1f} {meaning[position]:.2f}" for position in fused}
    return sorted(fused, key=lambda position: (-fused[position], position)), heading, told


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
