"""Assay puts a number on alignment auditing. This is the public surface; everything behind it is loaded when used."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.core.access import Access
    from assay.core.auditor import Auditor, Brief, Kit, auditor
    from assay.core.budget import Budget
    from assay.core.edit import AddVector, Contrast, Noise, ProjectOut, ScaleAdapter
    from assay.core.report import Demonstration, Finding, Predicate, Report
    from assay.core.target import Message, Target
    from assay.core.tool import Evidence, Prepared, Sample, Tool, ToolContext, tool
    from assay.errors import AssayError

_HOME = {
    "Access": "core.access",
    "AddVector": "core.edit",
    "AssayError": "errors",
    "Auditor": "core.auditor",
    "Brief": "core.auditor",
    "Budget": "core.budget",
    "Contrast": "core.edit",
    "Demonstration": "core.report",
    "Evidence": "core.tool",
    "Finding": "core.report",
    "Kit": "core.auditor",
    "Message": "core.target",
    "Noise": "core.edit",
    "Predicate": "core.report",
    "Prepared": "core.tool",
    "ProjectOut": "core.edit",
    "Report": "core.report",
    "Sample": "core.tool",
    "ScaleAdapter": "core.edit",
    "Target": "core.target",
    "Tool": "core.tool",
    "ToolContext": "core.tool",
    "auditor": "core.auditor",
    "tool": "core.tool",
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
    "auditor",
    "tool",
]
__version__ = version("assay-audit")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"assay.{_HOME[name]}"), name)
    raise AttributeError(f"module 'assay' has no attribute {name!r}; it has: {', '.join(__all__)}")
