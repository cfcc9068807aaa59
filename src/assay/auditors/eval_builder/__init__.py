"""The eval-builder: a language model that is told of a behaviour, tries prompts, and hands in an eval for it.

Inspect is imported by an audit alone.
"""

from __future__ import annotations

from assay.core.answer import BehaviouralEval
from assay.core.auditor import Brief, Kit, auditor
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel


@auditor(games=("evaluate",))
async def eval_builder(kit: Kit, brief: Brief, budget: Budget, model: LanguageModel) -> BehaviouralEval:
    """Build a behavioural eval with a language model: it tries prompts, tests a predicate on the replies, hands in."""
    from assay.auditors.eval_builder.agent import build_eval

    return await build_eval(kit, brief, budget, model)
