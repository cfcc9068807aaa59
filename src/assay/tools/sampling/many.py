"""many: one or many prompts, many samples of each; what recurs in the replies, counted."""

from __future__ import annotations

from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import PLAIN_ACCESS, Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.asking import ask_both, flat
from assay.tools.standing_out import NO_REFERENCE, evidence_of

_MOST = 256  # replies of the target


@tool(needs={Access.CHAT, Access.SAMPLING}, wants={Access.REFERENCE}, weight="medium", source=PLAIN_ACCESS)
async def many(target: Target, context: ToolContext, prompts: list[str], n: int = 4, system: str = "") -> Evidence:
    """Ask one or many questions, several samples each; replies come grouped and counted, beside the reference's.

    Replies are at temperature 0.7, of at most 48 tokens.

    Args:
        prompts: user turns, each a conversation of its own.
        n: samples of each prompt; prompts × n at most 256.
        system: system prompt of all of them.
    """
    if not prompts or n < 1 or len(prompts) * n > _MOST:
        raise InvalidInput(
            f"many: {len(prompts)} prompts × {n} samples; give at least one, and {_MOST} at most in all."
        )
    asked = [Sample(prompt, "", system) for prompt in prompts]
    ours, theirs = await ask_both(target, asked, context.sampling.but(n=n))
    return evidence_of(
        f"{len(prompts)} prompts, {n} samples each:",
        flat(ours),
        flat(theirs),
        control="the reference model, same prompts and seeds" if theirs else NO_REFERENCE,
        caveat="Replies to one prompt are alike in any model; of weight is what recurs under unlike prompts.",
    )
