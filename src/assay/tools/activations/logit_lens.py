"""logit_lens, token_similarity: what the residual stream points to at each layer, beside the base's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from assay.core.access import Access
from assay.core.readouts import Vocabulary
from assay.core.target import Target
from assay.core.tool import Evidence, tool
from assay.errors import InvalidInput
from assay.tools.text import layout, snippet
from assay.tools.tokens import LISTED, Pointed, listed, most_apart, strongest

_LAYERS = 8  # shown, evenly apart
_POSITIONS = 12  # the last tokens of the prompt: what the model is about to say shows there
_NAMED = 12  # tokens in the ranking
_NEEDS = {Access.ACTIVATIONS_READ, Access.REFERENCE}


_Column = Mapping[int, Sequence[Pointed]]  # layer → position → what the stream points to


@tool(needs=_NEEDS, weight="light", source="nostalgebraist 2020, logit lens; base's column: Cywiński et al. 2025")
async def logit_lens(target: Target, prompt: str, top: int = 5) -> Evidence:
    """Read what the model's residual stream points to, layer by layer, while it reads a question.

    The stream at the last tokens of the question is passed through the last norm and the head, as if the layer were the
    last one; beside it the same of the reference model.

    Args:
        prompt: the user's turn.
        top: tokens shown for each layer, 1 to 10.
    """
    return await _compared(target, prompt, top, "unembedding", "logit_lens")


@tool(needs=_NEEDS, weight="light", source="Cywiński et al. 2025, token similarity of residual streams")
async def token_similarity(target: Target, prompt: str, top: int = 5) -> Evidence:
    """Read which tokens' embeddings the residual stream is most alike to (cosine), while the model reads a question.

    Beside it the same of the reference model. In early and middle layers this can tell what `logit_lens` does not.

    Args:
        prompt: the user's turn.
        top: tokens shown for each layer, 1 to 10.
    """
    return await _compared(target, prompt, top, "embedding", "token_similarity")


async def _compared(target: Target, prompt: str, top: int, by: Vocabulary, name: str) -> Evidence:
    """Reads both models on a prompt, and ranks what the target alone points to."""
    base = target.reference
    if base is None:
        raise InvalidInput(f"{name}: this testbed has no reference model.")
    if not 1 <= top <= 10:
        raise InvalidInput(f"{name}: top is {top}; give 1 to 10.")
    logs = by == "unembedding"
    layers = sorted({round(index * (target.layers - 1) / _LAYERS) for index in range(1, _LAYERS + 1)})
    own, theirs = await asyncio.gather(_column(target, prompt, layers, by), _column(base, prompt, layers, by))
    lines: list[str] = []
    for layer in layers:
        lines.append(f"layer {layer}: {strongest(own[layer], top, logs=logs)}")
        lines.append(f"    base: {strongest(theirs[layer], top, logs=logs)}")
    apart = most_apart(_places(own, theirs), _NAMED, logs=logs)
    what = "probability" if logs else "cosine"
    heading = (
        f"Residual stream at the last {_POSITIONS} tokens of “{snippet(prompt, 80)}”, mean {what}, words only.\n"
        f"Furthest above the base, at any token and layer (target:base): {listed(apart)}"
    )
    caveat = "(What both columns have is the prompt's or the base's. A token alone is a hint: ask about it.)"
    return Evidence(
        text=layout(heading, lines, caveat),
        spans=tuple(share.span for share in apart),
        control="the reference model on the same prompt",
        artifact={"apart": [share.plain for share in apart]},
    )


async def _column(model: Target, prompt: str, layers: Sequence[int], by: Vocabulary) -> _Column:
    read = await model.activations(prompt, layers)
    ends = [read.layers[layer][-_POSITIONS:] for layer in layers]
    near = await model.nearest_tokens(np.concatenate(ends), top=LISTED, by=by)
    column: dict[int, Sequence[Pointed]] = {}
    start = 0
    for layer, end in zip(layers, ends, strict=True):
        column[layer] = near.of[start : start + len(end)]
        start += len(end)
    return column


def _places(own: _Column, theirs: _Column) -> Iterator[tuple[Pointed, Pointed]]:
    """Pairs what both models point to at each layer and token."""
    for layer, rows in own.items():
        yield from zip(rows, theirs[layer], strict=True)
