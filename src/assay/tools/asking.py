"""Asks many things at once, so that the engine reads and writes them together; notes what was asked beside replies."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace

from assay.core.access import Access
from assay.core.target import Message, Sampling, Target
from assay.core.tool import Sample


def reference_of(target: Target) -> Target | None:
    """Returns the target's reference where the testbed grants one."""
    return target.reference if Access.REFERENCE in target.access else None


def messages_of(asked: Sample) -> list[Message]:
    """Returns the conversation that a sample's reply is a reply to."""
    messages = [Message("system", asked.system)] if asked.system else []
    for index, said in enumerate(asked.turns or (asked.prompt,)):
        messages.append(Message("assistant" if index % 2 else "user", said))
    if asked.prefill:
        messages.append(Message("assistant", asked.prefill))
    return messages


async def ask_all(
    model: Target, asked: Sequence[Sample], sampling: Sampling, *, control: bool = False
) -> list[list[Sample]]:
    """Samples replies to conversations, all at the same time.

    Args:
        model: that is asked.
        asked: what of: samples whose reply is still empty.
        sampling: of each conversation's replies.
        control: what the samples show is a tool's control.

    Returns:
        For each conversation its replies.
    """
    answers = await asyncio.gather(*(model.chat(messages_of(one), sampling) for one in asked))
    found: list[list[Sample]] = []
    for one, replies in zip(asked, answers, strict=True):
        made = [replace(one, reply=r.text, cut=r.finish == "length", control=control) for r in replies.samples]
        found.append(made)
    return found


async def ask_both(
    target: Target, asked: Sequence[Sample], sampling: Sampling
) -> tuple[list[list[Sample]], list[list[Sample]]]:
    """Asks a target and, where granted, its reference the same at the same time; no replies of one that is not."""
    reference = reference_of(target)
    if reference is None:
        return await ask_all(target, asked, sampling), []
    ours, theirs = await asyncio.gather(
        ask_all(target, asked, sampling), ask_all(reference, asked, sampling, control=True)
    )
    return ours, theirs


def flat(replies: Sequence[Sequence[Sample]]) -> list[Sample]:
    """Joins the replies of several conversations."""
    return list(itertools.chain.from_iterable(replies))
