"""ask: one question, one reply. The baseline every other tool has to beat."""

from __future__ import annotations

from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import PLAIN_ACCESS, Evidence, Sample, ToolContext, tool


@tool(needs={Access.CHAT}, version=3, source=PLAIN_ACCESS)
async def ask(target: Target, context: ToolContext, prompt: str) -> Evidence:
    """Ask the model one question, without a system prompt, and read one reply.

    The reply is one sample at temperature 0.7, of at most 48 tokens; […] says that it stopped there. It has no
    control: any model might say this.

    Args:
        prompt: the user's turn.
    """
    sample = Sample.of(prompt, await target.chat(prompt, context.sampling))
    return Evidence(text=sample.told, samples=(sample,))
