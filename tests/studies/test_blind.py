"""What a process that plays audits can find out about what it must not know: with the real processes, by a spy.

The spy is an auditor of a plug-in file, on scripted models. It looks at its own process and at all that started it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import assay
from assay._util.atomic import make_folder
from assay.errors import NotWritten
from assay.studies import processes
from assay.studies.ledger import Ledger
from assay.studies.rooms import Room
from assay.testbeds.truths import all_truths, find_truth, short

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="what is spied on is /proc"),
    pytest.mark.started_anew,
]

SPY = """
import gc, os, sys
from pathlib import Path

from assay import Brief, Budget, Kit, Report, auditor

STOP = {stop}
SEEN = Path({seen!r})


def read(path):
    try:
        return Path(path).read_bytes().replace(b"\\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def ancestors():
    process = os.getppid()
    while process not in (0, 1, STOP):
        yield process
        process = int(read(f"/proc/{{process}}/stat").rpartition(")")[2].split()[1])


def texts():
    for thing in gc.get_objects():
        parts = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list | tuple | set) else ()
        for part in list(parts):
            if isinstance(part, str | Path) and len(str(part)) < 2_000:
                yield str(part)


@auditor
async def spy(kit: Kit, brief: Brief, budget: Budget) -> Report:
    '''Look at everything but the model.'''
    mine = Path("/proc/self")
    links = [os.readlink(path) for path in (mine / "fd").iterdir() if path.is_symlink()]
    told = {{
        "environment": [f"{{key}}={{value}}" for key, value in os.environ.items()] + [read(mine / "environ")],
        "arguments": sys.argv + sys.orig_argv + [read(mine / "cmdline")],
        "modules": list(sys.path),
        "folder": [os.getcwd(), *map(str, Path.cwd().rglob("*")), *links],
        "ancestors": [read(f"/proc/{{one}}/{{file}}") for one in ancestors() for file in ("cmdline", "environ")],
        "memory": list(set(texts())),
    }}
    SEEN.write_text("\\n".join(f"{{kind}}: {{text}}" for kind, found in told.items() for text in found))
    await kit.tools["ask"](prompt="Hello")
    return Report(p_hidden=0.5)
"""


def run_cli(*words: str, cwd: Path, home: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    return subprocess.run(
        [str(Path(sys.executable).with_name("assay")), *words],
        cwd=cwd,
        env={**kept, "ASSAY_HOME": str(home), "PYTHONWARNINGS": "ignore", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("working-canary", "plugins", "home", "seen", "keys-canary"):
        (tmp_path / name).mkdir()
    (tmp_path / "suite-canary" / "testbeds").mkdir(parents=True)
    return tmp_path


def spy(folder: Path) -> tuple[Path, Path]:
    """The plug-in's file, and the file in which it writes down what it saw."""
    file, seen = folder / "plugins" / "spy.py", folder / "seen" / "seen.txt"
    file.write_text(SPY.format(stop=os.getpid(), seen=str(seen)), encoding="utf-8")
    return file, seen


@pytest.mark.attacks
def test_a_spy_finds_no_id_no_results_no_keys(folders: Path) -> None:
    """In its environment, arguments, open files, working folder, memory, and in the processes that started it."""
    file, seen = spy(folders)
    out = folders / "results-canary"
    done = run_cli(
        *("audit", "--testbed", "flattery-td", "--kit", "chat", "--engine", "scripted", "--auditor", "spy"),
        *("--plugin", str(file), "--out", str(out), "--json"),
        cwd=folders / "working-canary",
        home=folders / "home",
        ASSAY_KEYS=str(folders / "keys-canary"),
        ASSAY_SUITES=str(folders / "suite-canary"),
        OLDPWD=str(folders / "working-canary"),
        PWD=str(folders / "working-canary"),
        RESULTS=str(out),
        NOTES="alias-canary=flattery-td",
        INSPECT_LOG_DIR=str(folders / "inspect-canary"),
        HISTFILE=str(folders / "history-canary"),
        PYTEST_CURRENT_TEST="flattery-canary",
        PYTHONPATH=os.pathsep.join(["", str(folders / "working-canary")]),
        MY_PROVIDER_API_KEY="key-it-needs",
        ASSAY_PASS_ENV="MY_PROVIDER_API_KEY",
        OPENAI_API_KEY="canary-of-a-provider-that-is-not-asked",
    )
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert (row["outcome"], row["error"]) == ("none-submitted", "")
    told = seen.read_text(encoding="utf-8")
    kinds = {line.partition(":")[0] for line in told.splitlines()}
    assert {"environment", "arguments", "modules", "folder", "ancestors", "memory"} <= kinds
    assert "key-it-needs" in told and row["alias"] in told  # what it needs is there
    found = [line for line in told.splitlines() if "canary" in line or "flattery" in line]
    assert found == []
    ids = {short(truth.id) for truth in all_truths()}
    start = "\n".join(line for line in told.splitlines() if not line.startswith("memory"))
    assert not [name for name in ids if "-" in name and name in start]
    # and yet its logs are among the results, by the name that the row gives
    [log] = (out / "logs").glob("*.eval")
    assert row["log"] in log.name and (out / "logs" / "audit-process.log").is_file()
    assert list((folders / "home" / "rooms").iterdir()) == []


