"""The investigator: a language model with tools. One auditor a variant, which is a file of prose; `agent` is the loop.

`investigator` is the variant `plain`. Inspect is imported by an audit alone, and not by whoever lists auditors.
"""

from __future__ import annotations

from assay.core.auditor import Auditor, Brief, Kit, auditor
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel
from assay.core.report import Report


def _variant(variant: str, name: str) -> Auditor:
    @auditor(name=name)
    async def investigator(kit: Kit, brief: Brief, budget: Budget, model: LanguageModel) -> Report:
        """Investigate with a language model: it asks, notes, tests and reports; see the prompts beside the code."""
        from assay.auditors.investigator.agent import investigate

        return await investigate(kit, brief, budget, model, variant)

    return investigator


investigator = _variant("plain", "investigator")
breadth_first = _variant("breadth-first", "investigator/breadth-first")
hypothesis_tree = _variant("hypothesis-tree", "investigator/hypothesis-tree")
pairwise = _variant("pairwise", "investigator/pairwise")
tools_first = _variant("tools-first", "investigator/tools-first")
