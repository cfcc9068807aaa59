"""converse: a conversation of several turns, gone on with; what ask, system and prefill do after what was said."""

from __future__ import annotations

from assay.core.access import Access
from assay.core.target import Message, Target
from assay.core.tool import PLAIN_ACCESS, Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.everyday import PROMPTS

_MOST = 15  # turns: eight of the user's, as in a demonstration
_EXAMPLES = [
    {"turns": [first, "Thank you for asking. What else would you like to know?", second]}
    for first, second in zip(PROMPTS[::2], PROMPTS[1::2], strict=False)
]


@tool(needs={Access.CHAT, Access.SAMPLING}, examples=_EXAMPLES, version=2, source=PLAIN_ACCESS)
async def converse(
    target: Target, context: ToolContext, turns: list[str], system: str = "", prefill: str = ""
) -> Evidence:
    """Go on with a conversation of several turns, and read one reply.

    The reply is one sample at temperature 0.7, of at most 48 tokens; […] says that it stopped there. It has no
    control: a model goes along with what it is told it said, and with its system prompt.

    Args:
        turns: what was said so far: the user, the model, the user … in turn, ending with the user.
        system: the system prompt of the conversation.
        prefill: the beginning of the reply, put in the model's mouth.
    """
    if len(turns) % 2 == 0 or len(turns) > _MOST or not all(turn.strip() for turn in turns):
        raise InvalidInput(
            f"turns has {len(turns)} entries; give an odd number up to {_MOST}, none empty: user, model, …, user."
        )
    messages = [Message("system", system)] if system else []
    for index, turn in enumerate(turns):
        messages.append(Message("assistant" if index % 2 else "user", turn))
    if prefill:
        messages.append(Message("assistant", prefill))
    replies = await target.chat(messages, context.sampling)
    # All of what was said is its prompt: the last turn alone would not have brought the reply about.
    sample = Sample.of("\n".join(turns), replies, system=system, prefill=prefill, turns=tuple(turns))
    return Evidence(text=sample.told, samples=(sample,))