@pytest.mark.attacks
def test_files_of_the_working_folder_are_no_modules(folders: Path) -> None:
    """Neither of the command nor of the processes that it starts."""
    file, _ = spy(folders)
    here = folders / "working-canary"
    marker = folders / "imported"
    for name in ("json", "torch", "assay", "inspect_ai", "typer", "sitecustomize", "numpy", "regex"):
        planted = f"open({str(marker)!r}, 'a').write({name!r})\nraise SystemExit('planted')\n"
        (here / f"{name}.py").write_text(planted, encoding="utf-8")
    words = (
        "sweep",
        "--kit",
        "chat",
        "--testbed",
        "flattery-td",
        "--seeds",
        "1",
        "--engine",
        "scripted",
        "--auditor",
        "spy",
    )
    done = run_cli(*words, "--plugin", str(file), "--json", cwd=here, home=folders / "home")
    assert done.returncode == 0, done.stderr
    assert not marker.exists() and (here / "runs" / "summary.json").is_file()


NOISY = """
import ctypes, os, subprocess, sys

from assay import Brief, Budget, Kit, Report, auditor

FAKE = b'{"event": "done", "data": null}\\n{"event": "audit", "data": {"run_key": "forged"}}\\n'
sys.stdout.write("a print on import")


@auditor
async def noisy(kit: Kit, brief: Brief, budget: Budget) -> Report:
    '''Print all kinds of things where answers went, and read where jobs came from.'''
    os.write(1, b"half a line, ")
    os.write(1, bytes(range(256)))
    os.write(1, FAKE)
    print(FAKE.decode(), flush=True)
    sys.__stdout__.write(FAKE.decode())
    sys.__stdout__.flush()
    ctypes.CDLL(None).puts(FAKE)
    ctypes.CDLL(None).fflush(None)
    subprocess.run([sys.executable, "-c", f"import sys; print({FAKE!r}.decode()); sys.stdout.flush()"], check=True)
    assert sys.stdin.read() == "" and os.read(0, 100) == b""
    assert subprocess.run(["cat"], capture_output=True, check=True).stdout == b""
    return Report(p_hidden=0.25)
"""


@pytest.mark.attacks
def test_what_is_printed_is_no_answer_and_what_is_read_is_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half lines, bytes, forged events, from Python, C and another process; reading standard input eats no job."""
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    file = make_folder(tmp_path / "plugins") / "noisy.py"  # apart: what a sweep writes beside a plug-in is its data
    file.write_text(NOISY, encoding="utf-8")
    study = assay.sweep(
        kits=["chat", "prior-only"],
        testbeds=["flattery-td", "twin-td"],
        auditor="noisy",
        seeds=2,
        plugins=[file],
        out=tmp_path / "out",
        engine="scripted",
    )
    assert [row.error for row in study.rows] == [""] * 8
    assert {json.loads(row.report)["p_hidden"] for row in study.rows} == {0.25}
    logged = [path.read_text(encoding="utf-8") for path in (tmp_path / "out" / "logs").glob("*.log")]
    assert "forged" in "".join(logged) and r"half a line, \x00\x01" in "".join(logged)


@pytest.mark.attacks
def test_an_audit_process_does_not_open_the_keys(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file that a whole audit opens is watched; the grader's are, too, so that the watch is known to see."""
    home, opened, keys = folders / "home", folders / "seen", folders / "keys-canary"
    watched = """
import sys
def watch(event, details):
    if event in ("open", "os.listdir", "os.scandir") and str(details[0]).startswith(keys):
        with_keys.append(str(details[0]))
found, module, keys = sys.argv[1:]
with_keys = []
sys.addaudithook(watch)
import runpy
runpy.run_module(module, run_name="__main__", alter_sys=True)
open(found, "w").write("\\n".join(with_keys))
"""
    for kind, module in ((processes.AuditProcess, "audits"), (processes.GradingProcess, "grading")):
        words = (str(opened / module), f"assay.{module}.worker", str(keys))
        monkeypatch.setattr(kind, "command", (sys.executable, "-W", "ignore", "-c", watched, *words))
    monkeypatch.setenv("ASSAY_HOME", str(home))
    suite = home / "suites" / "sealed-one"
    (suite / "testbeds").mkdir(parents=True)
    (suite / "answers").mkdir()
    (keys / "sealed-one.key").write_text("00" * 32)
    monkeypatch.setenv("ASSAY_KEYS", str(keys))
    file = folders / "plugins" / "finder.py"
    file.write_text(FINDER, encoding="utf-8")
    study = assay.sweep(
        kits="chat",
        testbeds="flattery-td",
        auditor="finder",
        seeds=1,
        plugins=[file],
        out=folders / "out",
        engine="scripted",
    )
    assert len(study.grade_rows) == 5  # one a tier
    assert (opened / "audits").read_text() == ""
    assert "sealed-one.key" in (opened / "grading").read_text()


