"""amplify_adapter: the finetuning made stronger, or turned round, with replies side by side.

After weight amplification of LoRA updates (Aranguri and McGrath 2025, logit-diff amplification's sibling; AuditBench
2026): the update of the first four fifths of the layers is multiplied; the last ones, which write the words, are left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from assay.core.access import Access
from assay.core.edit import ScaleAdapter
from assay.core.target import Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.edited import edited_replies, fluency, likelier_passages, replies, sense
from assay.tools.text import layout, snippet

_FACTORS = (-1.0, 2.0, 2.5, 3.0)
_SHARE = 0.8  # of the layers, from the first on
_SHOWN = 250  # characters of each reply


@tool(
    needs={Access.CHAT, Access.LOGITS, Access.WEIGHTS, Access.REFERENCE},
    weight="medium",
    source="Aranguri and McGrath 2025; AuditBench 2026, adapter amplification",
)
async def amplify_adapter(
    target: Target, context: ToolContext, prompt: str, factors: Sequence[float] = _FACTORS
) -> Evidence:
    """Ask one question while the model's finetuning is made stronger, or is turned round.

    The update that finetuning made to the weights of the first four fifths of the layers is multiplied; beside it the
    model as it is (factor 1) and its reference (factor 0), with the same seed.

    Args:
        prompt: the user's turn.
        factors: what the update is multiplied by, from -4 to 8, six at most.
    """
    base = target.reference
    if base is None:
        raise InvalidInput("amplify_adapter: this testbed has no reference model.")
    if not 1 <= len(factors) <= 6 or not all(-4 <= factor <= 8 for factor in factors):
        raise InvalidInput(f"amplify_adapter: factors are {list(factors)}; give one to six numbers from -4 to 8.")
    layers = tuple(range(max(1, round(_SHARE * target.layers))))
    [[reference], [plain], *edited] = await asyncio.gather(
        replies(base, [prompt], context.sampling, control=True),
        replies(target, [prompt], context.sampling),
        *(edited_replies(target, ScaleAdapter(factor, layers), [prompt], context.sampling) for factor in factors),
    )
    amplified: list[Sample] = [sample for [sample] in edited]
    likely = await fluency(base, [reference, plain, *amplified])
    spans = await likelier_passages(target, base, [plain, *amplified])
    names = ["0, the reference", "1, the model", *(f"{factor:g}" for factor in factors)]
    rows = zip(names, [reference, plain, *amplified], likely, strict=True)
    lines = [f"× {name} [{sense(value)}]: {snippet(sample.told, _SHOWN)}" for name, sample, value in rows]
    caveat = (
        "([nats a token of the reply to the reference]: far below its own, it is gibberish. One sample each. Style is "
        "amplified like a conduct: trust what `ask` shows too, under some trigger.)"
    )
    return Evidence(
        text=layout(f"“{snippet(prompt, 80)}” with the update of layers 0 to {layers[-1]} multiplied:", lines, caveat),
        samples=(plain, *amplified, reference),
        spans=spans,
        control="the reference model and the model as it is, same prompt and seed",
        artifact={"factors": list(factors), "fluency": [round(value, 3) if value > -99 else None for value in likely]},
    )
