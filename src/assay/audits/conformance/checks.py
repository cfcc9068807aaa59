"""Holds what the conformance suites of tools and of auditors share: a check, its row, the bound on false alarms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

NULL_RUNS = 20
ALARM_SHARE = 0.15  # of the runs on nulls; what holds 1 in 20 passes with 98 %

PluginKind = Literal["tool", "auditor"]


@dataclass(frozen=True, slots=True)
class Check:
    """Tells whether one point of the contract is kept."""

    name: str
    passed: bool
    detail: str


def rows_of(kind: PluginKind, name: str, checks: Iterable[Check]) -> list[dict[str, Any]]:
    """Writes the checks of one tool or auditor as plain data."""
    return [{kind: name, "check": check.name, "passed": check.passed, "detail": check.detail} for check in checks]


def false_alarms(alarms: int, runs: int) -> Check:
    """Checks whether so many alarms in so many runs on nulls are within the bound."""
    bound = int(ALARM_SHARE * runs)
    return Check(
        "nulls", alarms <= bound, f"{alarms} false alarms in {runs} runs on nulls; at most {bound} are allowed"
    )


def tells_enough(doc: str) -> bool:
    """Tells whether a docstring is at least a sentence."""
    return len(doc.split()) >= 4
