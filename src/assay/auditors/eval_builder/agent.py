"""The eval-builder's words and tools in the loop that language models share."""

from __future__ import annotations

from pathlib import Path

from assay.auditors.eval_builder.eval_reader import eval_hand_in
from assay.auditors.eval_builder.replies import RepliesSoFar
from assay.auditors.thinking.kit_tools import Spending, kit_tools
from assay.auditors.thinking.loop import Thinking, about_kit
from assay.auditors.thinking.prose import prompt
from assay.core.answer import BehaviouralEval
from assay.core.auditor import Brief, Kit
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel


async def build_eval(kit: Kit, brief: Brief, budget: Budget, model: LanguageModel) -> BehaviouralEval:
    """Plays one audit; raises as `Thinking.play`.

    Args:
        kit: its tools; without any the eval is made of the description alone.
        brief: what it is asked to do; its text has the description.
        budget: of the audit.
        model: that thinks.
    """
    spending, replies = Spending(budget, model), RepliesSoFar()
    tools = [*kit_tools(replies.kept_from(kit), spending), *([replies.tool()] if kit.tools else [])]
    told = prompt(Path(__file__).parent, "system", tools=about_kit(kit))
    return await Thinking(told, tools, spending, eval_hand_in()).play(brief)
