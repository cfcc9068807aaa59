"""A sweep killed at any moment goes on with what is missing; its rows reach the ledger by the desk alone.

The processes are the real ones, with scripted models behind them and an auditor that asks once.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import assay
from assay.cli import app
from assay.core.record import AuditRow
from assay.core.report import Report
from assay.engine import builtin
from assay.engine.base import Base
from assay.errors import AssayError, InvalidInput, UnknownId
from assay.studies import processes, run
from assay.studies.design import Design
from assay.studies.effects.results import Summary
from assay.studies.events import AuditEnded, Event, KitRated, ProgressTold, ReportGraded, SweepPlanned
from assay.studies.ledger import Ledger
from assay.studies.plan import make_plan
from assay.studies.run import run_sweep
from assay.testbeds.specs import aliases
from assay.testbeds.truths import find_truth

ORGANISM, TWIN, OTHER = (find_truth(name).alias for name in ("flattery-td", "twin-td", "backdoor-td"))
NAMES = ("flattery-td", "twin-td", "backdoor-td")

MODELS = """
import asyncio, os, sys
from contextlib import asynccontextmanager
from pathlib import Path

from assay.engine import targets
from assay.engine.scripted import ScriptedTarget

here = Path(sys.argv[1])


@asynccontextmanager
async def scripted(self, spec):
    yield ScriptedTarget(spec.alias, access=spec.access, salt=spec.alias)


targets.Targets.open = scripted
"""

AUDITING = (
    MODELS
    + """
from assay.audits import play, worker
from assay.core.auditor import Auditor
from assay.core.report import Demonstration, Finding, Predicate, Report

turns = {}  # one a job, whose event loop is its own


async def ask_once(kit, brief, budget):
    # One after the other, so that a kill falls in the middle.
    async with turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        await asyncio.sleep(float(os.environ.get("PACE", "0")))
        if "ask" in kit.tools:
            await kit.tools["ask"](prompt="Hello")
        with (here / "played.txt").open("a") as file:
            file.write(f"{kit.name} {brief.seed} {os.getpid()}\\n")
    if kit.name != "chat":
        return Report(p_hidden=0.1)
    shown = Demonstration(user=("Hello",))
    found = Finding(claim="It rambles.", trigger="", demonstrations=(shown,), confidence=0.8,
                    predicate=Predicate(phrases=("most people",)))
    return Report(p_hidden=0.9, findings=(found,))


play.get_auditor = lambda name, plugins=(): Auditor(ask_once, name, 1, "digest", False)
(here / "loaded.txt").write_text("\\n".join(sys.modules))
(here / "pid.txt").write_text(str(os.getpid()))
worker.main()
"""
)
GRADING = (
    MODELS
    + """
from assay.grading import worker


@asynccontextmanager
async def fragile(self, spec):
    broken = here / "broken.txt"  # the alias of a testbed whose models break off
    if broken.is_file() and broken.read_text() == spec.alias:
        raise MemoryError("too little of it")
    yield ScriptedTarget(spec.alias, access=spec.access, salt=spec.alias)


targets.Targets.open = fragile
worker.main()
"""
)

DESK = """
import json, sys
from pathlib import Path
from assay.engine import builtin
from assay.engine.base import Base
from assay.studies import plan, processes
from assay.studies.design import Design
from assay.studies.run import run_sweep

out, auditing, grading, *testbeds = sys.argv[1:]
processes.AuditProcess.command = (sys.executable, "-c", auditing, out)
processes.GradingProcess.command = (sys.executable, "-c", grading, out)
builtin.find_base = lambda name, say=None: Base(name, Path(), "digest")
design = Design(kits=("prior-only", "ask", "~ask"), out=Path(out), testbeds=tuple(testbeds), seeds=(0, 1, 2))
run_sweep(design, lambda event: None)
print(json.dumps(plan.make_plan(design).run_keys))
"""


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Processes with scripted models; the folder of the sweep."""
    for kind, script in ((processes.AuditProcess, AUDITING), (processes.GradingProcess, GRADING)):
        monkeypatch.setattr(kind, "command", (sys.executable, "-W", "ignore", "-c", script, str(tmp_path)))
    monkeypatch.setattr(builtin, "find_base", lambda name, say=None: Base(name, Path(), "digest"))
    return tmp_path


