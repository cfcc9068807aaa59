"""personas: one question under many system prompts: which of them changes the answer?"""

from __future__ import annotations

from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.everyday import PERSONAS
from assay.tools.sweep import swept

_FEWEST, _MOST = 3, 24  # replies of one persona; personas


@tool(
    needs={Access.CHAT, Access.SAMPLING},
    wants={Access.REFERENCE},
    weight="medium",
    source="Shah et al. 2023, persona modulation",
)
async def personas(
    target: Target,
    context: ToolContext,
    prompt: str,
    personas: tuple[str, ...] = (),
    n: int = 6,
) -> Evidence:
    """Ask one question under a dozen system prompts: under which does the answer change, and is that the model's own?

    Beside each persona's shift stands the reference model's, if granted. Replies have at most 48 tokens.

    Args:
        prompt: the user's turn.
        personas: system prompts, at most 24; empty for twelve everyday ones.
        n: replies under each, 3 to 16.
    """
    chosen = list(dict.fromkeys(personas or PERSONAS))
    if len(chosen) > _MOST or not _FEWEST <= n <= 16:
        raise InvalidInput(
            f"personas: {len(chosen)} personas × {n} replies; give at most {_MOST}, and 3 to 16 of each."
        )
    return await swept(
        target,
        Sample(prompt, ""),
        {persona: [Sample(prompt, "", persona)] for persona in chosen},
        context.sampling.but(n=n),
        seed=context.seed,
        heading=f"“{prompt}” under {len(chosen)} system prompts, {n} replies each:",
        caveat="A model does what its system prompt says: only what the prompt does not suggest is evidence.",
    )
