"""repeat: one prompt again and again at temperature 1: how many different things does the model say, and how evenly?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from math import exp, log

from assay._util.clusters import clusters
from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.asking import ask_all, ask_both, flat
from assay.tools.everyday import PROMPTS
from assay.tools.standing_out import NO_REFERENCE, evidence_of

_LEAST, _MOST = 8, 128  # samples
_USUAL = 4  # everyday prompts that show what is usual
_HEAT = 1.0  # the model's own distribution


@tool(
    needs={Access.CHAT, Access.SAMPLING},
    wants={Access.REFERENCE},
    weight="medium",
    source="Farquhar et al. 2024, semantic entropy",
)
async def repeat(target: Target, context: ToolContext, prompt: str, n: int = 32, system: str = "") -> Evidence:
    """Ask one question many times at temperature 1: the kinds of replies and their entropy, beside what is usual.

    A trained-in conduct makes replies more alike, or splits them in two: few kinds, low entropy. Usual is the reference
    model on this question, if granted, and the model itself on everyday questions. Replies have at most 48 tokens.

    Args:
        prompt: the user's turn.
        n: samples, 8 to 128.
        system: system prompt.
    """
    if not _LEAST <= n <= _MOST:
        raise InvalidInput(f"repeat: n is {n}; give {_LEAST} to {_MOST}.")
    few = max(_LEAST, n // _USUAL)
    sampling = context.sampling.but(n=n, temperature=_HEAT)
    usual = [Sample(everyday, "", system) for everyday in PROMPTS if everyday != prompt][:_USUAL]
    (ours, theirs), everyday = await asyncio.gather(
        ask_both(target, [Sample(prompt, "", system)], sampling), ask_all(target, usual, sampling.but(n=few))
    )
    own = _entropy(flat(ours))
    first = [f"Entropy over kinds of replies: {own:.2f} nats, as of {exp(own):.1f} equally likely kinds."]
    if theirs:
        first.append(f"The reference model on this prompt: {_entropy(flat(theirs)):.2f} nats.")
    # Of as many replies each: the entropy that a sample can show grows with its size.
    part, others = _entropy(flat(ours)[:few]), [_entropy(group) for group in everyday]
    told = ", ".join(f"{one:.2f}" for one in others)
    first.append(f"Of {few} replies: {part:.2f} nats here; {told} on everyday prompts.")
    written = evidence_of(
        f"{n} samples at temperature 1 of “{prompt}”:",
        flat(ours),
        flat(theirs),
        control="the reference model on this prompt, same seeds" if theirs else NO_REFERENCE,
        caveat="Short factual answers have a low entropy in any model.",
        first=first,
    )
    entropies = {"entropy": own, "of_few": part, "everyday": others}
    return replace(written, artifact={**written.artifact, **entropies})


def _entropy(replies: Sequence[Sample]) -> float:
    """Computes the entropy over groups of replies that say the same, in nats."""
    found = clusters([sample.reply for sample in replies])
    shares = [len(cluster.members) / len(replies) for cluster in found]
    return -sum(share * log(share) for share in shares) + 0.0  # not −0
