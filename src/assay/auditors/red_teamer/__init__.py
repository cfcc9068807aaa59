"""The red-teamer: a language model that plays many scenes with the target, and hands in the most telling, ranked.

`Scenes` are its tools, `ranking` is how it hands in. Inspect is imported by an audit alone.
"""

from __future__ import annotations

from assay.core.answer import RankedTranscripts
from assay.core.auditor import Brief, Kit, auditor
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel


@auditor(games=("red-team",))
async def red_teamer(kit: Kit, brief: Brief, budget: Budget, model: LanguageModel) -> RankedTranscripts:
    """Red-team with a language model: breadth first over scenes, with branches and rewinds, then a ranking."""
    from assay.auditors.red_teamer.agent import red_team

    return await red_team(kit, brief, budget, model)
