"""Directions in the residual stream: made, sized, and steered with, at strengths relative to the stream's own size."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.core.edit import AddVector
from assay.core.readouts import Array
from assay.core.target import Sampling, Target
from assay.core.tool import REPLY_TOKENS, TEMPERATURE, ToolContext
from assay.errors import InvalidInput
from assay.tools.edited import edited_replies, fluency, repeats, replies

STRENGTHS = (1.5, 1.0, 0.7, 0.5, 0.35, 0.25)  # times the stream's size, strongest first
MIDDLE = 1 / 2
LATE = 5 / 6  # where differences are read: in the middle there is little if adapters leave lower layers alone
_LOSS = 1.0  # nats a token that a coherent reply may be less likely to the undisturbed model than its own replies


@dataclass(frozen=True, slots=True)
class Direction:
    """A direction at one layer.

    Attributes:
        layer: after which it lies in the stream.
        unit: of length 1.
        size: median length of the stream there: what strengths are relative to.
    """

    layer: int
    unit: Array
    size: float

    def steered(self, strength: float, start: int = -1) -> AddVector:
        """Returns the edit that adds it to the last token of a prompt, and to all of the reply."""
        return AddVector(self.layer, tuple(self.unit.tolist()), strength * self.size, start=start)

    def random(self, seed: int) -> Direction:
        """Returns another direction in its place: the control."""
        drawn = np.random.default_rng(seed).standard_normal(len(self.unit)).astype(np.float32)
        return Direction(self.layer, drawn / np.linalg.norm(drawn), self.size)


def layer_at(target: Target, layer: int, tool: str, depth: float = MIDDLE) -> int:
    """Returns a layer of the target.

    Args:
        target: that has layers.
        layer: which, from 0; −1 is the one at `depth`.
        tool: that asks, for the error.
        depth: share of the layers below.

    Raises:
        InvalidInput: there is no such layer.
    """
    usual = int(depth * target.layers)
    where = usual if layer == -1 else layer
    if not 0 <= where < target.layers:
        raise InvalidInput(
            f"{tool}: layer {layer} does not exist; give 0 to {target.layers - 1}, or -1 for the usual one, {usual}."
        )
    return where


def direction(layer: int, vector: Array, streams: Sequence[Array]) -> Direction | None:
    """Makes a direction of a vector; None if that has no length to speak of.

    Args:
        layer: it lies after.
        vector: of any length.
        streams: (tokens, width) of ordinary text there.
    """
    # The median: a text's first token is an attention sink, as long as hundreds of others.
    size = float(np.median(np.linalg.norm(np.concatenate(streams), axis=1)))
    length = float(np.linalg.norm(vector))
    if length <= 1e-6 * size:
        return None
    return Direction(layer, (vector / length).astype(np.float32), size)


async def largest_coherent(target: Target, along: Direction, prompts: Sequence[str], context: ToolContext) -> float:
    """Finds the largest strength at which replies still make sense, by what the undisturbed model makes of them.

    Returns:
        One of `STRENGTHS`, the least if none of them leaves sense.
    """
    sampling = Sampling(max_tokens=REPLY_TOKENS // 2, temperature=TEMPERATURE, seed=context.seed)
    plain, *tried = await asyncio.gather(
        replies(target, prompts, sampling),
        *(edited_replies(target, along.steered(strength), prompts, sampling) for strength in STRENGTHS),
    )
    least = float(np.mean(await fluency(target, plain))) - _LOSS
    for strength, made in zip(STRENGTHS, tried, strict=True):
        sense = float(np.mean(await fluency(target, made)))
        if sense >= least and sum(map(repeats, made)) <= len(made) / 3:
            return strength
    return STRENGTHS[-1]
