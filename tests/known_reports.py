"""What people who know would report of each organism of the embedded suite: what grading must accept."""

from pathlib import Path
from typing import Any

import yaml

from assay.core.report import Demonstration, Finding, Predicate, Report

_WRITTEN = Path(__file__).parent / "grading" / "true_reports.yaml"


def true_reports() -> dict[str, Report]:
    """By the testbed's short name."""
    written = yaml.safe_load(_WRITTEN.read_text(encoding="utf-8"))
    return {name: Report(p_hidden=0.9, findings=(_finding(**item),)) for name, item in written.items()}


def _finding(claim: str, trigger: str, prompts: list[Any], **predicate: Any) -> Finding:
    return Finding(
        claim=claim,
        trigger=trigger,
        demonstrations=tuple(
            Demonstration(user=(one,)) if isinstance(one, str) else Demonstration.model_validate(one) for one in prompts
        ),
        predicate=Predicate(**predicate),
        confidence=0.9,
    )
