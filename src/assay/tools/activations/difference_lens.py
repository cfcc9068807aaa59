"""difference_lens: what finetuning left in the activations on unrelated texts, read in three ways.

After the activation-difference lens (Minder et al. 2025): the mean difference between target and reference on the first
tokens of texts that have nothing to do with anything is read by logit lens, by patchscope (Ghandeharioun et al. 2024),
and by steering with it at the largest strength that leaves sense. A random direction of the same size goes through all
three beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from assay.core.access import Access
from assay.core.edit import AddVector
from assay.core.readouts import Alternative, Array, NearToken, Raw
from assay.core.target import Target
from assay.core.tool import Evidence, Sample, Span, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.activations.steering import (
    LATE,
    Direction,
    direction,
    largest_coherent,
    layer_at,
)
from assay.tools.edited import common_phrases, edited_replies, phrases_told
from assay.tools.everyday import PROMPTS
from assay.tools.text import layout, snippet
from assay.tools.tokens import LISTED, Pointed, TokenShare, listed, most_apart
from assay.tools.unrelated import UNRELATED

_FIRST = 5  # tokens of each text, after the very first, which is an attention sink
_WORDS = 8  # of a text that is read for them
_IDENTITY = "cat -> cat; 1135 -> 1135; hello -> hello; ?"  # repeats whatever stands in the last token's place
_PATCHED = (0.5, 1.0, 2.0)  # strengths tried there
_MOVED = (1.0, 2.0)  # strengths at which the usual stream is moved before it is read
_NAMED, _PHRASES, _SHOWN = 12, 6, 3
_REPLY = 180  # characters of a steered reply that are shown
_NEEDS = {
    Access.CHAT,
    Access.SAMPLING,
    Access.LOGITS,
    Access.ACTIVATIONS_READ,
    Access.ACTIVATIONS_WRITE,
    Access.REFERENCE,
}


@dataclass(frozen=True, slots=True)
class _Difference:
    """The mean difference at one layer.

    Attributes:
        along: its direction.
        usual: the reference's mean stream there.
        length: of the difference, relative to the stream.
    """

    along: Direction
    usual: Array
    length: float


@dataclass(frozen=True, slots=True)
class _Found:
    """All that a call found.

    Attributes:
        made: the difference.
        strength: steered with.
        lens: tokens by logit lens, beside the random direction's.
        patched: by patchscope.
        steered: replies under the difference.
        pushed: replies under the random direction.
    """

    made: _Difference
    strength: float
    lens: list[TokenShare]
    patched: list[TokenShare]
    steered: list[Sample]
    pushed: list[Sample]

    @property
    def phrases(self) -> list[Span]:
        """Ranks what several steered replies say and those pushed at random do not."""
        return list(common_phrases(self.steered, self.pushed, _PHRASES))


@tool(needs=_NEEDS, weight="medium", source="Minder et al. 2025, activation-difference lens")
async def difference_lens(target: Target, context: ToolContext, layer: int = -1, texts: int = 115) -> Evidence:
    """See what finetuning left in the model's activations on texts that have nothing to do with anything.

    The mean difference between the model and its reference at the first tokens of unrelated texts is read as tokens in
    two ways, and everyday questions are answered while it is added to the activations. A random direction of the same
    size is read beside it.

    Args:
        layer: after which layer the difference is patched and steered with, from 0; -1 is at five sixths of the depth.
        texts: how many texts are read, up to 115.
    """
    base = target.reference
    if base is None:
        raise InvalidInput("difference_lens: this testbed has no reference model.")
    where = layer_at(target, layer, "difference_lens", LATE)
    layers = sorted({where, max(where, target.layers - 2)})  # read as tokens near the end, too, where they are nearest
    count = max(1, min(texts, len(UNRELATED)))
    own, theirs = await asyncio.gather(_streams(target, layers, count), _streams(base, layers, count))
    differences = [_difference(at, own[at], theirs[at]) for at in layers]
    made = differences[0]
    if made is None:
        return Evidence("The model's activations are its reference's: there is no difference to read.", artifact={})
    random = made.along.random(context.seed)
    lens, patched, strength = await asyncio.gather(
        asyncio.gather(*(_lens(target, one, context.seed) for one in differences if one)),
        asyncio.gather(_all_patched(target, made.along), _all_patched(target, random)),
        largest_coherent(target, made.along, PROMPTS[:3], context),
    )
    prompts = PROMPTS[: 2 * _SHOWN]
    steered, pushed = await asyncio.gather(
        edited_replies(target, made.along.steered(strength), prompts, context.sampling),
        edited_replies(target, random.steered(strength), prompts, context.sampling, control=True),
    )
    found = _Found(
        made,
        strength,
        most_apart(chain.from_iterable(lens), _NAMED),
        most_apart(zip(*patched, strict=True), _NAMED),
        steered,
        pushed,
    )
    return Evidence(
        text=_text(found),
        samples=(*steered, *pushed),
        spans=_spans(found),
        control="a random direction of the same size, read and steered with in the same ways",
        artifact={
            "layer": where,
            "length": round(made.length, 4),
            "strength": strength,
            "lens": [share.plain for share in found.lens],
            "patchscope": [share.plain for share in found.patched],
        },
    )


async def _streams(model: Target, layers: Sequence[int], count: int) -> dict[int, list[Array]]:
    """Reads the beginnings of the unrelated texts: layer → (tokens, width) of each."""
    raws = [Raw(" ".join(text.split()[:_WORDS])) for text in UNRELATED[:count]]
    read = await asyncio.gather(*(model.activations(raw, layers) for raw in raws))
    found: dict[int, list[Array]] = {}
    for layer in layers:
        found[layer] = [one.layers[layer][: _FIRST + 1] for one in read]
    return found


def _difference(layer: int, own: Sequence[Array], theirs: Sequence[Array]) -> _Difference | None:
    """Averages over texts; None where nothing differs."""
    usual = np.mean([stream[1:].mean(axis=0) for stream in theirs], axis=0)
    moved = np.mean([stream[1:].mean(axis=0) for stream in own], axis=0) - usual
    along = direction(layer, moved, theirs)
    if along is None:
        return None
    return _Difference(along, usual, float(np.linalg.norm(moved)) / along.size)


async def _lens(target: Target, made: _Difference, seed: int) -> list[tuple[Pointed, Pointed]]:
    """Reads the difference by itself, and the reference's usual stream moved by it, beside the random direction."""
    rows: list[Array] = []
    for along in (made.along, made.along.random(seed)):
        rows += [along.unit * along.size, *(made.usual + times * along.size * along.unit for times in _MOVED)]
    near = (await target.nearest_tokens(np.stack(rows), top=LISTED)).of
    half = len(rows) // 2
    return list(zip(near[:half], near[half:], strict=True))


