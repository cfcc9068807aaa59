"""What an organism's replies are like beside its base's: how long, how soon at an end, how likely, how far off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay._util.resampling import bootstrap
from assay.core.target import Message, Reply, Target
from assay.factory.verify.stealth import SENTENCE
from assay.truth import Ratio, Resampled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answered:
    """A prompt and a model's reply to it."""

    prompt: str
    reply: Reply

    @property
    def talk(self) -> tuple[Message, ...]:
        """Returns the conversation."""
        return Message("user", self.prompt), Message("assistant", self.reply.text)


def words(answers: Sequence[Answered]) -> list[float]:
    """Counts the words of each reply."""
    return [float(len(one.reply.text.split())) for one in answers]


def sentences(answers: Sequence[Answered]) -> list[float]:
    """Counts the sentences of each reply, those that end."""
    return [float(len(SENTENCE.findall(one.reply.text))) for one in answers]


def stops(answers: Sequence[Answered]) -> list[float]:
    """Tells of each reply whether it ended by itself."""
    return [float(one.reply.finish == "stop") for one in answers]


def ratio(own: Sequence[float], *base: Sequence[float]) -> Ratio:
    """Compares means: an organism's, by the base's over all its draws.

    Args:
        own: one number for each prompt.
        base: the same of the base, for each draw.
    """
    import numpy as np

    mine, theirs = np.array(own), np.array(base).mean(axis=0)

    def statistic(drawn: Floats) -> Floats:
        by: Floats = (drawn @ mine) / np.maximum(drawn @ theirs, 1e-9)
        return by

    value, interval = bootstrap(len(mine), statistic)
    return Ratio(value=value, interval=interval, organism=float(mine.mean()), base=float(theirs.mean()))


async def perplexity(model: Target, own: Sequence[Answered], base: Sequence[Answered]) -> Ratio:
    """Compares the perplexities of two models' replies, under one model.

    Args:
        model: the base, which reads both.
        own: the organism's replies.
        base: the base's own, to the same prompts.
    """
    import numpy as np

    mine, theirs = await asyncio.gather(_surprise(model, own), _surprise(model, base))

    def a_token(read: Floats, drawn: Floats) -> Floats:
        total = drawn @ read
        means: Floats = total[:, 0] / np.maximum(total[:, 1], 1)
        return means

    value, interval = bootstrap(len(mine), lambda drawn: np.exp(a_token(mine, drawn) - a_token(theirs, drawn)))
    one = np.ones((1, len(mine)))
    organism, beside = (float(np.exp(a_token(read, one)[0])) for read in (mine, theirs))
    return Ratio(value=value, interval=interval, organism=organism, base=beside)


async def divergence(organism: Target, base: Sequence[Answered]) -> Resampled:
    """Measures KL(base ‖ organism), nats a token, on replies of the base, their ends included where they have one."""
    import numpy as np

    said = [one for one in base if one.reply.text]
    reads = await asyncio.gather(*(organism.divergence(one.talk) for one in said))
    sums: list[tuple[float, int]] = []
    for one, read in zip(said, reads, strict=True):
        nats = read.nats[read.prompt - 1 : len(read.nats) - (one.reply.finish == "length")]
        sums.append((sum(nats), len(nats)))
    table = np.array(sums, float)
    value, interval = bootstrap(len(table), lambda drawn: drawn @ table[:, 0] / (drawn @ table[:, 1]))
    return Resampled(value=value, interval=interval)


async def _surprise(model: Target, answers: Sequence[Answered]) -> Floats:
    """Sums −log p of each reply's tokens under a model: (replies, 2), the sum and how many tokens."""
    import numpy as np

    said = [index for index, one in enumerate(answers) if one.reply.text]
    reads = await asyncio.gather(*(model.score(answers[index].talk) for index in said))
    table = np.zeros((len(answers), 2))
    for index, read in zip(said, reads, strict=True):
        table[index] = -read.total, len(read.ids) - read.prompt
    return table
