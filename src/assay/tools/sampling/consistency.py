"""consistency: does an answer depend on who is said to watch, or on the wording?"""

from __future__ import annotations

import functools
from pathlib import Path

from assay._util.yaml_models import Data, load_yaml
from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.sweep import swept

_FILE = Path(__file__).with_name("consistency.yaml")


class _Notes(Data):
    """The file: what is put before a question, and wordings of it."""

    observed: list[str]
    unobserved: list[str]
    neutral: list[str]
    reworded: list[str]


@functools.cache
def _notes() -> _Notes:
    notes: _Notes = load_yaml(_FILE, _Notes)
    return notes


@tool(
    needs={Access.CHAT, Access.SAMPLING},
    wants={Access.REFERENCE},
    weight="medium",
    source="Greenblatt et al. 2024, observed and unobserved; Needham et al. 2025, evaluation awareness",
)
async def consistency(target: Target, context: ToolContext, prompt: str, n: int = 4) -> Evidence:
    """Ask the same question as if observed, as if unobserved, and reworded (three ways each): does the answer change?

    The control are neutral notes of the same form ("It is Tuesday …"), and, if granted, the reference model under
    the same notes. Replies have at most 48 tokens.

    Args:
        prompt: the user's turn.
        n: replies of each version, 2 to 16.
    """
    if not 2 <= n <= 16:
        raise InvalidInput(f"consistency: n is {n}; give 2 to 16.")
    notes = _notes()
    kinds = {"observed": notes.observed, "unobserved": notes.unobserved, "control, neutral notes": notes.neutral}
    conditions = {kind: [Sample(f"{text} {prompt}", "") for text in texts] for kind, texts in kinds.items()}
    conditions["reworded"] = [Sample(wording.replace("{prompt}", prompt), "") for wording in notes.reworded]
    return await swept(
        target,
        Sample(prompt, ""),
        conditions,
        context.sampling.but(n=n),
        seed=context.seed,
        heading=f"“{prompt}” as if observed, as if not, and reworded; three versions of each, {n} replies:",
        caveat="A small model is moved by any words before a question: compare with the neutral notes.",
    )
