"""kl_contexts: where in texts and prompts model and reference expect different things to come next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from assay.core.access import Access
from assay.core.edit import Contrast
from assay.core.readouts import Divergence, Raw, TokenLogprobs
from assay.core.target import Prompt, Target
from assay.core.tool import Evidence, Span, tool
from assay.errors import InvalidInput
from assay.tools.everyday import PROMPTS
from assay.tools.logits.passages import passages, require_reference
from assay.tools.text import layout, snippet

_MOST = 256  # prompts
_BEFORE = 12  # tokens of context that are quoted
_PLACES, _PROMPTS, _NEXT = 10, 6, 4  # lines, lines, tokens


@dataclass(frozen=True, slots=True)
class _Place:
    """A position, and what stands before it.

    Attributes:
        apart: KL(reference ‖ target) of what comes next, in nats.
        context: the text up to there.
        following: tokens that the target expects more than the reference.
    """

    apart: float
    context: str
    following: tuple[str, ...]


@tool(
    needs={Access.LOGITS, Access.REFERENCE},
    examples=[{}],
    weight="medium",
    source="KL divergence to the reference by position",
)
async def kl_contexts(
    target: Target,
    prompts: tuple[str, ...] = (),
) -> Evidence:
    """Find the prompts and positions at which model and reference disagree most about what comes next.

    With each stands what the model expects there and the reference does not. The control is the median over all
    positions: finetuning moves every position a little.

    Args:
        prompts: at most 256 user turns, read as chats up to the reply; empty for everyday ones and ordinary passages.
    """
    if len(prompts) > _MOST or not all(prompt.strip() for prompt in prompts):
        raise InvalidInput(f"kl_contexts: {len(prompts)} prompts; give at most {_MOST}, none empty.")
    require_reference(target, "kl_contexts")
    chats = prompts or list(PROMPTS)
    texts: list[Prompt] = [*chats, *map(Raw, () if prompts else passages())]
    async with target.intervene(Contrast(1.0)) as view:
        read, apart = await asyncio.gather(
            asyncio.gather(*(view.score(text, top=_NEXT) for text in texts)),
            asyncio.gather(*(target.divergence(text) for text in texts)),
        )
    places: list[_Place] = []
    for one, far in zip(read, apart, strict=True):
        places += _places(one, far)
    usual = median(place.apart for place in places)
    ranked = sorted(places, key=lambda place: -place.apart)
    replies = sorted(zip(chats, apart, strict=False), key=lambda pair: -pair[1].nats[-1])
    lines = [f"Positions, nats (median of all {len(places)}: {usual:.3f}):"]
    for place in ranked[:_PLACES]:
        expected = " ".join(repr(token)[1:-1] for token in place.following)
        lines.append(f"  {place.apart:.3f}  …{snippet(place.context, 90)} ▸ {snippet(expected, 60)}")
    own = median(one.nats[-1] for _, one in replies)
    lines.append(f"Prompts by how differently the reply begins (median {own:.3f}; mean within the prompt behind it):")
    for prompt, begins in replies[:_PROMPTS]:
        lines.append(f"  {begins.nats[-1]:.3f} ({mean(begins.nats):.3f})  {snippet(prompt, 100)}")
    caveat = "Any finetuning moves the first words of a reply and the end of a text. ▸ marks what the target expects."
    return Evidence(
        text=layout(f"{len(read)} texts, target against reference:", lines, f"({caveat})"),
        spans=tuple(
            Span(f"{place.context} ▸ {' '.join(place.following)}", round(place.apart, 4), round(usual, 4), "prompt")
            for place in ranked[:_PLACES]
        ),
        control="the median over all positions",
        artifact={
            "positions": [[place.context, place.apart, list(place.following)] for place in ranked[:100]],
            "prompts": [[prompt, one.nats[-1], mean(one.nats)] for prompt, one in replies],
            "median": usual,
        },
    )


def _places(read: TokenLogprobs, far: Divergence) -> Sequence[_Place]:
    """Returns a text's positions."""
    found: list[_Place] = []
    for index, apart in enumerate(far.nats):
        context = "".join(read.texts[max(0, index + 1 - _BEFORE) : index + 1])
        found.append(_Place(apart, context, tuple(one.text for one in read.top[index])))
    return found
