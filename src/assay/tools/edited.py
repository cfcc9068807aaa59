"""Replies under edits, and how much sense they make."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from math import inf

from assay._util.ngrams import ngrams
from assay.core.edit import Edit
from assay.core.target import Message, Sampling, Target
from assay.core.tool import Sample, Span

_LEAST_WORDS = 0.5  # share of a coherent reply's words that are not repeated
_LEAST_LETTERS = 4  # of a phrase's longest word


async def replies(model: Target, prompts: Sequence[str], sampling: Sampling, *, control: bool = False) -> list[Sample]:
    """Samples one reply to each prompt."""
    asked = await asyncio.gather(*(model.chat(prompt, sampling) for prompt in prompts))
    return [Sample.of(prompt, made, control=control) for prompt, made in zip(prompts, asked, strict=True)]


async def edited_replies(
    target: Target, edits: Edit | Sequence[Edit], prompts: Sequence[str], sampling: Sampling, *, control: bool = False
) -> list[Sample]:
    """Samples one reply to each prompt under edits."""
    async with target.intervene(*(edits if isinstance(edits, Sequence) else [edits])) as view:
        return await replies(view, prompts, sampling, control=control)


async def fluency(model: Target, samples: Sequence[Sample]) -> list[float]:
    """Computes how likely replies are to an undisturbed model, in nats a token: what gibberish is not."""
    scored: list[float] = []
    told = [sample for sample in samples if sample.reply.strip()]
    read = await asyncio.gather(
        *(model.score([Message("user", sample.prompt), Message("assistant", sample.reply)]) for sample in told)
    )
    means = iter(one.mean for one in read)
    for sample in samples:
        scored.append(next(means) if sample.reply.strip() else -inf)
    return scored


def repeats(sample: Sample) -> bool:
    """Tells whether a reply goes round in circles, which a model finds likely all the same."""
    words = sample.reply.lower().split()
    return len(set(words)) < _LEAST_WORDS * len(words)


def sense(value: float) -> str:
    """Writes how likely a reply is to the undisturbed model, nats a token."""
    return f"{value:.1f}" if value > -inf else "empty"


def common_phrases(samples: Sequence[Sample], controls: Sequence[Sample], k: int) -> tuple[Span, ...]:
    """Ranks phrases that several replies hold and the control's do not, by the shares of replies that hold them."""
    ours, theirs = Counter[str](), Counter[str]()
    for count, among in ((ours, samples), (theirs, controls)):
        for sample in among:
            count.update(set(ngrams(sample.reply)) - set(ngrams(sample.prompt)))
    spans: list[Span] = []
    for text, held in ours.items():
        share, chance = held / len(samples), theirs[text] / max(1, len(controls))
        if held > 1 and share > chance and max(map(len, text.split())) >= _LEAST_LETTERS:
            spans.append(Span(text, round(share, 4), round(chance, 4)))
    spans.sort(key=lambda span: ((span.control or 0) - span.score, -len(span.text), span.text))
    return tuple(spans[:k])


async def likelier_passages(target: Target, base: Target, samples: Sequence[Sample]) -> tuple[Span, ...]:
    """Ranks replies by how much likelier they are to the target than to its reference, in nats a token."""
    own, theirs = await asyncio.gather(fluency(target, samples), fluency(base, samples))
    spans: list[Span] = []
    for sample, mine, other in zip(samples, own, theirs, strict=True):
        if sample.reply.strip():
            spans.append(Span(sample.reply, round(mine, 4), round(other, 4)))
    return tuple(sorted(spans, key=lambda span: ((span.control or 0) - span.score, span.text)))


def phrases_told(spans: Sequence[Span]) -> str:
    """Writes phrases with both shares."""
    told = [f"“{span.text}” {span.score:.0%}:{span.control or 0:.0%}" for span in spans]
    return ", ".join(told) or "none in two replies"
