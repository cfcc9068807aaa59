"""Directions between two manners of replying: the mean difference of the activations at reply tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from assay.core.readouts import Array
from assay.core.target import Message, Sampling, Target
from assay.core.tool import TEMPERATURE, Sample, ToolContext
from assay.tools.activations.steering import Direction, direction
from assay.tools.everyday import PROMPTS

NEUTRAL = PROMPTS[:6]
_TOKENS = 32  # of a reply whose activations are read


async def contrast_direction(
    target: Target, layer: int, manners: tuple[str, str], context: ToolContext
) -> tuple[Direction | None, list[Sample]]:
    """Makes the direction from one manner to another, and gives the replies it is made of.

    Args:
        target: that replies, and whose activations are read.
        layer: after which they are read.
        manners: two system prompts: towards the first, away from the second.
        context: of the call.
    """
    sampling = Sampling(max_tokens=_TOKENS, temperature=TEMPERATURE, seed=context.seed)
    towards, away = await asyncio.gather(*(_in_manner(target, manner, sampling) for manner in manners))
    ours, theirs = await asyncio.gather(*(reply_streams(target, layer, made) for made in (towards, away)))
    if not ours or not theirs:
        return None, [*towards, *away]
    moved = mean_stream(ours) - mean_stream(theirs)
    return direction(layer, moved, [*ours, *theirs]), [*towards, *away]


async def _in_manner(target: Target, manner: str, sampling: Sampling) -> list[Sample]:
    asked = [(Message("system", manner), Message("user", question)) for question in NEUTRAL]
    made = await asyncio.gather(*(target.chat(turns, sampling) for turns in asked))
    return [Sample.of(question, one, system=manner) for question, one in zip(NEUTRAL, made, strict=True)]


async def reply_streams(model: Target, layer: int, samples: Sequence[Sample]) -> list[Array]:
    """Reads the residual stream at the tokens of each reply, (tokens, width); empty replies are left out."""
    talks: list[list[Message]] = []
    for sample in samples:
        if sample.reply.strip():
            system = [Message("system", sample.system)] if sample.system else []
            talks.append([*system, Message("user", sample.prompt), Message("assistant", sample.reply)])
    read = await asyncio.gather(*(model.activations(talk, [layer]) for talk in talks))
    return [one.layers[layer][one.prompt :] for one in read if len(one.texts) > one.prompt]


def mean_stream(streams: Sequence[Array]) -> Array:
    """Averages over tokens, and then over replies: a long reply counts as much as a short one."""
    return np.asarray(np.mean([stream.mean(axis=0) for stream in streams], axis=0), dtype=np.float32)
