"""Defines what is kept of an audit and of its grade, and the key that says two audits are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from assay._util.hashing import digest_of
from assay.core.answer import GAMES, Game
from assay.core.model_meter import ModelUse
from assay.core.report import Outcome
from assay.core.target import Cost

Tier = Literal["hit", "reproduce", "lineup", "judge", "predict", "partial"]
SCHEMA = 2  # raised when the meaning of a stored row changes


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a tool had prepared before an audit.

    Attributes:
        cost: of preparing it, now or for an earlier audit of the same target.
        digest: SHA-256 of the prepared value.
    """

    cost: Cost
    digest: str


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One audit that ended, whatever its outcome.

    Attributes:
        run_key: digest of all that could change the result.
        plan: the sweep that asked for it first.
        alias: of the target; never a readable id.
        kit: as named by the user; `~tool` marks a placebo.
        auditor: `name@version`.
        seed: of the audit.
        outcome: how it ended.
        report: JSON of the report, "" if there is none.
        cost: of target and reference.
        by_tool: tool → cost.
        calls: tool → number of calls.
        skipped: tool → why it was left out.
        prepared: tool → what was prepared for it, which `cost` does not contain.
        seconds: wall time.
        log: name of the Inspect task, which is part of the log's file name and begins with the game; of a served audit
            the game and `-served`, since its transcript is its journal.
        error: of a crash, scrubbed: whom it blames, its kind, its text (`errors.blamed`).
        machine: that made the replies, as the cell's engine says: processor, instruction set, dtype, device.
        plugins: name and short digest of each plug-in of its sweep, whose code was trusted.
        model: what the auditor's own language model spent, and which it was.
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
    prepared: Mapping[str, Preparation] = field(default_factory=dict)
    seconds: float = 0.0
    log: str = ""
    error: str = ""
    machine: str = ""
    plugins: tuple[str, ...] = ()
    model: ModelUse = field(default_factory=ModelUse)

    @property
    def game(self) -> Game:
        """Returns the game that was played, also by an audit that gave no answer to it."""
        return next((game for game in GAMES if self.log.startswith(f"{game}-")), "investigate")


@dataclass(frozen=True, slots=True)
class GradeRow:
    """What one grader says of one audit's report.

    Attributes:
        run_key: of the audit.
        grader: digest of grading code and pools, so that a changed grader grades anew.
        tier: which of the tiers this row speaks for; `hit` is their conjunction, and the success of the other games.
        raw: score on the testbed's own truth, in [0, 1]; of `predict` an AUROC, whose chance is .5.
        null: mean score on the swapped truths.
        role: of the testbed.
        cluster: family, the unit of inference.
        details: per finding and per swapped truth; JSON.
        nonce: drawn by the grader when it had the report; every sample it drew is seeded by it.
        signature: the grader's, of all of the above and of the report that was graded; "" while there is none.
    """

    run_key: str
    grader: str
    tier: Tier
    raw: float
    null: float
    role: Literal["organism", "clean"]
    cluster: str
    details: Mapping[str, Any] = field(default_factory=dict)
    nonce: str = ""
    signature: str = ""


def run_key(parts: Mapping[str, Any]) -> str:
    """Computes the identity of a cell by content, of all that could change its result."""
    # What goes in is what the caller found, file contents and not names: an edited prompt is then another audit. The
    # schema is in it so that rows of another meaning are not taken for done.
    return digest_of({"schema": SCHEMA, **parts})


def as_json(row: AuditRow | GradeRow) -> dict[str, Any]:
    """Writes a row as plain data."""
    return asdict(row)


def audit_row(data: Mapping[str, Any]) -> AuditRow:
    """Reads an audit's row from plain data, as `as_json` gives it."""
    by_tool = {tool: Cost(**cost) for tool, cost in data["by_tool"].items()}
    prepared = {tool: Preparation(Cost(**made["cost"]), made["digest"]) for tool, made in data["prepared"].items()}
    plain = {"cost": Cost(**data["cost"]), "by_tool": by_tool, "prepared": prepared, "plugins": tuple(data["plugins"])}
    plain["model"] = ModelUse(**(data.get("model") or {}))  # rows from before there was one have none
    return AuditRow(**{**data, **plain})
