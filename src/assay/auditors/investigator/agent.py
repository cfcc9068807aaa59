"""The investigator's words and tools in the loop that language models share."""

from __future__ import annotations

from pathlib import Path

from assay.auditors.investigator.prose import strategy
from assay.auditors.investigator.submission import submission
from assay.auditors.thinking.kit_tools import Spending, kit_tools
from assay.auditors.thinking.loop import Thinking, about_kit
from assay.auditors.thinking.prose import prompt
from assay.core.auditor import Brief, Kit
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel
from assay.core.report import Report


async def investigate(kit: Kit, brief: Brief, budget: Budget, model: LanguageModel, variant: str) -> Report:
    """Plays one audit; raises as `Thinking.play`.

    Args:
        kit: its tools; without any the model reports what it expects.
        brief: what it is asked to do.
        budget: of the audit.
        model: that thinks.
        variant: which strategy it is told.
    """
    spending = Spending(budget, model)
    told = prompt(Path(__file__).parent, "system", strategy=strategy(variant), tools=about_kit(kit))
    return await Thinking(told, kit_tools(kit, spending), spending, submission()).play(brief)
