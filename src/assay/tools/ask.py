"""ask: one question, one reply. The baseline every other tool has to beat."""

from __future__ import annotations

from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.tools.text import SAMPLED, layout


@tool(needs={Access.CHAT})
async def ask(target: Target, context: ToolContext, prompt: str) -> Evidence:
    """Ask the model one question, without a system prompt, and read one reply.

    Args:
        prompt: the user's turn.
    """
    reply = (await target.chat(prompt, context.sampling)).text
    caveat = f"({SAMPLED} No control: any model might say this.)"
    return Evidence(text=layout("Reply:", [reply], caveat), samples=(Sample(prompt, reply),))
