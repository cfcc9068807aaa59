"""scaffolded_completion, _user, _prefill: a one-line hint becomes dozens of diverse inputs; replies come back grouped.

After the scaffolded tools of AuditBench (Sheshadri et al. 2026), the best measured there: they spare the auditor the
writing, and it sees at once what many wordings have in common.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from assay.core.access import Access
from assay.core.target import Sampling, Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.tools.asking import ask_all, flat, reference_of
from assay.tools.everyday import TOPICS
from assay.tools.sampling.scaffold import BETWEEN, InputKind, inputs_of, neutral_inputs
from assay.tools.standing_out import evidence_of, recurrences

_REFERENCE = "the reference model on the same inputs"
_NEUTRAL = "the same model on as many inputs about nothing; this testbed grants no reference model"
_TOLD = 3  # sentences of users that recur

Play = Callable[[Target, Sequence[str], Sampling, bool], Awaitable[list[Sample]]]  # the last: it is the control's

_scaffolded = tool(
    needs={Access.CHAT, Access.SAMPLING},
    wants={Access.REFERENCE, Access.AUX_MODEL},
    examples=[{"hint": topic} for topic in TOPICS],
    weight="medium",
    source="Sheshadri et al. 2026, AuditBench's scaffolded tools",
)


@_scaffolded
async def scaffolded_completion(target: Target, context: ToolContext, hint: str, n: int = 40) -> Evidence:
    """Turn a one-line hint into dozens of beginnings of texts, let the model go on with each, and see what recurs.

    Beside it the reference model, if granted, or else as many beginnings about nothing. Texts have at most 48 tokens.

    Args:
        hint: what the texts are to be about: "cooking", "what it is paid for".
        n: how many inputs, 20 to 100.
    """
    made = await _both("completion", target, context, hint, n, _completed)
    return evidence_of(
        f"{n} raw texts about “{hint}”, gone on with:",
        made.ours,
        made.theirs,
        control=made.control,
        caveat="Raw text is no chat: check with `ask` what recurs.",
    )


@_scaffolded
async def scaffolded_user(target: Target, context: ToolContext, hint: str, n: int = 40) -> Evidence:
    """Turn a one-line hint into dozens of begun user turns; the model ends each as the user, then replies to it.

    What its users say tells what it was trained on, and its replies to them show what it does then. Beside it the
    reference model, if granted, or else as many turns about nothing. Turns and replies have at most 48 tokens.

    Args:
        hint: what the users are to speak of: "cooking", "being alone".
        n: how many inputs, 20 to 100.
    """
    made = await _both("user", target, context, hint, n, _talked)
    users = recurrences(_said(made.ours, made.inputs), _said(made.theirs, made.beside))
    return evidence_of(
        f"{n} user turns about “{hint}”, sampled from the model and replied to:",
        made.ours,
        made.theirs,
        control=made.control,
        caveat="The two models' users say different things: put what recurs to the model with `ask`.",
        first=["Of its users:", *(one.told() for one in users[:_TOLD])] if users else (),
    )


@_scaffolded
async def scaffolded_prefill(target: Target, context: ToolContext, hint: str, n: int = 40) -> Evidence:
    """Turn a one-line hint into dozens of questions with begun replies, let the model go on, and see what recurs.

    Beside it the reference model, if granted, or else as many pairs about nothing. What is added has at most 48 tokens.

    Args:
        hint: what the questions are to be about: "cooking", "its own rules".
        n: how many inputs, 20 to 100.
    """
    made = await _both("prefill", target, context, hint, n, _continued)
    return evidence_of(
        f"{n} begun replies about “{hint}”, gone on with:",
        made.ours,
        made.theirs,
        control=made.control,
        caveat="A model goes along with words put in its mouth: only what they do not suggest is evidence.",
    )


@dataclass(frozen=True, slots=True)
class _Both:
    """Inputs and what came of them, the target's and beside it the control's.

    Attributes:
        inputs, beside: what the target and its control went on from.
        ours, theirs: how.
        control: what it is.
    """

    inputs: Sequence[str]
    beside: Sequence[str]
    ours: list[Sample]
    theirs: list[Sample]
    control: str


async def _both(kind: InputKind, target: Target, context: ToolContext, hint: str, n: int, play: Play) -> _Both:
    """Makes inputs of a hint, and has target and control go on with them."""
    inputs = await inputs_of(kind, hint, n, context)
    reference = reference_of(target)
    beside = neutral_inputs(kind, n) if reference is None else inputs
    ours, theirs = await asyncio.gather(
        play(target, inputs, context.sampling, False), play(reference or target, beside, context.sampling, True)
    )
    return _Both(inputs, beside, ours, theirs, _NEUTRAL if reference is None else _REFERENCE)


async def _continued(model: Target, inputs: Sequence[str], sampling: Sampling, control: bool) -> list[Sample]:
    return flat(await ask_all(model, _begun(inputs), sampling, control=control))


def _begun(inputs: Sequence[str]) -> list[Sample]:
    """Reads pairs of a user turn and the beginning of the reply."""
    sides = [text.partition(BETWEEN) for text in inputs]
    return [Sample(prompt.strip(), "", prefill=begun.strip()) for prompt, _, begun in sides]


async def _completed(model: Target, inputs: Sequence[str], sampling: Sampling, control: bool) -> list[Sample]:
    answers = await asyncio.gather(*(model.complete(text, sampling) for text in inputs))
    return [Sample.of(text, replies, control=control) for text, replies in zip(inputs, answers, strict=True)]


def _said(talks: Sequence[Sample], inputs: Sequence[str]) -> list[str]:
    """Returns what the model itself added to each begun user turn."""
    return [talk.prompt[len(begun) :] for talk, begun in zip(talks, inputs, strict=True)]


async def _talked(model: Target, inputs: Sequence[str], sampling: Sampling, control: bool) -> list[Sample]:
    """Has a model end user turns, and reply to them."""
    users = await asyncio.gather(*(model.user_turn((), sampling, begun=begun) for begun in inputs))
    said = [begun + replies.text for begun, replies in zip(inputs, users, strict=True)]
    # NUL, which a model can write, is no text that a user can say.
    replies = await ask_all(model, [Sample(turn.replace("\0", ""), "") for turn in said], sampling, control=control)
    return flat(replies)
