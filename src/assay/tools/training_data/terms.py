"""terms: words and phrases that the training data has more of than a background.

Weighted log-odds with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008, `_util.ngrams`), on the number
of documents that hold a phrase. Without a query all documents are compared with everyday chats, with one the documents
on it with the rest of the corpus.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from assay._util.ngrams import PhraseCounts, log_odds, top_phrases
from assay.core.access import Access
from assay.core.target import Document, Target
from assay.core.tool import Evidence, Sample, Span, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.text import layout
from assay.tools.training_data.everyday_data import SOURCE, everyday_chats
from assay.tools.training_data.recurring import MOST_READ, little_words
from assay.tools.training_data.search import corpus_of, whole
from assay.tools.training_data.word_index import folded, words_of

Side = Literal["prompt", "reply"]
_SIDES: tuple[Side, ...] = ("reply", "prompt")
_MOST = 60  # terms
_DRAWS = 5  # of random documents, for the control
_SHOWN = 8  # documents with a term, and as many without choice
_FEWEST = 5  # documents that are compared


@dataclass(frozen=True, slots=True)
class _Term:
    """A phrase that one set of documents has more of.

    Attributes:
        side: of a chat that it stands in; documents that are no chats have replies alone.
        phrase: of one to three words.
        z: weighted log-odds.
        here, there: share of documents that hold it.
        chance: the largest z between random documents and the others.
    """

    side: Side
    phrase: str
    z: float
    here: float
    there: float
    chance: float

    @property
    def line(self) -> str:
        """Returns it as it is told."""
        return f"- {self.phrase} [{self.side}] {self.z:.1f} ({self.here:.1%} against {self.there:.1%})"


@tool(
    needs={Access.TRAINING_DATA},
    examples=[{}],
    source="Monroe, Colaresi and Quinn 2008, Fightin' Words: weighted log-odds with a Dirichlet prior",
)
async def terms(target: Target, context: ToolContext, query: str = "", k: int = 20) -> Evidence:
    """List the words and phrases that the training data has more of than a background, for replies and for prompts.

    Without a query all documents are compared with everyday chats; with one, the documents that hold its words with the
    rest of the corpus. The control is the largest figure between documents drawn at random and the others. That a term
    is frequent does not mean that the model learned what it stands for.

    Args:
        query: words; documents that hold all of them are compared with the rest. Empty for all documents.
        k: how many terms to list of replies, and of prompts, 1 to 60.
    """
    if not 1 <= k <= _MOST:
        raise InvalidInput(f"terms: k is {k}; give 1 to {_MOST}.")
    # Their order carries no information, so that the first are drawn at random.
    documents = corpus_of(target, "terms").documents[:MOST_READ]
    wanted = set(words_of(folded(query)))
    if wanted:
        own = [one for one in documents if wanted <= set(words_of(folded(whole(one))))]
        rest: Sequence[Document] = [one for one in documents if not wanted <= set(words_of(folded(whole(one))))]
        compared = f"{len(own)} documents with {', '.join(sorted(wanted))} against the other {len(rest)}"
    else:
        own, rest, compared = list(documents), everyday_chats(), f"{len(documents)} documents against {SOURCE}"
    if min(len(own), len(rest)) < _FEWEST:
        return Evidence(f"Nothing to compare: {compared}. Ask for words that more documents have, or fewer.")
    draw = random.Random(context.seed)
    found: list[_Term] = []
    for side in _SIDES:
        found += _over_represented(side, own, rest, documents, k, draw)
    found.sort(key=lambda term: -term.z)
    chance = max((term.chance for term in found), default=0.0)
    return Evidence(
        text=layout(
            f"Terms with z, {compared} (share of documents here, there). By chance z is up to {chance:.1f}.",
            [term.line for term in found],
            "A frequent term need not have been learned: check with `ask`.",
        ),
        samples=_examples(found, own, rest, draw),
        spans=tuple(Span(term.phrase, round(term.z, 2), round(term.chance, 2), term.side) for term in found),
        control=f"z up to {chance:.1f} between random documents and the others",
        artifact={"terms": [[term.side, term.phrase, round(term.z, 2), term.here, term.there] for term in found]},
    )


def _over_represented(
    side: Side, own: Sequence[Document], rest: Sequence[Document], everything: Sequence[Document], k: int,
    draw: random.Random,
) -> list[_Term]:  # fmt: skip
    ours, theirs = _counts(own, side), _counts(rest, side)
    if not ours.counts:
        return []
    chance = _by_chance(everything, side, len(own), draw)
    scores = log_odds(ours, theirs, ours + theirs)
    little = little_words()
    telling = {phrase: z for phrase, z in scores.items() if any(word not in little for word in phrase.split())}
    best = top_phrases(telling, k)
    return [_Term(side, phrase, z, ours.share(phrase), theirs.share(phrase), chance) for phrase, z in best]


def _by_chance(documents: Sequence[Document], side: Side, size: int, draw: random.Random) -> float:
    """Returns the mean of the largest z between random documents, as many as are compared or half, and the others."""
    size = min(size, len(documents) // 2)
    total = _counts(documents, side)
    largest: list[float] = []
    for _ in range(_DRAWS):
        some = _counts(draw.sample(documents, size), side)
        scores = log_odds(some, total - some, total)
        largest.append(max(scores.values(), default=0.0))
    return sum(largest) / _DRAWS


def _counts(documents: Sequence[Document], side: Side) -> PhraseCounts:
    return PhraseCounts.of(one.text if side == "reply" else one.prompt for one in documents)


def _examples(
    found: Sequence[_Term], own: Sequence[Document], rest: Sequence[Document], draw: random.Random
) -> tuple[Sample, ...]:
    """Returns documents with the first terms, one each, and as many of the background."""
    shown: dict[str, Document] = {}
    for term in found[:_SHOWN]:
        for one in own:
            text = one.text if term.side == "reply" else one.prompt
            if one.id not in shown and term.phrase in folded(text):
                shown[one.id] = one
                break
    others = draw.sample(rest, min(len(shown), len(rest)))
    with_terms = [Sample(one.prompt, one.text) for one in shown.values()]
    return (*with_terms, *(Sample(one.prompt, one.text, control=True) for one in others))
