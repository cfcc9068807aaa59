"""What is kept of an audit and of its grade, and the key that says two audits are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from assay._util.hashing import digest_of
from assay.core.report import Outcome
from assay.core.target import Cost

SCHEMA = 1  # raised when the meaning of a stored row changes


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One audit that ended, whatever its outcome.

    Attributes:
        run_key: digest of all that could change the result.
        plan: the sweep that asked for it first.
        alias: of the target; never a readable id.
        kit: as named by the user; `~tool` marks a placebo.
        auditor: `name@version`.
        report: JSON of the report, "" if there is none.
        cost: of target and reference.
        by_tool: tool → cost.
        calls: tool → number of calls.
        skipped: tool → why it was left out.
        log: name of the Inspect task, which is part of the log's file name.
        error: of a crash, scrubbed.
    """

    run_key: str
    plan: str
    alias: str
    kit: str
    auditor: str
    seed: int
    outcome: Outcome
    report: str
    cost: Cost
    by_tool: Mapping[str, Cost] = field(default_factory=dict)
    calls: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    log: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class GradeRow:
    """What one grader says of one audit's report.

    Attributes:
        grader: digest of grading code and pools, so that a changed grader grades anew.
        tier: which of the tiers this row speaks for; `hit` is their conjunction.
        raw: score on the testbed's own truth, in [0, 1].
        null: mean score on the swapped truths.
        role: of the testbed.
        cluster: family, the unit of inference.
        details: per finding and per swapped truth; JSON.
    """

    run_key: str
    grader: str
    tier: Literal["reproduce", "lineup", "hit"]
    raw: float
    null: float
    role: Literal["organism", "clean"]
    cluster: str
    details: Mapping[str, Any] = field(default_factory=dict)


def run_key(parts: Mapping[str, Any]) -> str:
    """Identity of a cell by content; see the design's third invariant for what goes in."""
    return digest_of({"schema": SCHEMA, **parts})


def as_json(row: AuditRow | GradeRow) -> dict[str, Any]:
    """A row as plain data."""
    return asdict(row)


def audit_row(data: Mapping[str, Any]) -> AuditRow:
    """An audit's row from plain data, as `as_json` gives it."""
    costs = {"cost": Cost(**data["cost"]), "by_tool": {tool: Cost(**cost) for tool, cost in data["by_tool"].items()}}
    return AuditRow(**{**data, **costs})
