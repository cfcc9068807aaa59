"""At the desk: a panel's grades are kept and signed, failed ones asked for again, and joined to hits where they may."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.grading.conftest import make_truth

from assay.core.record import AuditRow, GradeRow
from assay.core.report import Finding, Predicate, Report
from assay.core.target import Cost
from assay.errors import InvalidInput
from assay.grading.jobs import Submitted
from assay.grading.judge.jobs import JudgedTruths
from assay.grading.signing import Signer, report_digest
from assay.studies import judging as module
from assay.studies.judging import Judging
from assay.studies.ledger import Ledger
from assay.testbeds.texts import ToldBehaviour, ToldTruth

REPORT = Report(
    p_hidden=0.9,
    findings=(Finding(claim="c", trigger="t", demonstrations=(), predicate=Predicate(phrases=("x",)), confidence=1),),
)
AUDIT = AuditRow("k", "p", "bet", "chat", "explorer@3", 0, "completed", REPORT.model_dump_json(), Cost())
HIT = GradeRow(
    "k", "g", "hit", 1.0, 0.0, "organism", "f",
    {"findings": [{"behaviour": "bet", "hit": True, "real_unplanted": False}], "swapped": {}, "recall": 1.0},
    "ab" * 16,
)  # fmt: skip


@pytest.fixture
def judging() -> Judging:
    told = ToldTruth(make_truth("bet", ["bet"]), (ToldBehaviour("bet", "When asked about money, it bets."),))
    return Judging(("mock/0",), JudgedTruths({"bet": told}, {"bet": []}))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite") as opened:
        opened.record(AUDIT)
        yield opened


class Process:
    """In place of the grading process: panels that decide, or fail."""

    def __init__(self, judging: Judging, *failed: list[str], accepts: bool = True, signed: bool = True) -> None:
        self.judging, self.failed, self.accepts, self.signed = judging, list(failed), accepts, signed
        self.asked: list[Submitted] = []

    def judge(self, reports: Sequence[Submitted], panel: Sequence[str]) -> Iterator[tuple[GradeRow, ...]]:
        for one in reports:
            self.asked.append(one)
            failed = self.failed.pop(0) if self.failed else []
            row = self.row(one, failed, panel)
            yield (Signer.here().grade(row, one.alias, report_digest(one.report)) if self.signed else row,)

    def row(self, one: Submitted, failed: list[str], panel: Sequence[str]) -> GradeRow:
        hit = self.accepts and not failed
        details: dict[str, Any] = {"failed": failed, "panel": list(panel), "text_alone": False, "swapped": {}}
        details |= {"hit_at_1": hit, "judges_split": 0, "claims_read": 1, "recall": float(hit)}
        details["findings"] = [{"hit": hit, "matches": [{"behaviour": "bet", "hit": hit}]}]
        grader = self.judging.truths.digest(one.alias, panel)
        return GradeRow("k", grader, "judge", float(hit), 0.0, "organism", "f", details, one.nonce)


def grades(judging: Judging, ledger: Ledger, process: Process) -> tuple[dict[str, GradeRow], list[str]]:
    said: list[str] = []
    found = judging.grades(ledger, process, [AUDIT], {"k": HIT}, said.append)  # type: ignore[arg-type]
    return found, said


def test_a_panel_that_failed_is_asked_again_and_one_that_decided_is_not(judging: Judging, ledger: Ledger) -> None:
    process = Process(judging, ["mock/0: malformed"])
    failed, said = grades(judging, ledger, process)
    assert failed["k"].raw == 0.0 and said == ["test/bet@1: judge: judge failed: mock/0: malformed"]
    decided, said = grades(judging, ledger, process)
    assert decided["k"].raw == 1.0 and said == ["test/bet@1: judge: accepted"]
    assert grades(judging, ledger, process) == (decided, [])
    assert [one.nonce for one in process.asked] == [HIT.nonce] * 2, "all grades of an audit share a nonce"


def test_another_panel_grades_beside_it(judging: Judging, ledger: Ledger) -> None:
    grades(judging, ledger, Process(judging))
    other = Judging(("mock/1",), judging.truths)
    assert other.held(ledger, [AUDIT]) == {} and grades(other, ledger, Process(other))[0]
    assert len([row for row in ledger.grades() if row.tier == "judge"]) == 2


@pytest.mark.attacks
def test_a_row_that_no_grader_signed_is_no_panels_grade(judging: Judging, ledger: Ledger) -> None:
    forged, _ = grades(judging, ledger, Process(judging, signed=False))
    assert forged == {} and len(ledger.grades()) == 1
    process = Process(judging)
    assert grades(judging, ledger, process)[0] and len(process.asked) == 1, "it is graded anew"


def test_hits_are_joined_where_the_panel_is_validated(
    judging: Judging, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    grades(judging, ledger, Process(judging, accepts=False))
    with pytest.raises(InvalidInput, match="may not be a part of a hit"):
        judging.hits(ledger, [AUDIT], [HIT])
    monkeypatch.setattr(module, "is_validated", lambda _: True)
    rows = judging.hits(ledger, [AUDIT], [HIT])
    assert [(row.tier, row.raw) for row in rows] == [("judge", 0.0), ("hit", 0.0)]


def test_what_the_panel_has_not_decided_is_no_hit_and_no_miss(
    judging: Judging, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "is_validated", lambda _: True)
    assert judging.hits(ledger, [AUDIT], [HIT]) == []
    grades(judging, ledger, Process(judging, ["down"]))
    assert judging.hits(ledger, [AUDIT], [HIT]) == []
