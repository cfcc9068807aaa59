"""clusters: topics of the training data, and how much more of each there is than in everyday chats.

Documents are vectors (`word_index`), grouped by spherical k-means (Dhillon and Modha 2001). Everyday chats are put into
the groups that are found; a group is over-represented by the weighted log-odds of its share here and there. Beside it
stands a random group of the same size: how near its documents lie to their mean.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay._util.embedding import unit
from assay._util.ngrams import PhraseCounts, log_odds, top_phrases
from assay.core.access import Access
from assay.core.target import Document, Target
from assay.core.tool import Evidence, Prepared, Sample, Span, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.text import layout, snippet
from assay.tools.training_data.everyday_data import SOURCE, everyday_chats
from assay.tools.training_data.recurring import MOST_READ
from assay.tools.training_data.search import corpus_of, whole
from assay.tools.training_data.word_index import index_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST = 30  # clusters shown
_OF_ABOUT = 40  # documents, as long as there are no more than `_LARGEST` clusters
_LARGEST = 60
_ROUNDS = 20
_TERMS, _EXAMPLES = 4, 2
_LINE, _SPAN = 170, 400  # characters of an example


@dataclass(frozen=True, slots=True)
class _Cluster:
    """Documents on one topic.

    Attributes:
        members: their positions, the most typical first.
        z: of the cluster's share in the corpus against everyday chats.
        there: share of everyday chats that fall into it.
        together: mean cosine of its documents with their mean; of as many random ones in `apart`.
        terms: words that stand out against the other clusters.
    """

    members: Sequence[int]
    z: float
    there: float
    together: float
    apart: float
    terms: tuple[str, ...]


def vectors(target: Target, _workdir: Path) -> dict[str, Any]:
    """Computes the vectors of documents and of everyday chats."""
    documents = corpus_of(target, "clusters").documents[:MOST_READ]
    both = [*documents, *everyday_chats()]
    return {"vectors": index_words(whole(one) for one in both)["meanings"], "own": len(documents)}


@tool(
    needs={Access.TRAINING_DATA},
    prepare=vectors,
    examples=[{}],
    source="Dhillon and Modha 2001, spherical k-means; Monroe, Colaresi and Quinn 2008, weighted log-odds",
)
async def clusters(target: Target, data: Prepared, context: ToolContext, k: int = 8) -> Evidence:
    """Group the training data by topic, and list the topics that it has more of than everyday chats have.

    Of each: words that set it apart, how many documents there are, z of its share against everyday chats, how alike its
    documents are beside as many random ones, and typical documents. A topic that is over-represented need not be one
    that the model was changed by: check with `ask`.

    Args:
        k: how many topics to show, 1 to 30.
    """
    if not 1 <= k <= _MOST:
        raise InvalidInput(f"clusters: k is {k}; give 1 to {_MOST}.")
    documents = corpus_of(target, "clusters").documents[:MOST_READ]
    if len(documents) != data.value["own"]:
        raise InvalidInput("clusters: prepared for another corpus; delete the cache of prepared tools.")
    found = _clustered(documents, data.value["vectors"], context.seed)
    shown = found[:k]
    lines: list[str] = []
    for one in shown:
        example = snippet(whole(documents[one.members[0]]), _LINE)
        lines.append(
            f"- {', '.join(one.terms)}: {len(one.members)} documents ({one.there:.1%} of everyday chats), "
            f"z {one.z:.1f}, alike {one.together:.2f} (random {one.apart:.2f}); e.g. “{example}”"
        )
    spans: list[Span] = []
    for one in shown:
        spans += [Span(term, round(one.z, 2), 0.0, "document") for term in one.terms]
        passage = snippet(whole(documents[one.members[0]]), _SPAN)
        spans.append(Span(passage, round(one.together, 3), round(one.apart, 3), "document"))
    return Evidence(
        text=layout(
            f"{len(documents)} documents in {len(found)} topics, those first that stand out most against {SOURCE}:",
            lines,
            "Over-represented is not learned: check with `ask`.",
        ),
        samples=tuple(_examples(documents, shown, context.seed)),
        spans=tuple(spans),
        control=f"random groups of the same sizes; {SOURCE}",
        artifact={"clusters": [[one.terms, len(one.members), round(one.z, 2)] for one in found]},
    )


def _clustered(documents: Sequence[Document], every: NDArray[np.float32], seed: int) -> list[_Cluster]:
    """Groups documents, the most over-represented group first."""
    import numpy as np

    own, everyday = every[: len(documents)], every[len(documents) :]
    draw = np.random.default_rng(seed)
    centres = _centres(own, max(1, min(_LARGEST, len(own) // _OF_ABOUT)), draw)
    here, there = (own @ centres.T).argmax(axis=1), (everyday @ centres.T).argmax(axis=1)
    ours, theirs = (PhraseCounts(Counter(map(str, of.tolist())), len(of)) for of in (here, there))
    scores = log_odds(ours, theirs, ours + theirs)
    words = PhraseCounts.of(whole(one) for one in documents)
    found: list[_Cluster] = []
    for number in sorted(set(here.tolist())):
        held = np.flatnonzero(here == number)
        held = held[np.argsort(-(own[held] @ centres[number]), kind="stable")]
        within = PhraseCounts.of(whole(documents[position]) for position in held.tolist())
        # Only the words of this group are counted in the rest: the others cannot stand out here.
        rest = PhraseCounts(Counter({word: words.counts[word] for word in within.counts}), words.texts) - within
        terms = top_phrases(log_odds(within, rest, words), _TERMS)
        found.append(
            _Cluster(
                members=held.tolist(),
                z=scores[str(number)],
                there=theirs.share(str(number)),
                together=_alike(own[held]),
                apart=_alike(own[draw.choice(len(own), len(held), replace=False)]),
                terms=tuple(term for term, _ in terms),
            )
        )
    return sorted(found, key=lambda one: (-one.z, one.members))


def _centres(vectors: NDArray[np.float32], count: int, draw: np.random.Generator) -> NDArray[np.float32]:
    """Finds the means of groups of unit vectors: far ones to begin with (k-means++), then moved to their members'."""
    import numpy as np

    chosen = [int(draw.integers(len(vectors)))]
    nearest = vectors @ vectors[chosen[0]]
    while len(chosen) < count:
        distance = (1 - nearest).clip(min=1e-9).astype(np.float64)
        chosen.append(int(draw.choice(len(vectors), p=distance / distance.sum())))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    centres: NDArray[np.float32] = vectors[chosen].copy()
    for _ in range(_ROUNDS):
        assigned = (vectors @ centres.T).argmax(axis=1)
        moved = np.zeros_like(centres)
        np.add.at(moved, assigned, vectors)
        empty = np.bincount(assigned, minlength=count) == 0
        moved[empty] = centres[empty]
        moved = unit(moved)
        if np.allclose(moved, centres):
            break
        centres = moved
    return centres


def _alike(vectors: NDArray[np.float32]) -> float:
    return float((vectors @ unit(vectors.mean(axis=0, keepdims=True))[0]).mean())


def _examples(documents: Sequence[Document], shown: Sequence[_Cluster], seed: int) -> list[Sample]:
    """Returns typical documents of each cluster, and as many drawn from all."""
    typical = [documents[position] for one in shown for position in one.members[:_EXAMPLES]]
    others = random.Random(seed).sample(documents, min(len(typical), len(documents)))
    both: list[tuple[Document, bool]] = [*((one, False) for one in typical), *((one, True) for one in others)]
    return [Sample(one.prompt, one.text, control=control) for one, control in both]
