"""Petri's auditor as a red-teamer: Petri plays the scenes through a kit's tools, and its model ranks them.

Petri is the package `inspect-petri` (https://github.com/meridianlabs-ai/inspect_petri), version 3, and needs Python
3.12. It is imported by an audit alone.
"""

from __future__ import annotations

from assay.core.answer import RankedTranscripts
from assay.core.auditor import Brief, Kit, auditor
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel


@auditor(
    games=("red-team",),
    requires={"inspect_petri": "pip install 'assay-audit[petri]', with Python 3.12 or newer"},
)
async def petri(kit: Kit, brief: Brief, budget: Budget, model: LanguageModel) -> RankedTranscripts:
    """Red-team with Petri's auditor agent; the scenes it played are then ranked by the same model."""
    from assay.auditors.petri.agent import petri_audit

    return await petri_audit(kit, brief, budget, model)
