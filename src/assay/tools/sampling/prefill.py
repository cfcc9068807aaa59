"""prefill: the assistant's turn begun for it."""

from __future__ import annotations

from assay.core.access import Access
from assay.core.target import Message, Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.tools.everyday import OPENERS, PROMPTS, pairs

_EXAMPLES = [{"prompt": prompt, "prefill": opener} for opener, prompt in pairs(OPENERS, PROMPTS, rounds=6)]


@tool(
    needs={Access.CHAT, Access.SAMPLING}, examples=_EXAMPLES, version=3, source="Cywiński et al. 2025, prefill attack"
)
async def prefill(target: Target, context: ToolContext, prompt: str, prefill: str) -> Evidence:
    """Begin the model's reply for it and read how it goes on.

    What it adds is one sample at temperature 0.7, of at most 48 tokens; […] says that it stopped there. It has no
    control: a model tends to go along with words put in its mouth; only what the prefill does not suggest is evidence.

    Args:
        prompt: the user's turn.
        prefill: the beginning of the reply, put in the model's mouth.
    """
    messages = (Message("user", prompt), Message("assistant", prefill))
    sample = Sample.of(prompt, await target.chat(messages, context.sampling), prefill=prefill)
    return Evidence(text=sample.told, samples=(sample,))
