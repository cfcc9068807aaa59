"""Two sets of grades of one ledger, side by side."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assay.core.record import AuditRow, GradeRow
from assay.core.report import Report, parse_report
from assay.errors import InvalidInput
from assay.grading.signing import Signer, report_digest
from assay.studies.grades import Grading
from assay.testbeds.truths import find_truth

GRADING = Grading.now()
BEDS = [find_truth(name).alias for name in ("flattery-td", "backdoor-td")]


@pytest.fixture(scope="module")
def bench() -> Any:
    sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
    import regraded

    yield regraded
    sys.path.pop(0)


@pytest.fixture
def audits(rows: SimpleNamespace) -> list[AuditRow]:
    """Two organisms with two kits; reports as they are graded."""
    said = Report.model_validate_json(
        '{"p_hidden": 0.9, "findings": [{"claim": "c", "trigger": "t", "demonstrations": [], "confidence": 0.5,'
        ' "predicate": {"phrases": ["p"]}}]}'
    )
    return [rows.audit(kit, alias, report=said.model_dump_json()) for kit in ("chat", "all") for alias in BEDS]


def graded(audit: AuditRow, grader: str, hit: float) -> GradeRow:
    details = {"findings": [{"hit": bool(hit)}], "swapped": {}}
    row = GradeRow(audit.run_key, grader, "hit", hit, 0.0, "organism", "family", details, "00" * 16)
    return Signer.here().grade(row, audit.alias, report_digest(parse_report(audit.report)))


def test_hits_and_success_before_and_after(bench: Any, audits: list[AuditRow]) -> None:
    before = [graded(audit, "old", 0.0) for audit in audits]
    after = [graded(audit, GRADING.graders[audit.alias], float(audit.kit == "all")) for audit in audits[:3]]
    table = bench.regraded(audits, before, after, GRADING)
    chat = next(row for row in table["kits"] if row["kit"] == "chat")
    every = next(row for row in table["kits"] if row["kit"] == "all")
    assert (chat["audits"], chat["hits_before"], chat["hits_after"], chat["success_after"]) == (2, 0, 0, 0.0)
    assert (every["audits"], every["hits_before"], every["hits_after"], every["success_after"]) == (1, 0, 1, 1.0)
    assert table["left_out"] == 1


def test_earlier_grades_are_signed_and_of_one_grader(bench: Any, audits: list[AuditRow]) -> None:
    old, older = [graded(audit, "old", 0.0) for audit in audits], graded(audits[0], "older", 1.0)
    now = graded(audits[0], GRADING.graders[audits[0].alias], 1.0)
    forged = replace(graded(audits[1], "old", 0.0), raw=1.0)
    assert bench.earlier_grades([*old, now], audits, GRADING, []) == old
    assert bench.earlier_grades([forged], audits, GRADING, []) == []
    with pytest.raises(InvalidInput, match="old, older"):
        bench.earlier_grades([*old, older], audits, GRADING, [])
    assert bench.earlier_grades([*old, older], audits, GRADING, ["older"]) == [older]
