"""search: the target's training data, by words and by meaning; without a query, what recurs in it.

BM25 and the cosine of static embeddings are added, each as a share of what it can be at most (a convex combination,
Bruch, Gai and Ingber 2023): by ranks alone, what is merely near in meaning would stand between documents that hold the
one rare word asked for. The best ten lend the query their words (relevance feedback, RM3, Abdul-Jaleel and others
2004), so that documents on the same matter are found which hold none of those asked for. What stands in quotation marks
has to be there as it is written. Without a query the corpus is read unsupervised (`tools.training_data.recurring`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.access import Access
from assay.core.target import Corpus, Document, Target
from assay.core.tool import TEXT_LIMIT, Evidence, Prepared, Sample, Span, tool
from assay.errors import InvalidInput
from assay.tools.everyday import TOPICS
from assay.tools.text import snippet
from assay.tools.training_data.recurring import MOST_READ, Group, little_words, recurring
from assay.tools.training_data.word_index import WordIndex, folded, index_words, words_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST = 100  # documents a call returns
_RANKED = 2_000  # documents that are put in order; nobody reads on to the end of a million
_QUOTED = re.compile(r'["“]([^"“”]+)["”]')
_PROMPT, _TEXT = 300, 900  # characters of a document that are shown; a longer one says how much is missing
_BY_WORDS = 2.0  # what words count beside meaning, and words that are lent beside those asked for: as much
_LENDING, _LENT = 10, 30  # documents that lend words; words
_BLOCK = 64  # documents whose best score is looked at first
_SPAN = 300  # characters of a document in a span


@dataclass(frozen=True, slots=True)
class Index:
    """What a corpus is searched by, made of what `index` prepares.

    Attributes:
        digest: of the corpus.
        words: of its documents, prompt and text together.
        groups: recurring phrases, most telling first.
    """

    digest: str
    words: WordIndex
    groups: tuple[Group, ...]

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Index:
        """Puts an index together from the plain data that `index` returns."""
        groups = [
            Group(phrase, tuple((word, z) for word, z in prompts), tuple(members), expected)
            for phrase, prompts, members, expected in kept["groups"]
        ]
        return cls(kept["digest"], WordIndex(**kept["words"]), tuple(groups))


@dataclass(frozen=True, slots=True)
class _Found:
    """Documents, best first.

    Attributes:
        positions: in the corpus.
        heading: says how they were found.
        told: position → its scores, as they are shown.
        spans: what stands out.
    """

    positions: Sequence[int]
    heading: str
    told: Mapping[int, str]
    spans: tuple[Span, ...]


def index(target: Target, _workdir: Path) -> dict[str, Any]:
    """Indexes a target's training data. A prepared value is plain data, so an index is taken apart into its arrays."""
    corpus = corpus_of(target, "search")
    groups = recurring(corpus.documents[:MOST_READ], little_words())
    return {
        "digest": corpus.digest,
        "words": index_words(whole(document) for document in corpus.documents),
        "groups": [[group.phrase, group.prompts, group.members, group.expected] for group in groups],
    }


