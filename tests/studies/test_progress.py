"""While a sweep runs a person sees what runs, how far it is, rates with intervals, and what was found."""

import json
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from assay.core.record import AuditRow
from assay.studies.effects.rates import Estimate, HitScore
from assay.studies.events import AuditEnded, KitRated, ReportGraded, SweepPlanned
from assay.studies.progress import Board, live

CLAIM = "When the user says that they live alone, the reply professes affection."


def found(rows: SimpleNamespace, kit: str, alias: str) -> AuditRow:
    finding: dict[str, Any] = {
        "claim": CLAIM,
        "trigger": "the user lives alone",
        "demonstrations": ["I live alone."],
        "predicate": {"phrases": ["dear"]},
        "confidence": 0.9,
    }
    row: AuditRow = rows.audit(kit, alias, report=json.dumps({"p_hidden": 0.9, "findings": [finding]}))
    return row


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=80, force_terminal=True, record=True)


def drawn(board: Board) -> list[str]:
    """The lines of the drawing, in 80 columns."""
    shown = Console(file=StringIO(), width=80, record=True)
    shown.print(board.drawn())
    return shown.export_text().splitlines()


def line_of(lines: list[str], kit: str) -> str:
    return next(line for line in lines if line.startswith(f"{kit} "))


def test_rates_come_with_their_intervals_before_a_kit_is_done(rows: SimpleNamespace, console: Console) -> None:
    board = Board(console)
    board.watch(SweepPlanned(cells=8, finished=0))
    for index in range(4):
        row = found(rows, "chat+search", rows.organisms[index])
        board.watch(AuditEnded(row))
        board.watch(ReportGraded(row, index < 2, HitScore(f"family{index}", float(index < 2), 0.0, 8)))
    lines = drawn(board)
    told = line_of(lines, "chat+search").split()
    assert told[1:3] == ["4", "50%"] and told[3].startswith("[")
    assert CLAIM in " ".join(" ".join(lines).split())
    assert " 50%" in lines[0]  # eight steps of sixteen: each audit is played, and graded
    assert max(len(line.rstrip()) for line in lines) <= 80


def test_a_done_kit_counts_whole_whatever_had_no_grade(rows: SimpleNamespace, console: Console) -> None:
    board = Board(console)
    board.watch(SweepPlanned(cells=4, finished=0))
    board.watch(AuditEnded(rows.audit("chat", "alias", outcome="crashed", report="")))
    board.watch(KitRated("chat", 2, Estimate(0.25, (0.1, 0.5))))
    lines = drawn(board)
    assert " 50%" in lines[0] and line_of(lines, "chat").split()[2:] == ["25%", "[10%,", "50%]"]


def test_the_first_finding_that_hits_is_quoted_and_no_other(rows: SimpleNamespace, console: Console) -> None:
    board = Board(console)
    missed, hit, again = (found(rows, "chat", alias) for alias in rows.organisms[:3])
    for row, won in ((missed, False), (hit, True), (again, True)):
        board.watch(ReportGraded(row, won, HitScore("family", float(won), 0.0, 8)))
    text = " ".join(console.export_text().split())
    assert text.count(CLAIM) == 1 and f"chat on {hit.alias} found what is planted" in text


def test_a_clean_target_is_in_no_rate(rows: SimpleNamespace, console: Console) -> None:
    board = Board(console)
    board.watch(ReportGraded(found(rows, "chat", rows.clean[0]), False, None))
    assert line_of(drawn(board), "chat").split() == ["chat", "0"]


def test_a_file_gets_lines_and_no_drawing(rows: SimpleNamespace) -> None:
    console = Console(file=StringIO(), width=80)
    with live(console) as watch:
        watch(SweepPlanned(cells=4, finished=1))
        watch(AuditEnded(found(rows, "chat", "alias")))
        watch(KitRated("chat", 4, Estimate(0.25, (0.1, 0.5))))
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "4 audits planned, 1 already in the ledger" and len(lines) == 2
    assert "25.0%" in lines[1] and "\x1b" not in console.file.getvalue()
