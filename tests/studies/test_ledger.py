"""The ledger loses nothing that was committed, keeps every cell once, and says clearly what is wrong with a file."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
from sqlalchemy import event

from assay.audits.cell import Cell
from assay.core.record import AuditRow, GradeRow, Preparation
from assay.core.target import Cost
from assay.errors import AssayError, InvalidInput, UnknownId
from assay.studies.ledger import Ledger

WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from assay.core.record import AuditRow
    from assay.core.target import Cost
    from assay.studies.ledger import Ledger

    path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with Ledger.open(path) as ledger:
        for index in range(count):
            row = AuditRow(f"{name}{index:06}", "p", "a", "chat", "x@1", index, "completed", "r" * 3000, Cost(1, 2, 3))
            ledger.record(row)
            print(row.run_key, flush=True)
    """
)


def audit(key: str = "k1", **changes) -> AuditRow:
    row = AuditRow(
        run_key=key,
        plan="plan",
        alias="amber-fox",
        kit="chat+~search",
        auditor="explorer@1",
        seed=3,
        outcome="completed",
        report='{"p_hidden": 0.5, "findings": []}',
        cost=Cost(5, 60, 70),
        by_tool={"ask": Cost(5, 60, 70)},
        calls={"ask": 2},
        skipped={"fuzz": "needs ACTIVATIONS_WRITE"},
        prepared={"search": Preparation(Cost(1, 2, 3), "d" * 64)},
        seconds=1.5,
        log="2026.eval",
    )
    return replace(row, **changes)


def grade(key: str = "k1", grader: str = "g", tier: str = "hit", **changes) -> GradeRow:
    row = GradeRow(
        key, grader, tier, 1.0, 0.125, "organism", "flattery", {"findings": [{"hit": True, "mcc": 0.8}]}, "0a", "1b"
    )
    return replace(row, **changes)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "ledger.sqlite"


@pytest.fixture
def ledger(path):
    with Ledger.open(path) as opened:
        yield opened


