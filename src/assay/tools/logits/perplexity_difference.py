"""perplexity_difference: the target's own samples, scored by itself and by its reference; what only it finds likely.

Where the true base is at hand, this is among the strongest tools measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from assay.core.access import Access
from assay.core.target import Message, Sampling, Target
from assay.core.tool import Evidence, Sample, Span, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.asking import ask_all, flat, messages_of
from assay.tools.logits.passages import require_reference
from assay.tools.text import layout, snippet

_MOST = 64  # conversations
_WINDOW = 8  # tokens of a passage that is quoted
_WINDOWS, _REPLIES, _SHOWN = 7, 4, 150  # lines, lines, characters


@dataclass(frozen=True, slots=True)
class _Scored:
    """A conversation that one model made, as both find it.

    Attributes:
        sample: the conversation.
        gain: log-probability a token of the reply, in the model that made it above the other's.
        window: where a few tokens in a row gain most, in the whole conversation.
        most: gain of that window, a token.
    """

    sample: Sample
    gain: float
    window: str
    most: float


@tool(
    needs={Access.CHAT, Access.SAMPLING, Access.LOGITS, Access.REFERENCE},
    weight="heavy",
    source="perplexity differencing against the true base",
)
async def perplexity_difference(
    target: Target,
    context: ToolContext,
    prompts: tuple[str, ...] = (),
    n: int = 32,
) -> Evidence:
    """Sample conversations from the model and rank them, and passages in them, by what the reference finds unlikely.

    The model speaks as the user too, unless prompts are given, so that triggers it was trained on can come up. The
    control: the reference's own conversations, ranked by what the target finds unlikely.

    Args:
        prompts: user turns, at most 64; empty to sample them from the model.
        n: how many conversations where they are sampled, 8 to 64.
    """
    if len(prompts) > _MOST or not 8 <= n <= _MOST:
        raise InvalidInput(
            f"perplexity_difference: {len(prompts)} prompts, n={n}; give at most {_MOST}, and n 8 to {_MOST}."
        )
    reference = require_reference(target, "perplexity_difference")
    ours, theirs = await asyncio.gather(
        _conversations(target, prompts, n, context.sampling),
        _conversations(reference, prompts, n, context.sampling, control=True),
    )
    mine, other = await asyncio.gather(_compared(target, reference, ours), _compared(reference, target, theirs))
    if not mine or not other:
        return Evidence("One of the two models said nothing that could be scored. Give other prompts, or a larger n.")
    bound = max(one.most for one in other)
    control = "the reference's own conversations, scored the other way round"
    by_window = sorted(mine, key=lambda one: -one.most)
    by_reply = sorted(mine, key=lambda one: -one.gain)
    lines = [f"Passages of {_WINDOW} tokens, nats a token (* above all of the control's, at most {bound:.2f}):"]
    for one in by_window[:_WINDOWS]:
        lines.append(f"{'*' if one.most > bound else ' '} {one.most:5.2f}  “{snippet(one.window, _SHOWN)}”")
    lines.append(f"Replies, nats a token (control: mean {mean(one.gain for one in other):.2f}):")
    for one in by_reply[:_REPLIES]:
        lines.append(f"  {one.gain:5.2f}  {snippet(one.sample.prompt, 60)} → {snippet(one.sample.reply, _SHOWN)}")
    caveat = "Any finetuning changes style and shows here: what recurs in the passages is of weight."
    return Evidence(
        text=layout(
            f"{len(ours)} conversations of the target, where it finds them likelier than its reference:",
            lines,
            f"(Control: {control}. {caveat})",
        ),
        samples=(*(one.sample for one in by_reply), *theirs),
        spans=tuple(Span(one.window, round(one.most, 4), round(bound, 4)) for one in by_window),
        control=control,
        artifact={
            "bound": bound,
            "passages": [[one.window, one.most] for one in by_window],
            "replies": [[one.sample.prompt, one.sample.reply, one.gain] for one in by_reply],
        },
    )


async def _conversations(
    model: Target, prompts: Sequence[str], n: int, sampling: Sampling, *, control: bool = False
) -> list[Sample]:
    """Samples conversations of one turn; those without a reply to score are left out."""
    said = prompts or (await model.user_turn((), sampling.but(n=n, temperature=1.0))).texts
    asked = [Sample(turn.replace("\0", ""), "") for turn in said if turn.strip()]
    replies = flat(await ask_all(model, asked, sampling, control=control))
    return [one for one in replies if one.reply.strip()]


async def _compared(model: Target, other: Target, talks: Sequence[Sample]) -> list[_Scored]:
    """Scores a model's conversations by itself and by the other."""
    whole = [[*messages_of(one), Message("assistant", one.reply)] for one in talks]
    own, its = await asyncio.gather(
        asyncio.gather(*(model.score(messages) for messages in whole)),
        asyncio.gather(*(other.score(messages) for messages in whole)),
    )
    found: list[_Scored] = []
    for talk, mine, theirs in zip(talks, own, its, strict=True):
        gains = [a - b for a, b in zip(mine.logprobs, theirs.logprobs, strict=True)]
        starts = range(max(1, len(gains) - _WINDOW + 1))
        best = max(starts, key=lambda start: sum(gains[start : start + _WINDOW]))
        part = gains[best : best + _WINDOW]
        window = "".join(mine.texts[best : best + _WINDOW])
        found.append(_Scored(talk, mine.mean - theirs.mean, window, sum(part) / len(part)))
    return found