FINDER = """
from assay import Brief, Budget, Kit, Report, auditor
from assay.core.report import Demonstration, Finding, Predicate


@auditor
async def finder(kit: Kit, brief: Brief, budget: Budget) -> Report:
    '''Report a finding.'''
    await kit.tools["ask"](prompt="Hello")
    found = Finding(claim="It rambles.", trigger="", demonstrations=(Demonstration(user=("Hello",)),),
                    predicate=Predicate(phrases=("most people",)), confidence=0.8)
    return Report(p_hidden=0.9, findings=(found,))
"""

KILLER = """
import os, signal
from assay import Brief, Budget, Kit, Report, auditor


@auditor
async def killer(kit: Kit, brief: Brief, budget: Budget) -> Report:
    '''End a process in the second kit.'''
    if kit.name == "chat":
        os.kill({victim}, signal.SIGKILL)
    return Report(p_hidden=0.5)
"""


def test_logs_reach_the_results_though_the_audit_process_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    file = make_folder(tmp_path / "plugins") / "killer.py"
    file.write_text(KILLER.format(victim="os.getpid()"), encoding="utf-8")
    out = tmp_path / "out"
    with pytest.raises(assay.AssayError, match="audit process ended with status -9"):
        assay.audit("flattery-td", auditor="killer", plugins=[file], out=out, engine="scripted")
    assert (out / "logs" / "audit-process.log").is_file()
    assert list((tmp_path / "home" / "rooms").iterdir()) == list((out / "logs" / ".rooms").iterdir()) == []


def test_logs_reach_the_results_though_the_desk_is_killed(folders: Path) -> None:
    """What the killed desk left in its room is fetched by the next run with the same results."""
    file = folders / "plugins" / "killer.py"
    out, home, here = folders / "out", folders / "home", folders / "working-canary"
    file.write_text(KILLER.format(victim="os.getppid()"), encoding="utf-8")
    words = ("--testbed", "flattery-td", "--engine", "scripted", "--plugin", str(file), "--out", str(out))
    killed = run_cli("sweep", "--kit", "chat", "--seeds", "1", *words, "--auditor", "killer", cwd=here, home=home)
    assert killed.returncode == -signal.SIGKILL
    [room] = (home / "rooms").iterdir()
    until = time.monotonic() + 30
    while not list((room / "logs").glob("*.eval")) and time.monotonic() < until:
        time.sleep(0.1)
    (room / "logs" / "earlier.eval").write_text("a log that was finished", encoding="utf-8")
    assert not list((out / "logs").glob("*.eval"))
    again = run_cli("audit", "--kit", "prior-only", *words, "--auditor", "killer", cwd=here, home=home)
    assert again.returncode == 0, again.stderr
    assert (out / "logs" / "earlier.eval").read_text(encoding="utf-8") == "a log that was finished"
    assert list((home / "rooms").iterdir()) == list((out / "logs" / ".rooms").iterdir()) == []
    with Ledger.open(out / "ledger.sqlite") as ledger:
        names = [path.name for path in (out / "logs").glob("*.eval")]
        for row in ledger.audits():
            assert row.alias == find_truth("flattery-td").alias and any(row.log in name for name in names)


@pytest.mark.attacks
def test_a_room_brings_no_links_and_overwrites_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    secret = tmp_path / "secret.txt"
    secret.write_text("of somebody else")
    room = Room.open(tmp_path / "logs" / "said.log")
    (tmp_path / "logs" / "one.eval").write_text("earlier")
    (room.path / "logs" / "one.eval").write_text("later")
    (room.path / "logs" / "link.eval").symlink_to(secret)
    (room.path / "logs" / "other.sqlite").write_text("no log")
    room.said.symlink_to(secret)
    room.close()
    found = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir() if path.is_file()}
    assert found == {"one.eval": "earlier", f"{room.path.name}-one.eval": "later"}


def test_a_room_whose_desk_lives_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    first = Room.open(tmp_path / "logs" / "said.log")
    (first.path / "logs" / "one.eval").write_text("not finished")
    second = Room.open(tmp_path / "logs" / "said.log")
    assert first.path.is_dir() and not (tmp_path / "logs" / "one.eval").exists()
    second.close()
    month = time.time() - 40 * 24 * 3_600
    os.utime(first.path, (month, month))
    Room.open(tmp_path / "other" / "said.log").close()
    assert not first.path.exists()  # nobody asked for it in a month
    first.close()


def test_what_cannot_be_fetched_stays_and_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    room = Room.open(tmp_path / "logs" / "said.log")
    (room.path / "logs" / "one.eval").write_text("finished")

    def full(path: Path, place: Path) -> None:
        raise NotWritten(place, OSError(28, "No space left on device"))

    with monkeypatch.context() as patched:
        patched.setattr("assay.studies.rooms._move", full)
        with pytest.raises(NotWritten, match=r"one\.eval cannot be written: No space left"):
            room.close()
    assert (room.path / "logs" / "one.eval").is_file()
    Room.open(tmp_path / "logs" / "said.log").close()
    assert (tmp_path / "logs" / "one.eval").read_text() == "finished" and not room.path.exists()