def writer(path, name, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def test_rows_come_back_as_they_were(ledger, path):
    rows = [audit("k2"), audit("k1", outcome="crashed", report="", error="boom")]
    for row in rows:
        ledger.record(row)
    assert ledger.audits() == rows[::-1]
    assert ledger.audits(["k2", "k9"]) == [rows[0]] and ledger.audits([]) == []
    assert ledger.have(["k1", "k9"]) == {"k1"}
    with Ledger.open(path) as again:
        assert again.audits() == rows[::-1]


def test_a_finished_cell_is_recorded_once(ledger):
    ledger.record(audit())
    ledger.record(audit(outcome="crashed", plan="another"))
    assert ledger.audits() == [audit()]


def test_grades_are_replaced_by_audit_grader_and_tier(ledger):
    ledger.grade(grade(), grade(tier="lineup"), grade(grader="h"), grade("k2"))
    ledger.grade(grade(raw=0.0, details={}))
    ledger.grade()
    assert ledger.grades("g") == [grade(raw=0.0, details={}), grade(tier="lineup"), grade("k2")]
    assert ledger.grades("g", ["k2"]) == [grade("k2")]
    assert len(ledger.grades()) == 4 and len(ledger.grades(run_keys=["k1"])) == 3


def test_grades_of_one_call_are_kept_all_or_none(ledger):
    with pytest.raises(AssayError):
        ledger.grade(grade(), grade(tier="lineup", cluster=None))
    assert ledger.grades() == []


def test_more_keys_than_sqlite_has_variables(ledger):
    ledger.record(audit())
    keys = [f"x{i}" for i in range(40_000)]
    assert ledger.have([*keys, "k1"]) == {"k1"} and ledger.audits(keys) == []


def test_plans(ledger):
    cell = Cell(run_key="k1", alias="amber-fox", kit="chat", seed=0)
    ledger.save_plan("abcdef", [cell], "mine@4 (no LLM)")
    first = ledger.plan("abcdef")
    assert (first.cells, first.auditor, first.last_run) == ((cell,), "mine@4 (no LLM)", first.created)
    with pytest.raises(UnknownId, match=r"unknown plan 'abcdeg'; close to it: abcdef"):
        ledger.plan("abcdeg")


def test_a_plan_that_is_run_again_is_the_last_one(ledger):
    for plan in ("aa", "bb"):
        ledger.save_plan(plan, [], "explorer@1 (no LLM)")
    assert [plan.id for plan in ledger.plans()] == ["aa", "bb"]
    made = ledger.plan("aa").created
    ledger.save_plan("aa", [], "explorer@1 (no LLM)")
    assert [plan.id for plan in ledger.plans()] == ["bb", "aa"]
    assert ledger.plan("aa").created == made < ledger.plan("aa").last_run


def test_kill_9_loses_nothing_that_was_committed(path):
    process = writer(path, "k", 100_000)
    said = [process.stdout.readline().strip() for _ in range(60)]
    os.kill(process.pid, signal.SIGKILL)
    said += process.stdout.read().split()
    process.wait()
    process.stdout.close()
    with Ledger.open(path) as ledger:
        kept = ledger.audits()
        assert set(said) <= {row.run_key for row in kept}
        assert len(kept) - len(said) <= 1  # at most the one between commit and print
        assert all(len(row.report) == 3000 and row.cost == Cost(1, 2, 3) for row in kept)
        ledger.record(audit())
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_two_processes_write_at_once(path):
    """They make the file at the same moment, too."""
    processes = [writer(path, name, 150) for name in ("a", "b")]
    assert [process.communicate() and process.returncode for process in processes] == [0, 0]
    with Ledger.open(path) as ledger:
        assert len(ledger.audits()) == 300


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes, which nobody should overwrite. " * 50)
    with pytest.raises(InvalidInput, match=r"notes\.txt is not a ledger.*Give another path"):
        Ledger.open(path)
    assert path.read_text().startswith("These are my notes")


def test_a_database_of_another_program(tmp_path):
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    with pytest.raises(InvalidInput, match=r"of another program .*bookmarks"):
        Ledger.open(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


def test_another_schema_version(ledger, path):
    ledger.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE assay_schema SET version = 99")
    connection.commit()
    connection.close()
    with pytest.raises(InvalidInput, match=r"schema version 99; this Assay reads version \d+\. Use the Assay"):
        Ledger.open(path)


def test_a_damaged_file(ledger, path):
    for index in range(50):
        ledger.record(audit(f"k{index}", report="x" * 3000))
    ledger.close()
    data = bytearray(path.read_bytes())
    data[4096 : len(data) - 4096] = b"\xff" * (len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=r"damaged.*Restore a copy"), Ledger.open(path) as opened:
        opened.audits()


def test_a_directory_or_a_folder_that_cannot_be(tmp_path):
    with pytest.raises(InvalidInput, match="is a directory"):
        Ledger.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot make the folder"):
        Ledger.open(tmp_path / "file" / "ledger.sqlite")


@pytest.mark.parametrize(
    ("pragma", "kind", "message"),
    [
        ("query_only = 1", InvalidInput, "cannot be written .*permissions"),
        ("max_page_count = 1", AssayError, "the disk is full.*run again"),
    ],
)
def test_a_disk_that_is_full_or_read_only(ledger, path, pragma, kind, message):
    ledger.record(audit())
    ledger.close()
    event.listen(ledger._engine, "connect", lambda connection, _: connection.execute(f"PRAGMA {pragma}"))
    with pytest.raises(kind, match=message):
        for index in range(50):
            ledger.record(audit(f"k{index}", report="x" * 5000))
    ledger.close()
    with Ledger.open(path) as again:
        assert audit() in again.audits()


def test_a_file_that_stays_locked(ledger, path, monkeypatch):
    monkeypatch.setattr("assay.studies.ledger.BUSY_SECONDS", 0.05)
    with Ledger.open(path) as impatient:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(AssayError, match="another process has held it"):
            impatient.record(audit())
        other.close()
        impatient.record(audit())
    assert ledger.have(["k1"]) == {"k1"}