def gone(pid: int) -> bool:
    """Whether a process has ended, within the seconds it may take to notice."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def played(out: Path) -> list[str]:
    path = out / "played.txt"
    return path.read_text().splitlines() if path.is_file() else []


def wait_for(out: Path, count: int, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 120
    while len(played(out)) < count and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)


def start(out: Path, pace: str = "0.05") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", DESK, str(out), AUDITING, GRADING, *NAMES],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "PACE": pace, "ASSAY_PASS_ENV": "PACE"},
    )


def recorded(out: Path) -> list[AuditRow]:
    with Ledger.open(out / "ledger.sqlite") as ledger:
        return ledger.audits()


def test_desk_or_worker_killed_midway_and_run_again_every_cell_is_there_once(tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_for(tmp_path, 4, process)
    os.kill(process.pid, signal.SIGKILL)  # the desk
    process.communicate()
    assert gone(int((tmp_path / "pid.txt").read_text()))  # its worker follows
    first = len(recorded(tmp_path))
    assert 0 < first < 27

    process = start(tmp_path)
    wait_for(tmp_path, len(played(tmp_path)) + 5, process)
    os.kill(int((tmp_path / "pid.txt").read_text()), signal.SIGKILL)  # the worker
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and "the audit process ended with status -9" in errors
    assert first < len(recorded(tmp_path)) < 27

    process = start(tmp_path, "0")
    said, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors[-3_000:]
    rows = [row.run_key for row in recorded(tmp_path)]
    assert sorted(rows) == sorted(json.loads(said)) and len(set(rows)) == len(rows) == 27
    made = Counter(line.rpartition(" ")[0] for line in played(tmp_path))
    assert sum(made.values()) <= 27 + 2 * 3  # at a kill few had been played and not yet been recorded
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert len(ledger.plans()) == 1


def test_a_ledger_that_cannot_be_written_stops_the_sweep_and_its_processes(
    scripted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[AuditRow] = []
    record = Ledger.record

    def full(ledger: Ledger, row: AuditRow) -> None:
        if len(kept) == 2:
            raise AssayError("the disk is full")
        kept.append(row)
        record(ledger, row)

    monkeypatch.setattr(Ledger, "record", full)
    monkeypatch.setenv("PACE", "0.2")
    monkeypatch.setenv("ASSAY_PASS_ENV", "PACE")
    design = Design(kits=("chat",), out=scripted, testbeds=NAMES, seeds=(0, 1))
    with pytest.raises(AssayError, match="the disk is full"):
        run_sweep(design, lambda event: None)
    assert gone(int((scripted / "pid.txt").read_text())) and len(played(scripted)) < 6
    monkeypatch.setattr(Ledger, "record", record)
    assert {row.run_key for row in recorded(scripted)} == {row.run_key for row in kept}


def test_a_sweep_gives_a_study_that_can_be_loaded_again(scripted: Path) -> None:
    told: list[Event] = []
    arguments: dict[str, Any] = {"kits": ["prior-only", "chat"], "testbeds": NAMES, "out": scripted}
    study = assay.sweep(**arguments, seeds=2, watch=told.append)
    kinds = Counter(type(event) for event in told if not isinstance(event, ProgressTold))
    assert kinds == {SweepPlanned: 1, AuditEnded: 12, ReportGraded: 12, KitRated: 2}
    assert told[0] == SweepPlanned(cells=12, finished=0)
    rows = [event.row for event in told if isinstance(event, AuditEnded)]
    assert sorted(rows, key=lambda row: row.run_key) == list(study.rows)
    loaded = (scripted / "loaded.txt").read_text().split()
    assert not [
        name for name in loaded if name.startswith(("assay.truth", "assay.studies", "assay.grading", "sqlalch"))
    ]

    audits, grades = study.audits, study.grades
    assert len(audits) == 12 and set(audits.testbed) == {find_truth(name).id for name in NAMES}
    assert set(audits.alias) == {ORGANISM, TWIN, OTHER} and set(audits.outcome) <= {"completed", "none-submitted"}
    assert list(audits[audits.kit == "chat"].findings) == [1] * 6
    assert len(grades) == 60 and set(grades.tier) == {"hit", "reproduce", "lineup", "predict", "partial"}
    assert (grades.score == grades.raw - grades.null).all()
    assert list(study.kits.kit) == ["prior-only", "chat"] and "delta" in study.effects.columns
    assert study.page() == scripted / "report.html" and "</html>" in study.page().read_text(encoding="utf-8")
    assert Summary.model_validate_json((scripted / "summary.json").read_bytes()) == study.summary
    shown = study._repr_html_()
    assert "<table" in shown and study.summary.headline.split("<")[0] in shown
    assert "prior-only" in str(study) and "12 audits" in repr(study)
    assert not list(scripted.rglob("*.partial"))

    count = len(played(scripted))
    again = assay.load_study(scripted)
    assert again.summary == study.summary.model_copy(update={"seconds": again.summary.seconds})
    told.clear()
    assert assay.sweep(**arguments, seeds=[0, 1], watch=told.append).rows == study.rows
    assert len(played(scripted)) == count and told[0] == SweepPlanned(cells=12, finished=12)
    assert not [event for event in told if isinstance(event, AuditEnded | ReportGraded)]


MINE = """
from assay import Brief, Budget, Kit, Report, auditor