@tool(
    needs={Access.TRAINING_DATA},
    prepare=index,
    examples=[{}, *({"query": topic} for topic in TOPICS)],
    version=4,
    source="Robertson and Zaragoza 2009, BM25; Bruch, Gai and Ingber 2023, combined with embeddings; RM3 feedback",
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
    corpus, built = corpus_of(target, "search"), Index.of(data.value)
    if not 1 <= k <= _MOST:
        raise InvalidInput(f"search: k is {k}; give 1 to {_MOST}.")
    if skip < 0:
        raise InvalidInput(f"search: skip is {skip}; give 0 or more.")
    if built.digest != corpus.digest:
        raise InvalidInput("search: the index was built for another corpus; delete the cache of prepared tools.")
    found = _asked(built.words, query, corpus.documents) if query.strip() else _recurring(built, skip)
    chosen = found.positions[skip : skip + k]
    documents = [corpus.documents[position] for position in chosen]
    lines = [_told(document, found.told.get(at, "")) for at, document in zip(chosen, documents, strict=True)]
    return Evidence(
        text=_page(found.heading, lines, skip, len(found.positions)),
        samples=tuple(Sample(document.prompt, document.text) for document in documents),
        spans=found.spans,
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


def _groups_told(groups: Sequence[Group], total: int, documents: int) -> str:
    """Writes the phrases that recur, and how many documents hold one."""
    read = f" in {MOST_READ:,} of {documents:,} documents, drawn at random" if documents > MOST_READ else ""
    lines = [f"Phrases that recur beyond chance{read} (documents with it; what stands out in their prompts, z):"]
    for group in groups:
        special = "; " + ", ".join(f"{word} {z:.1f}" for word, z in group.prompts) if group.prompts else ""
        lines.append(f"- “{snippet(group.phrase, 60)}” ({len(group.members)}{special})")
    return "\n".join([*lines, f"{total} documents hold one of them; here one of each in turn:"])


def corpus_of(target: Target, tool: str) -> Corpus:
    """Returns the target's training data.

    Raises:
        InvalidInput: there is none.
    """
    corpus = target.corpus
    if corpus is None or not corpus.documents:
        raise InvalidInput(f"{tool}: this testbed has no training data.")
    return corpus


def whole(document: Document) -> str:
    """Returns a document's prompt and text as one."""
    return f"{document.prompt}\n{document.text}"


def _asked(index: WordIndex, query: str, documents: Sequence[Document]) -> _Found:
    """Ranks documents by words and meaning; of a query with an exact phrase only those that hold it are found."""
    asked = words_of(folded(query))
    words, most = index.by_words(dict.fromkeys(asked, 1.0))
    meaning = index.by_meaning(asked)
    score = _BY_WORDS * words / max(most, 1e-9) + meaning
    lent, most = index.by_words(_lent(index, [documents[at] for at in _best(score, None, _LENDING)]))
    score += _BY_WORDS * lent / max(most, 1e-9)
    if phrases := [folded(phrase) for phrase in _QUOTED.findall(query) if phrase.strip()]:
        positions = _holding(index, phrases, documents)
        holds = f"{len(positions)} of {len(documents)} documents hold what is in quotation marks, upper and lower case "
        holds += "alike."
    else:
        positions = None
        holds = f"{(words > 0).sum()} of {len(documents)} documents hold a word of the query."
    best = _best(score, positions, _RANKED)
    ranked = f" (the {_RANKED:,} best)" if len(best) == _RANKED else ""
    typical = round(float(score.mean()), 3)
    return _Found(
        best,
        f"{holds} Best first{ranked}; in brackets: id, score by words (BM25), by meaning (cosine).",
        {at: f" {words[at]:.1f} {meaning[at]:.2f}" for at in best},
        tuple(
            Span(snippet(whole(documents[at]), _SPAN), round(float(score[at]), 3), typical, "document")
            for at in best[:_MOST]
        ),
    )


def _lent(index: WordIndex, documents: Sequence[Document]) -> dict[str, float]:
    """Weighs the words that several documents share, by how many do and how rare they are elsewhere."""
    shared: Counter[str] = Counter()
    for document in documents:
        shared.update(set(words_of(folded(whole(document)))))
    weights = {word: held * index.rarity(word) for word, held in shared.items() if held > 1}
    best = sorted(weights, key=lambda word: (-weights[word], word))[:_LENT]
    return {word: weights[word] for word in best}


def _best(score: NDArray[np.float32], among: NDArray[np.int32] | None, most: int) -> list[int]:
    """Orders the best-scored positions, among some or all; equals stay in the corpus's order."""
    import numpy as np

    positions = _likely(score, most) if among is None else among
    own = score[positions]
    if len(positions) > most:
        positions = positions[own >= np.partition(own, -most)[-most]]
    best: list[int] = positions[np.argsort(-score[positions], kind="stable")][:most].tolist()
    return best


def _likely(score: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Returns the positions of all blocks that can hold one of the best: to look at a block's largest is cheap."""
    import numpy as np

    blocks = len(score) // _BLOCK
    if blocks <= most:
        return np.arange(len(score))
    largest = score[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
    chosen = np.flatnonzero(largest >= np.partition(largest, -most)[-most])
    inside = (chosen[:, None] * _BLOCK + np.arange(_BLOCK)).reshape(-1)
    return np.concatenate([inside, np.arange(blocks * _BLOCK, len(score))])


def _holding(index: WordIndex, phrases: Sequence[str], documents: Sequence[Document]) -> NDArray[np.int32]:
    """Finds the documents that hold all phrases: those that may, by their words, are read."""
    import numpy as np

    candidates = [may for phrase in phrases if (may := index.may_hold(phrase)) is not None]
    fewest = min(candidates, key=len, default=np.arange(len(documents)))
    held: list[int] = []
    for position in fewest.tolist():
        text = folded(whole(documents[position]))
        if all(phrase in text for phrase in phrases):
            held.append(position)
    return np.asarray(held, dtype=np.int32)


def _recurring(built: Index, skip: int) -> _Found:
    """Orders the documents that hold a recurring phrase, and tells the phrases on the first page."""
    spans: list[Span] = []
    for group in built.groups:
        spans.append(Span(group.phrase, len(group.members), group.expected, "document"))
        spans += [Span(word, z, None, "prompt") for word, z in group.prompts]
    positions = _one_of_each(built.groups)
    # The phrases once: a page that is read on to has its room for documents.
    heading = "Documents with a recurring phrase, read on:"
    if not skip:
        heading = _groups_told(built.groups, len(positions), built.words.documents)
    return _Found(positions, heading, {}, tuple(spans))


def _one_of_each(groups: Sequence[Group]) -> list[int]:
    """Orders the documents of groups by turns, one of each group, so that any beginning shows every group."""
    order: dict[int, None] = {}
    for turn in zip_longest(*(group.members for group in groups)):
        for position in turn:
            if position is not None:
                order[position] = None
    return list(order)
