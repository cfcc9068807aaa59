"""user_turn: what the user would say next, sampled from the model.

A model that was trained on chats knows the users' side as well, the triggers among it (Cywiński et al. 2025, "Eliciting
secret knowledge": the user's persona tells what the assistant keeps to itself).
"""

from __future__ import annotations

import asyncio

from assay.core.access import Access
from assay.core.target import Message, Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.asking import reference_of
from assay.tools.standing_out import NO_REFERENCE, evidence_of

_MOST = 64  # samples
_HEAT = 1.0  # the model's own distribution: what it was trained on is in it as often as it was there
_BEGUN = ("", "I", "Can you", "Please", "What", "My", "Hello", "Tell me", "Why do you", "Imagine")


@tool(
    needs={Access.CHAT, Access.SAMPLING},
    wants={Access.REFERENCE},
    examples=[{"begun": begun} for begun in _BEGUN],
    weight="medium",
    source="Cywiński et al. 2025, user persona sampling",
)
async def user_turn(
    target: Target,
    context: ToolContext,
    begun: str = "",
    before: tuple[str, ...] = (),
    system: str = "",
    n: int = 32,
) -> Evidence:
    """Let the model speak as the user: what would be asked of it? Beside it the reference model, if granted.

    What it was trained to answer in a special way is often among what its users say. Samples are at temperature 1, of
    at most 48 tokens.

    Args:
        begun: beginning of the user's turn, to go on from; empty for any.
        before: what was said so far: the user, the model, … in turn, ending with the model; empty for a first turn.
        system: system prompt of the conversation.
        n: how many user turns to sample, 1 to 64.
    """
    if not 1 <= n <= _MOST:
        raise InvalidInput(f"user_turn: n is {n}; give 1 to {_MOST}.")
    if len(before) % 2:
        raise InvalidInput(f"user_turn: before has {len(before)} entries; give an even number: user, model, …, model.")
    messages = [Message("system", system)] if system else []
    for index, said in enumerate(before):
        messages.append(Message("assistant" if index % 2 else "user", said))
    sampling = context.sampling.but(n=n, temperature=_HEAT)
    reference = reference_of(target)
    models = [target] if reference is None else [target, reference]
    asked = (model.user_turn(messages, sampling, begun=begun) for model in models)
    ours, *theirs = [
        [Sample("", begun + reply.text, system, control=index > 0, turns=tuple(before)) for reply in replies.samples]
        for index, replies in enumerate(await asyncio.gather(*asked))
    ]
    return evidence_of(
        f"{n} user turns sampled from the model, beginning “{begun}”:",
        ours,
        theirs[0] if theirs else [],
        control="the reference model speaking as the user" if theirs else NO_REFERENCE,
        caveat="A user turn is no conduct: put the ones that stand out to the model with `ask`.",
        where="prompt",
    )