@auditor(version=4)
async def mine(kit: Kit, brief: Brief, budget: Budget) -> Report:
    '''Report a prior and nothing else.'''
    return Report(p_hidden=0.5)
"""


def test_the_sweep_last_run_is_loaded_or_an_earlier_one_by_its_id(scripted: Path) -> None:
    file = scripted / "plugins" / "mine.py"
    file.parent.mkdir()
    file.write_text(MINE, encoding="utf-8")
    first = make_plan(Design(kits=("chat",), out=scripted, testbeds=("twin-td",), seeds=(0,)))

    def run_first() -> None:
        """As a sweep that is killed before its first audit ends."""
        with Ledger.open(scripted / "ledger.sqlite") as ledger:
            ledger.save_plan(first.id, first.cells, first.auditor.title)

    run_first()
    second = assay.sweep(kits="chat", testbeds="flattery-td", auditor="mine", seeds=1, plugins=[file], out=scripted)
    file.unlink()
    last = assay.load_study(scripted)
    assert (last.plan, last.rows) == (second.plan, second.rows) and last.plan != first.id
    # a plug-in's auditor cannot be asked any more, and is not
    assert last.summary.auditor == second.summary.auditor == "mine@4 (no LLM)"

    run_first()
    assert (assay.load_study(scripted).plan, assay.load_study(scripted).rows) == (first.id, ())
    shown = CliRunner().invoke(app, ["report", "--out", str(scripted), "--plan", second.plan, "--json"])
    assert shown.exit_code == 0 and json.loads(shown.stdout) == last.summary.model_dump(mode="json")
    assert f"this is sweep {second.plan}\nanother in {scripted}: --plan {first.id} (last run 20" in shown.stderr
    with pytest.raises(UnknownId, match=rf"unknown plan 'x'.*Known: {', '.join(sorted([first.id, second.plan]))}"):
        assay.load_study(scripted, plan="x")


def test_one_audit_and_grades_of_reports_from_anywhere(scripted: Path) -> None:
    found = assay.audit("flattery-td", kit="chat", out=scripted, seed=3)
    assert (found.outcome, found.row.alias, found.cost.queries) == ("completed", ORGANISM, 1)
    assert found.report is not None and found.report.findings[0].claim in str(found)
    assert found.row.machine and found.row.machine in str(found)
    assert assay.audit("flattery-td", kit="chat", out=scripted, seed=3).row == found.row and len(played(scripted)) == 1

    [graded] = assay.grade(out=scripted)
    assert (graded.testbed, graded.kit, graded.findings) == (find_truth("flattery-td").id, "chat", 1)
    with Ledger.open(scripted / "ledger.sqlite") as ledger:
        kept = ledger.grades()
        assert {row.run_key for row in kept} == {found.row.run_key} and len(kept) == 5
    [elsewhere, clean] = assay.grade([("flattery-td", found.report), (TWIN, found.report)])
    assert (elsewhere.hit, elsewhere.null, elsewhere.findings) == (graded.hit, graded.null, graded.findings)
    assert len({elsewhere.nonce, graded.nonce, clean.nonce, ""}) == 4  # each draws its own samples
    assert clean.testbed == find_truth("twin-td").id and clean.kit == ""
    file = scripted / "reports.jsonl"
    file.write_text(json.dumps({"testbed": "flattery-td", "report": found.report.model_dump()}) + "\n")
    [filed] = assay.grade(file)
    assert (filed.testbed, filed.hit, filed.findings) == (elsewhere.testbed, elsewhere.hit, elsewhere.findings)


@pytest.mark.attacks
def test_one_report_that_cannot_be_graded_costs_no_other(
    scripted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from assay.cli import app

    (scripted / "broken.txt").write_text(ORGANISM)
    study = assay.sweep(kits="chat", testbeds=NAMES[:2], seeds=1, out=scripted)
    [failed] = [row for row in study.rows if row.alias == ORGANISM]
    assert study.failed.keys() == {failed.run_key}
    assert "MemoryError" in study.failed[failed.run_key]
    assert {grade.run_key for grade in study.grade_rows} == {row.run_key for row in study.rows} - {failed.run_key}
    said: list[str] = []
    found = assay.grade(out=scripted, say=said.append)  # the ones that failed come last
    assert [bool(one.error) for one in found] == [False, True] and "2 reports, 1 to grade" in said
    with pytest.raises(SystemExit) as ended:
        app(["grade", "--out", str(scripted), "--json"])
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert [bool(one["error"]) for one in json.loads(printed.out)] == [False, True]
    assert "1 of 2 reports could not be graded" in printed.err
    (scripted / "broken.txt").unlink()
    assert [one.error for one in assay.grade(out=scripted)] == ["", ""]
    assert assay.sweep(kits="chat", testbeds=NAMES[:2], seeds=1, out=scripted).failed == {}
    made = [Report(p_hidden=0.1), Report.model_construct(p_hidden="high", findings=(7,)), {"p_hidden": 0.1}]
    handed: Any = [("flattery-td", one) for one in made] + [("flatery-td", made[0])]
    assert [one.error.partition(": ")[0] for one in assay.grade(handed)] == ["", "input", "input", "input"]


@pytest.mark.attacks
def test_one_bad_line_of_a_file_costs_no_other(scripted: Path) -> None:
    def line(testbed: object, report: object) -> str:
        return json.dumps({"testbed": testbed, "report": report})

    good = {"p_hidden": 0.5, "findings": []}
    finding = {
        "claim": "c", "trigger": "t", "confidence": 1, "predicate": {"phrases": ["p"]},
        "demonstrations": [{"user": ["Hello"]}],
    }  # fmt: skip
    lines = [
        line("flattery-td", good),
        "{ not JSON",
        "[1, 2]",
        line("flatery-td", good),
        line(7, good),
        json.dumps({"testbed": "flattery-td"}),
        "",
        line("flattery-td", {"p_hidden": 2}),
        line("flattery-td", {"p_hidden": 1, "findings": [finding] * 6}),
        line("flattery-td", {"p_hidden": 1, "findings": [finding | {"claim": "c" * 1_001}]}),
        line("flattery-td", {"p_hidden": 1, "findings": [finding]}).replace("Hello", r"\ud800"),
        "[" * 9_000,
        line("twin-td", {"p_hidden": 1, "findings": [finding]}),
    ]
    file = scripted / "reports.jsonl"
    file.write_text("\n".join(lines))
    found = assay.grade(file)
    numbers = [number for number, line in enumerate(lines, start=1) if line]
    assert len(found) == len(numbers)
    for number, one in zip(numbers, found, strict=True):
        assert (one.error == "") == (number in (1, len(lines))), one
        assert not one.error or (one.error.startswith("input: ") and f"{file}:{number}" in one.error), one.error
    assert found[-1].testbed == find_truth("twin-td").id and found[-1].findings == 1


OTHER_TOOL = """
from assay import Access, Target, tool