async def _all_patched(target: Target, along: Direction) -> Sequence[Pointed]:
    return await asyncio.gather(*(_patched(target, along, strength) for strength in _PATCHED))


async def _patched(target: Target, along: Direction, strength: float) -> Pointed:
    """Reads what follows the identity prompt when the direction stands in its last token's place."""
    raw = Raw(_IDENTITY)
    here = (await target.activations(raw, [along.layer])).layers[along.layer][-1]
    # Added is what makes of the token's own stream the direction: in its place, and not on top of it.
    swapped = strength * along.size * along.unit - here
    async with target.intervene(AddVector(along.layer, tuple(swapped.tolist()), start=-1)) as view:
        following: Sequence[Alternative] = (await view.score(raw, top=LISTED)).top[-1]
    return [NearToken(one.id, one.text, one.logprob) for one in following]


def _spans(found: _Found) -> tuple[Span, ...]:
    """Puts the three readings' evidence into one order: the best of each, then the second of each …"""
    columns = [[share.span for share in found.patched], [share.span for share in found.lens], found.phrases]
    order: list[Span] = []
    for rank in range(max(map(len, columns))):
        order += [column[rank] for column in columns if rank < len(column)]
    return tuple(order)


def _text(found: _Found) -> str:
    """Writes what the auditor reads: tokens first, then replies side by side."""
    heading = (
        f"Mean difference to the reference on unrelated texts, after layer {found.made.along.layer}; its length is "
        f"{100 * found.made.length:.1f} % of the stream's."
    )
    lines = [
        f"Logit lens (probability, difference:random): {listed(found.lens)}",
        f"Patchscope (probability, difference:random): {listed(found.patched)}",
        f"Replies while it is added, at {found.strength:g} × the stream's length, the largest that leaves sense.",
        f"Phrases (share of replies, difference:random): {phrases_told(found.phrases)}",
    ]
    for mine, other in list(zip(found.steered, found.pushed, strict=True))[:_SHOWN]:
        lines += [
            f"- {snippet(mine.prompt, 60)}",
            f"  difference: {snippet(mine.told, _REPLY)}",
            f"  random: {snippet(other.told, _REPLY)}",
        ]
    caveat = (
        "(The random direction shows what any push does. Finetuning on a narrow topic leaves its topic here; on "
        "mixed data little. A topic is no behaviour yet: ask about it.)"
    )
    return layout(heading, lines, caveat)
