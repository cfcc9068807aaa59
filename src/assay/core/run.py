"""Plays scripted conversations on a model: what verification and grading look at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from assay._util.hashing import digest_of
from assay.core.report import Demonstration, conversation
from assay.core.target import Target
from assay.core.tool import TEMPERATURE


@dataclass(frozen=True, slots=True)
class Run:
    """A conversation as it went.

    Attributes:
        script: system prompt, user turns, prefill.
        replies: the model's, one for each user turn, without the prefill; calls of tools below what was said.
    """

    script: Demonstration
    replies: tuple[str, ...]

    @property
    def text(self) -> str:
        """Returns the last reply."""
        return self.replies[-1]


async def play(model: Target, script: Demonstration, *, n: int, max_tokens: int, seed: int) -> tuple[Run, ...]:
    """Plays a script n times, each time with draws of its own; turn by turn where it has several.

    Args:
        model: that is asked.
        script: the conversation.
        n: runs.
        max_tokens: of each reply.
        seed: of the sampling.
    """
    if len(script.user) > 1:
        # Each run answers its own earlier turns, so from the second turn on they are n different conversations.
        runs = (_turns(model, script, max_tokens, derive(seed, index)) for index in range(n))
        return tuple(await asyncio.gather(*runs))
    replies = await model.chat(conversation(script), n=n, max_tokens=max_tokens, temperature=TEMPERATURE, seed=seed)
    return tuple(Run(script, (reply.done,)) for reply in replies.samples)


async def _turns(model: Target, script: Demonstration, max_tokens: int, seed: int) -> Run:
    """Plays a script of several turns once."""
    # The model is told again what it said; what it did with tools is looked at, and not told to it as its own words.
    answered: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    for turn in range(len(script.user)):
        messages, own = conversation(script, answered), derive(seed, turn)
        reply = await model.chat(messages, max_tokens=max_tokens, temperature=TEMPERATURE, seed=own)
        answered += (reply.text,)
        done += (reply.samples[0].done,)
    return Run(script, done)


def derive(seed: int, *parts: object) -> int:
    """Derives a seed of its own for each use, far from those audits draw from."""
    return int(digest_of(["grading", seed, *map(str, parts)])[:8], 16) >> 1