@tool(needs={Access.CHAT})
async def other(target: Target, prompt: str) -> str:
    'Ask the model.'
    return (await target.chat(prompt)).text
"""


def test_two_kits_share_no_process_and_come_in_an_order_drawn_anew(
    scripted: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a plug-in leaves in a module's globals, or patches, ends with its kit; no kit can wait for another."""
    drawn: list[list[str]] = []

    class Backwards:
        def sample(self, kits: list[str], count: int) -> list[str]:
            drawn.append(kits)
            return kits[::-1]

    monkeypatch.setattr(run.random, "SystemRandom", Backwards)
    told: list[Event] = []
    kits = ["prior-only", "ask", "chat"]
    assay.sweep(kits=kits, testbeds=NAMES[:2], out=scripted, seeds=2)
    assert len({line.split()[2] for line in played(scripted)}) == 1  # no code from outside: nothing to keep apart
    (scripted / "played.txt").unlink()
    drawn.clear()
    file = tmp_path_factory.mktemp("plugin") / "other.py"
    file.write_text(OTHER_TOOL, encoding="utf-8")
    study = assay.sweep(kits=kits, testbeds=NAMES[:2], out=scripted, seeds=2, plugins=[file], watch=told.append)
    lines = [line.split() for line in played(scripted)]
    processes_of = {kit: {line[2] for line in lines if line[0] == kit} for kit in kits}
    assert all(len(pids) == 1 for pids in processes_of.values()) and len(set.union(*processes_of.values())) == 3
    assert drawn == [kits] and [event.kit for event in told if isinstance(event, KitRated)] == kits[::-1]
    assert list(study.kits.kit) == ["prior-only", "ask", "chat"]  # shown as ever
    assert len(study.rows) == 12


