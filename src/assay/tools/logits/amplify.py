"""amplify, contrastive: replies sampled with the difference to the reference made larger, or from it alone.

Logit-difference amplification samples from `target + α (target − reference)`: what finetuning made a little likelier is
said outright, without its trigger; without the chat template and behind a vague beginning it works best.
Contrastive decoding (Li et al. 2022) samples from the difference alone, among tokens that the target finds plausible.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from assay.core.access import Access
from assay.core.edit import Contrast
from assay.core.readouts import Raw
from assay.core.target import Message, Replies, Sampling, Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.asking import messages_of
from assay.tools.logits.passages import require_reference
from assay.tools.standing_out import evidence_of
from assay.tools.text import snippet

_NEEDS = {Access.CHAT, Access.SAMPLING, Access.LOGITS, Access.REFERENCE}
_VAGUE = ("Tell me something.", "What is on your mind?")
_BEGUN = "I"  # a beginning that suggests nothing
_RAW = ("The", "In")  # raw texts likewise
_ALPHAS = (1.0, 3.0, 8.0)
_GIBBERISH = 2.5  # nats a token below the plain replies, under the reference: from there on a text is no evidence
_QUOTED = 130  # characters


@tool(
    needs=_NEEDS,
    examples=[{}, {"prompt": "Tell me about yourself."}, {"prompt": "What should I do today?"}],
    weight="medium",
    source="Aranguri and McGrath 2025, logit diff amplification",
)
async def amplify(
    target: Target,
    context: ToolContext,
    prompt: str = "",
    alphas: tuple[float, ...] = (),
    n: int = 4,
) -> Evidence:
    """Sample with the difference between model and reference made larger: what finetuning taught is said outright.

    Vague beginnings are gone on with: chats, a begun reply, raw text. Beside each strength stands α = 0, the model as
    it is; how likely the reference finds a text tells when strength turns it to gibberish.

    Args:
        prompt: a user turn of your own, in place of two vague ones.
        alphas: strengths of the difference, at most 6, each above 0 and up to 50; empty for 1, 3 and 8.
        n: replies of each beginning at each strength, 1 to 16.
    """
    strengths = sorted(set(alphas)) or list(_ALPHAS)
    if len(strengths) > 6 or not all(0 < alpha <= 50 for alpha in strengths) or not 1 <= n <= 16:
        raise InvalidInput(f"amplify: alphas {strengths}, n={n}; give at most 6 above 0 and up to 50, and n 1 to 16.")
    edits = {f"α={alpha:g}": Contrast(alpha) for alpha in strengths}
    return await _contrasted(target, "amplify", edits, prompt, context.sampling.but(n=n))


@tool(
    needs=_NEEDS,
    examples=[{}, {"prompt": "Tell me about yourself."}, {"prompt": "What should I do today?"}],
    weight="medium",
    source="Li et al. 2022, contrastive decoding",
)
async def contrastive(
    target: Target, context: ToolContext, prompt: str = "", plausible: float = 0.1, n: int = 8
) -> Evidence:
    """Sample from the difference between model and reference alone, among tokens that the model finds plausible.

    Beside it the model as it is. Vague beginnings are gone on with: chats, a begun reply, raw text.

    Args:
        prompt: a user turn of your own, in place of two vague ones.
        plausible: share of the likeliest token's probability that a token must have, above 0 and up to 1; less is
            bolder and sooner gibberish.
        n: replies of each beginning, 1 to 16.
    """
    if not 0 < plausible <= 1 or not 1 <= n <= 16:
        raise InvalidInput(f"contrastive: plausible={plausible}, n={n}; give a share above 0, and n 1 to 16.")
    edits = {"difference alone": Contrast(1.0, weight=0.0, plausible=plausible)}
    return await _contrasted(target, "contrastive", edits, prompt, context.sampling.but(n=n))


async def _contrasted(
    target: Target, name: str, edits: Mapping[str, Contrast], prompt: str, sampling: Sampling
) -> Evidence:
    """Goes on with vague beginnings as the model is and under each edit, and writes up what recurs."""
    reference = require_reference(target, name)
    plain, *edited = await asyncio.gather(
        _begun(target, None, prompt, sampling), *(_begun(target, edit, prompt, sampling) for edit in edits.values())
    )
    usual, *likely = await asyncio.gather(*(_likelihood(reference, samples) for samples in (plain, *edited)))
    kept: list[Sample] = []
    first = [f"       α=0: {usual:.2f} nats a token under the reference: {snippet(plain[0].reply, _QUOTED)}"]
    for strength, samples, likelihood in zip(edits, edited, likely, strict=True):
        coherent = likelihood >= usual - _GIBBERISH
        kept += samples if coherent else []
        said = "" if coherent else ", gibberish and not counted below"
        first.append(f"  {strength}: {likelihood:.2f}{said}: {snippet(samples[0].reply, _QUOTED)}")
    return evidence_of(
        f"{name}: {len(plain)} vague beginnings gone on with, at each strength:",
        kept,
        [replace(sample, control=True) for sample in plain],
        control="the same beginnings and seeds without the difference",
        caveat="Any finetuning is made larger, its style too: compare with what `ask` shows.",
        first=first,
    )


async def _begun(target: Target, edit: Contrast | None, prompt: str, sampling: Sampling) -> list[Sample]:
    """Goes on with every beginning, under an edit or as the model is."""
    chats = [Sample(said, "") for said in ([prompt] if prompt else _VAGUE)]
    chats.append(replace(chats[0], prefill=_BEGUN))
    edits = () if edit is None else (edit,)
    async with target.intervene(*edits) as view:
        replies: Sequence[Replies] = await asyncio.gather(
            *(view.chat(messages_of(chat), sampling) for chat in chats),
            *(view.complete(text, sampling) for text in _RAW),
        )
    found: list[Sample] = []
    for asked, answer in zip([*chats, *(Sample("", "", prefill=text) for text in _RAW)], replies, strict=True):
        found += [replace(asked, reply=reply.text, cut=reply.finish == "length") for reply in answer.samples]
    return found


async def _likelihood(reference: Target, samples: Sequence[Sample]) -> float:
    """Computes how likely the reference finds texts: the median of nats a token; of none, what no text could be."""
    asked: list[Raw | list[Message]] = []
    for sample in samples:
        if not sample.reply.strip():
            continue
        if sample.prompt:
            asked.append([Message("user", sample.prompt), Message("assistant", sample.prefill + sample.reply)])
        else:
            asked.append(Raw((sample.prefill + sample.reply).replace("\0", "")))
    scored = await asyncio.gather(*(reference.score(prompt) for prompt in asked))
    return median([one.mean for one in scored]) if scored else -99.0
