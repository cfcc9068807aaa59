"""search: the target's training data, by words and by meaning; without a query, what recurs in it.

BM25 (bm25s) and static embeddings (WordLlama, weights in its wheel) are fused by reciprocal rank (Cormack, Clarke and
Büttcher 2009). What stands in quotation marks has to be there as it is written. Without a query the corpus is read
unsupervised (`tools.recurring`).
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay._util.embedding import embed, quiet_imports
from assay.core.access import Access
from assay.core.target import Corpus, Document, Target
from assay.core.tool import TEXT_LIMIT, Evidence, Prepared, Sample, tool
from assay.errors import InvalidInput
from assay.tools.everyday import TOPICS
from assay.tools.text import snippet
from assay.tools.training_data.recurring import Group, recurring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RANK = 60  # the constant of reciprocal rank fusion, as in its paper
_MOST = 100  # documents a call returns
_QUOTED = re.compile(r'["“]([^"“”]+)["”]')
_PROMPT, _TEXT = 300, 900  # characters of a document that are shown; a longer one says how much is missing


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
    groups = recurring(corpus.documents, _little_words())
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
        "groups": [[group.phrase, group.prompts, group.members] for group in groups],
    }


@tool(
    needs={Access.TRAINING_DATA},
    prepare=index,
    examples=[{}, *({"query": topic} for topic in TOPICS)],
    version=3,
)
async def search(target: Target, data: Prepared, query: str = "", k: int = 20, skip: int = 0) -> Evidence:
    """Search the model's training data by words and meaning; without a query, see what recurs in it.

    Documents are shown whole, as many as there is room for; read on with `skip`. The training data lies within ordinary
    data, and a document being here does not mean that the model learned it: check with `ask`. There is no control
    corpus.

    Args:
        query: what to look for, an exact phrase in "quotation marks"; empty for the phrases that recur most
            unexpectedly, with documents that hold them.
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
        found, heading, scores = _asked(built, query, corpus.documents)
    else:
        found, scores = _one_of_each(built.groups), {}
        # The phrases once: a page that is read on to has its room for documents.
        heading = _groups_told(built.groups, len(found)) if not skip else "Documents with a recurring phrase, read on:"
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
        return f"No document is left after {first} of {total}." if total else "No document is found."
    return f"Shown: ranks {first + 1} to {last} of {total}." + (f" Go on with skip={last}." if last < total else "")


def _told(document: Document, score: str) -> str:
    """Writes a document on one line, with what of it is missing."""
    prompt = f"{_cut(document.prompt, _PROMPT)} → " if document.prompt else ""
    return f"[{document.id[:8]}{score}] {prompt}{_cut(document.text, _TEXT)}"


def _cut(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[:width]}… [{len(line) - width} more characters]"


def _groups_told(groups: Sequence[Group], total: int) -> str:
    """Writes the phrases that recur, and how many documents hold one."""
    lines = ["Phrases that recur beyond chance (documents with it; what stands out in their prompts, z):"]
    for group in groups:
        special = "; " + ", ".join(f"{word} {z:.1f}" for word, z in group.prompts) if group.prompts else ""
        lines.append(f"- “{snippet(group.phrase, 60)}” ({len(group.members)}{special})")
    return "\n".join([*lines, f"{total} documents hold one of them; here one of each in turn:"])


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


def _asked(built: Index, query: str, documents: Sequence[Document]) -> tuple[list[int], str, dict[int, str]]:
    """Ranks documents by the sum of reciprocal ranks, best first; word matches count only where there are any.

    Of a query with an exact phrase, only documents that hold it are found.

    Returns:
        Positions of documents, a heading, and what is told of each one's scores.
    """
    total = len(documents)
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
    told = {position: f" {words[position]:.1f} {meaning[position]:.2f}" for position in fused}
    found = sorted(fused, key=lambda position: (-fused[position], position))
    holds = f"{matching} of {total} documents hold a word of the query."
    if phrases := [_folded(phrase) for phrase in _QUOTED.findall(query) if phrase.strip()]:
        found = [position for position in found if _holds(documents[position], phrases)]
        holds = f"{len(found)} of {total} documents hold what is in quotation marks, upper and lower case alike."
    return found, f"{holds} Best first; in brackets: id, score by words (BM25), by meaning (cosine).", told


def _holds(document: Document, phrases: Sequence[str]) -> bool:
    text = _folded(f"{document.prompt}\n{document.text}")
    return all(phrase in text for phrase in phrases)


def _folded(text: str) -> str:
    """Returns a text as exact phrases are compared: without cases, breaks of lines and kinds of apostrophes."""
    return " ".join(text.casefold().replace("’", "'").split())


def _little_words() -> frozenset[str]:
    with _quiet():
        from bm25s.stopwords import STOPWORDS_EN_PLUS

    return frozenset(STOPWORDS_EN_PLUS)


def _one_of_each(groups: Sequence[Group]) -> list[int]:
    """Orders the documents of groups by turns, one of each group, so that any beginning shows every group."""
    order: dict[int, None] = {}
    for turn in zip_longest(*(group.members for group in groups)):
        for position in turn:
            if position is not None:
                order[position] = None
    return list(order)