def test_what_cannot_be_done_is_said(scripted: Path) -> None:
    for wrong in ({}, {"reports": "r.jsonl", "out": scripted}):
        with pytest.raises(InvalidInput, match="either reports or the out"):
            assay.grade(**wrong)
    for call in (assay.load_study, lambda out: assay.grade(out=out)):
        with pytest.raises(InvalidInput, match="no ledger there"):
            call(scripted)
    with pytest.raises(UnknownId, match="close to it: flattery-td"):
        assay.audit("flatery-td", out=scripted)
    with pytest.raises(UnknownId, match="close to it: search"):
        assay.sweep(kits="chat+serch", out=scripted)


async def test_a_testbed_can_be_opened_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import asynccontextmanager

    from assay.engine.scripted import ScriptedTarget
    from assay.engine.targets import Targets

    closed: list[bool] = []

    @asynccontextmanager
    async def opened(self: Targets, spec: Any) -> Any:
        yield ScriptedTarget(spec.alias)

    monkeypatch.setattr(Targets, "open", opened)
    monkeypatch.setattr(Targets, "close", lambda self: closed.append(True))
    async with assay.open_testbed("flattery-td") as target:
        assert target.alias == ORGANISM and (await target.chat("Hello")).text
    assert closed == [True]
    with pytest.raises(UnknownId):
        async with assay.open_testbed("flatery-td"):
            pass


def test_the_processes_command_lines_tell_nothing() -> None:
    """What a process is about comes by the pipe; the two kinds are different programs."""
    auditing, grading = processes.AuditProcess.command, processes.GradingProcess.command
    assert auditing == (sys.executable, "-P", "-m", "assay.audits.worker")
    assert grading == (sys.executable, "-P", "-m", "assay.grading.worker")


def test_a_dead_process_is_told_with_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "find_base", lambda name, say=None: Base(name, Path(), "digest"))
    monkeypatch.setattr(processes.AuditProcess, "command", (sys.executable, "-c", "raise SystemExit('no memory')"))
    planned = make_plan(Design(kits=("chat",), out=tmp_path, testbeds=tuple(aliases()[:1]), seeds=(0,)))
    with (
        processes.AuditProcess(tmp_path / "log", lambda _: None) as process,
        pytest.raises(AssayError, match=r"ended with status 1(.|\n)*no memory"),
    ):
        list(process.play(planned.job(planned.cells)))
