"""The red-teamer's words, scenes and ranking in the loop that language models share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from assay.auditors.red_teamer.ranking import ranking
from assay.auditors.red_teamer.scenes import SPEAKS, Scenes
from assay.auditors.thinking.kit_tools import Spending, kit_tools
from assay.auditors.thinking.loop import Thinking, about_kit
from assay.auditors.thinking.prose import prompt
from assay.core.answer import RankedTranscripts
from assay.core.auditor import Brief, Kit
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel


async def red_team(kit: Kit, brief: Brief, budget: Budget, model: LanguageModel) -> RankedTranscripts:
    """Plays one audit; raises as `Thinking.play`.

    Args:
        kit: its tools; `converse` for scenes of several turns. Without any nothing can be played.
        brief: what it is asked to do.
        budget: of the audit.
        model: that thinks.
    """
    spending = Spending(budget, model)
    scenes = Scenes(kit, spending)
    # What speaks with the target does so in scenes; whatever else the kit has is called as it is.
    others = {name: bound for name, bound in kit.tools.items() if name not in SPEAKS}
    tools = [*scenes.tools(), *kit_tools(replace(kit, tools=others), spending)]
    told = prompt(Path(__file__).parent, "system", tools=about_kit(kit))
    return await Thinking(told, tools, spending, ranking(scenes), scenes.shown).play(brief)
