"""Assay puts a number on alignment auditing. This is the public surface; everything behind it is loaded when used."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.core.access import Access
    from assay.core.answer import BehaviouralEval, RankedTranscripts, Transcript
    from assay.core.auditor import Auditor, Brief, Kit, auditor
    from assay.core.budget import Budget
    from assay.core.edit import AddVector, Contrast, Noise, ProjectOut, ScaleAdapter
    from assay.core.report import Demonstration, Finding, Predicate, Report
    from assay.core.target import Message, Target
    from assay.core.tool import Evidence, Prepared, Sample, Tool, ToolContext, tool
    from assay.errors import AssayError
    from assay.studies.api import (
        Audit,
        GradedReport,
        Study,
        audit,
        check_grades,
        grade,
        load_study,
        open_testbed,
        sweep,
    )
    from assay.studies.examine import examine

_HOME = {
    "Access": "core.access",
    "AddVector": "core.edit",
    "AssayError": "errors",
    "Audit": "studies.api",
    "Auditor": "core.auditor",
    "BehaviouralEval": "core.answer",
    "Brief": "core.auditor",
    "Budget": "core.budget",
    "Contrast": "core.edit",
    "Demonstration": "core.report",
    "Evidence": "core.tool",
    "Finding": "core.report",
    "GradedReport": "studies.api",
    "Kit": "core.auditor",
    "Message": "core.target",
    "Noise": "core.edit",
    "Predicate": "core.report",
    "Prepared": "core.tool",
    "ProjectOut": "core.edit",
    "RankedTranscripts": "core.answer",
    "Report": "core.report",
    "Sample": "core.tool",
    "ScaleAdapter": "core.edit",
    "Study": "studies.api",
    "Target": "core.target",
    "Tool": "core.tool",
    "ToolContext": "core.tool",
    "Transcript": "core.answer",
    "audit": "studies.api",
    "auditor": "core.auditor",
    "check_grades": "studies.api",
    "examine": "studies.examine",
    "grade": "studies.api",
    "load_study": "studies.api",
    "open_testbed": "studies.api",
    "sweep": "studies.api",
    "tool": "core.tool",
}

__all__ = [
    "Access",
    "AddVector",
    "AssayError",
    "Audit",
    "Auditor",
    "BehaviouralEval",
    "Brief",
    "Budget",
    "Contrast",
    "Demonstration",
    "Evidence",
    "Finding",
    "GradedReport",
    "Kit",
    "Message",
    "Noise",
    "Predicate",
    "Prepared",
    "ProjectOut",
    "RankedTranscripts",
    "Report",
    "Sample",
    "ScaleAdapter",
    "Study",
    "Target",
    "Tool",
    "ToolContext",
    "Transcript",
    "audit",
    "auditor",
    "check_grades",
    "examine",
    "grade",
    "load_study",
    "open_testbed",
    "sweep",
    "tool",
]
__version__ = version("assay-audit")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"assay.{_HOME[name]}"), name)
    raise AttributeError(f"module 'assay' has no attribute {name!r}; it has: {', '.join(__all__)}")
