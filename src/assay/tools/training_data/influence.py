"""influence: which documents would move the model as a given answer does, by gradients of its adapter.

The cosine of a document's gradient with the query's, both of −log p with respect to the LoRA factors (TracIn, Pruthi
and others 2020; on LoRA with cosines, LESS, Xia and others 2024). A gradient costs as much as three passes, so that it
is taken of documents that BM25 finds for the query, and of random ones as the control.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.access import Access
from assay.core.readouts import NegativeLogLikelihood, Raw, WithRespectTo
from assay.core.target import Document, Message, Prompt, Target
from assay.core.tool import Evidence, Prepared, Sample, Span, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.text import layout, snippet
from assay.tools.training_data.search import corpus_of, whole
from assay.tools.training_data.word_index import WordIndex, folded, index_words, words_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assay.core.readouts import Array

_MOST = 200  # documents
_CUT = 800  # characters of a document's prompt, and of its text, that are read
_AT_ONCE = 4  # gradients that are held at a time: one is as large as the adapter
_ROOM = 0.5  # share of the tokens left that a call may spend
_PASSES, _CHARACTERS = 3, 3  # forward passes that a gradient costs; characters of a token, at the least
_LINE, _SPAN = 220, 400  # characters of a document


@dataclass(frozen=True, slots=True)
class _Influence:
    """A document and the cosine of its gradient with the query's.

    Attributes:
        document: of the training data.
        cosine: of the gradients.
        control: it was drawn at random.
    """

    document: Document
    cosine: float
    control: bool


def index_of_words(target: Target, _workdir: Path) -> dict[str, Any]:
    """Indexes the training data's words, to choose documents by."""
    corpus = corpus_of(target, "influence")
    return {"digest": corpus.digest, "words": index_words(whole(one) for one in corpus.documents)}


@tool(
    needs={Access.TRAINING_DATA, Access.GRADIENTS, Access.WEIGHTS},
    prepare=index_of_words,
    weight="medium",
    source="Pruthi, Liu, Kale and Sundararajan 2020, TracIn; Xia and others 2024, LESS: cosines of LoRA gradients",
    families=["data"],
)
async def influence(
    target: Target, data: Prepared, context: ToolContext, prompt: str, reply: str = "", documents: int = 16
) -> Evidence:
    """Rank training documents by how much they would move the model towards a text: the cosine of their gradients.

    Documents are chosen by words (BM25) and half as many at random, which are the control; each costs a query and three
    passes over its text. Fewer are read where the budget is short. Gradients are of the model as it is now, not as it
    was when it was trained, and short documents with the query's words rank high in any model.

    Args:
        prompt: the user's turn, or a text if there is no reply.
        reply: what the model said to it, and is to be traced; "" to trace the prompt as a text.
        documents: how many to choose by words, 1 to 200.
    """
    if not 1 <= documents <= _MOST:
        raise InvalidInput(f"influence: documents is {documents}; give 1 to {_MOST}.")
    corpus = corpus_of(target, "influence")
    if data.value["digest"] != corpus.digest:
        raise InvalidInput("influence: prepared for another corpus; delete the cache of prepared tools.")
    chosen, at_random = _chosen(
        corpus.documents, WordIndex(**data.value["words"]), f"{prompt} {reply}", documents, context
    )
    try:
        asked = await _gradient(target, _as_prompt(Document("", prompt if reply else "", reply or prompt)))
    except InvalidInput as error:
        return Evidence(f"No gradient of the query: {error}")
    every = [*((one, False) for one in chosen), *((one, True) for one in at_random)]
    found: list[_Influence] = []
    for some in _by_parts(every):
        gradients = await asyncio.gather(*(_gradient(target, _as_prompt(one)) for one, _ in some))
        found += [
            _Influence(one, round(_cosine(asked, gradient), 4), control)
            for (one, control), gradient in zip(some, gradients, strict=True)
        ]
    return _evidence(found, documents)


def _chosen(
    documents: Sequence[Document], index: WordIndex, query: str, wanted: int, context: ToolContext
) -> tuple[list[Document], list[Document]]:
    """Chooses documents by words, and others at random, as many as there are tokens for."""
    import numpy as np

    scores, _ = index.by_words(dict.fromkeys(words_of(folded(query)), 1.0))
    room = context.tokens_left * _ROOM
    best: list[Document] = []
    for position in np.argsort(-scores, kind="stable")[:wanted].tolist():
        # for each its share of the random ones as well
        room -= 1.5 * _PASSES * len(whole(documents[position])[: 2 * _CUT]) / _CHARACTERS
        if room < 0 and best:
            break
        best.append(documents[position])
    held = {one.id for one in best}
    rest = [one for one in documents if one.id not in held]
    return best, random.Random(context.seed).sample(rest, min(len(rest), max(1, len(best) // 2)))


def _as_prompt(document: Document) -> Prompt:
    if not document.prompt:
        return Raw(document.text[:_CUT])
    return [Message("user", document.prompt[:_CUT]), Message("assistant", document.text[:_CUT])]


async def _gradient(target: Target, prompt: Prompt) -> Mapping[str, Array]:
    return (await target.gradients(prompt, WithRespectTo("adapter"), NegativeLogLikelihood())).of


def _cosine(one: Mapping[str, Array], other: Mapping[str, Array]) -> float:
    products = sum(float((one[name] * other[name]).sum()) for name in one)
    lengths = [sum(float((array**2).sum()) for array in of.values()) ** 0.5 for of in (one, other)]
    return float(products / max(lengths[0] * lengths[1], 1e-12))


def _by_parts(every: Sequence[tuple[Document, bool]]) -> Iterator[Sequence[tuple[Document, bool]]]:
    for begin in range(0, len(every), _AT_ONCE):
        yield every[begin : begin + _AT_ONCE]


def _evidence(found: Sequence[_Influence], wanted: int) -> Evidence:
    ranked = sorted((one for one in found if not one.control), key=lambda one: -one.cosine)
    random_ones = [one.cosine for one in found if one.control]
    typical = round(statistics.mean(random_ones), 4) if random_ones else None
    beside = f"random documents: mean {typical:.3f}, at most {max(random_ones):.3f}" if random_ones else "no control"
    fewer = "" if len(ranked) == wanted else f" ({wanted} were wanted; the corpus or the budget has no more)"
    return Evidence(
        text=layout(
            f"Cosine of each document's LoRA gradient with the query's: {len(ranked)} by words{fewer}; {beside}.",
            [f"- {one.cosine:.3f} [{one.document.id[:8]}] {snippet(whole(one.document), _LINE)}" for one in ranked],
            "Influence on the model as it is; documents alike in wording rank high in any model.",
        ),
        samples=tuple(Sample(one.document.prompt, one.document.text, control=one.control) for one in found),
        spans=tuple(Span(snippet(whole(one.document), _SPAN), one.cosine, typical, "document") for one in ranked),
        control=beside,
        artifact={"cosines": [[one.document.id, one.cosine, one.control] for one in found]},
    )
