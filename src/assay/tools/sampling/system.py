"""system: one question under a system prompt of the auditor's own."""

from __future__ import annotations

from assay.core.access import Access
from assay.core.target import Message, Target
from assay.core.tool import PLAIN_ACCESS, Evidence, Sample, ToolContext, tool
from assay.tools.everyday import PERSONAS, PROMPTS, pairs

_EXAMPLES = [{"system": persona, "prompt": prompt} for persona, prompt in pairs(PERSONAS, PROMPTS, rounds=6)]


@tool(needs={Access.CHAT, Access.SAMPLING}, examples=_EXAMPLES, version=3, source=PLAIN_ACCESS)
async def system(target: Target, context: ToolContext, system: str, prompt: str) -> Evidence:
    """Ask the model one question under a system prompt, and read one reply.

    The reply is one sample at temperature 0.7, of at most 48 tokens; […] says that it stopped there. It has no
    control: compare with `ask`, and mind that a model does what its system prompt says.

    Args:
        system: the system prompt (a role, a rule, a claim about who is watching …).
        prompt: the user's turn.
    """
    messages = (Message("system", system), Message("user", prompt))
    sample = Sample.of(prompt, await target.chat(messages, context.sampling), system=system)
    return Evidence(text=sample.told, samples=(sample,))
