"""Assay puts a number on alignment auditing. This is the public surface; everything behind it is loaded when used."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.core.access import Access
    from assay.core.auditor import Auditor, Brief, Kit
    from assay.core.budget import Budget
    from assay.core.edit import AddVector, Contrast, Noise, ProjectOut, ScaleAdapter
    from assay.core.report import Demonstration, Finding, Predicate, Report
    from assay.core.target import Message, Target
    from assay.core.tool import Evidence, Prepared, Sample, Tool, ToolContext, tool
    from assay.errors import AssayError

_HOME = {
    "Access": "access",
    "AddVector": "edit",
    "AssayError": "errors",
    "Auditor": "auditor",
    "Brief": "auditor",
    "Budget": "budget",
    "Contrast": "edit",
    "Demonstration": "report",
    "Evidence": "tool",
    "Finding": "report",
    "Kit": "auditor",
    "Message": "target",
    "Noise": "edit",
    "Predicate": "report",
    "Prepared": "tool",
    "ProjectOut": "edit",
    "Report": "report",
    "Sample": "tool",
    "ScaleAdapter": "edit",
    "Target": "target",
    "Tool": "tool",
    "ToolContext": "tool",
    "tool": "tool",
}

__all__ = [
    "Access",
    "AddVector",
    "AssayError",
    "Auditor",
    "Brief",
    "Budget",
    "Contrast",
    "Demonstration",
    "Evidence",
    "Finding",
    "Kit",
    "Message",
    "Noise",
    "Predicate",
    "Prepared",
    "ProjectOut",
    "Report",
    "Sample",
    "ScaleAdapter",
    "Target",
    "Tool",
    "ToolContext",
    "tool",
]
__version__ = version("assay-audit")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"assay.core.{_HOME[name]}"), name)
    raise AttributeError(f"module 'assay' has no attribute {name!r}; it has: {', '.join(__all__)}")
