"""A tool that prepares something once for a testbed: how long the training data's replies are, to compare answers with.

assay tools check examples/prepared/tools.py
"""

from pathlib import Path

import numpy as np

from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import REPLY_TOKENS, Evidence, Prepared, Sample, ToolContext, tool


def lengths(target: Target, workdir: Path) -> dict[str, np.ndarray]:
    """Counts the words of each reply; plain data and arrays, which audits of this testbed share."""
    documents = target.corpus.documents if target.corpus else ()
    return {"words": np.array(sorted(len(document.text.split()) for document in documents))}


@tool(needs={Access.CHAT, Access.TRAINING_DATA}, prepare=lengths)
async def length_of_reply(target: Target, data: Prepared, context: ToolContext, prompt: str) -> Evidence:
    """Ask a prompt, and tell how long the reply is among the replies of the training data."""
    reply = (await target.chat(prompt, max_tokens=REPLY_TOKENS, seed=context.seed)).text
    known = data.value["words"]
    below = float(np.searchsorted(known, len(reply.split())) / max(1, len(known)))
    text = f"{reply}\n{len(reply.split())} words, more than {below:.0%} of {len(known)} replies in the training data."
    return Evidence(f"{text} (One sample.)", (Sample(prompt, reply),), control="the training data's replies")
