"""Keeps the best constant report of a set of audits beside the ledger, once the grading process has found it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from assay._util.atomic import write_json
from assay.grading.constant import BestConstant
from assay.studies.effects.rates import Estimate, success


def constant_path(out: Path, plan: str, grader: str) -> Path:
    """Says where it is kept.

    Args:
        out: folder of the sweep.
        plan: id of the set of audits.
        grader: digest of all graders of their testbeds.
    """
    return out / f"best-constant-{plan}-{grader[:12]}.json"


def keep_constant(path: Path, best: BestConstant | None) -> None:
    """Keeps what was found, whole or not at all; None where no report had a finding.

    Raises:
        InvalidInput: the file cannot be written.
    """
    write_json(path, asdict(best) if best else None)


def kept_constant(path: Path) -> Estimate | None:
    """Estimates the kept report's success; None if no report had a finding, or none was sought."""
    # None is kept, too: that no report had a finding takes a run of the grading process to learn.
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return success((family, raw, null) for family, raw, null in found["scores"]) if found else None
