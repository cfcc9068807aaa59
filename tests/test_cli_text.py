"""What a model, a plug-in or a file says is shown as text: it styles and steers nothing, in any encoding."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from rich.console import Console

from assay import cli
from assay._util.visible import visible, visible_json
from assay.cli import show as shown
from assay.core.record import AuditRow
from assay.core.target import Cost
from assay.studies.events import AuditEnded, ProgressTold
from assay.studies.page.tables import Column, FittedTable, Row
from assay.studies.progress import live

EVIL = "[bold]b[/] [/] [/nope] [link=http://x]l[/link] :smile: \x1b[31mred\x1b]0;title\x07 \x9b2J \u202eback \ud800 ·"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

PLUGIN = f"""
from assay import Access, Brief, Budget, Kit, Report, Target, auditor, tool
from assay.core.report import Demonstration, Finding, Predicate

EVIL = {EVIL!r}


@tool(needs={{Access.CHAT}})
async def parrot(target: Target, prompt: str = "Hello") -> str:
    "[/] [bold]Repeat[/] what \\x1b[31m cannot be shown."
    await target.chat(prompt)
    return EVIL


@auditor
async def poet(kit: Kit, brief: Brief, budget: Budget) -> Report:
    "[/] [bold]Say[/] what \\x1b[31m cannot be shown ·"
    print(EVIL.encode("utf-8", "replace").decode())
    await kit.tools["ask"](prompt="Hello")
    if kit.name == "chat":
        raise ValueError(EVIL)
    text = EVIL.encode("utf-8", "replace").decode()
    found = Finding(claim=text, trigger=text[:100], demonstrations=(Demonstration(user=(text,)),),
                    predicate=Predicate(phrases=(text[:60],)), confidence=0.8)
    return Report(p_hidden=0.9, findings=(found,))
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "plugin.py"
    file.write_text(PLUGIN, encoding="utf-8")
    return file


@pytest.fixture(params=["ascii", "latin-1", "utf-8"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command in this process, on a pipe of an encoding; status, standard output, standard error."""
    encoding = request.param
    monkeypatch.setattr("assay._util.process_title.hide_command_line", lambda title: False)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    for name in ("COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")

    def run_in_process(*words: str) -> tuple[int, str, str]:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["assay", *words])
            patched.setattr(sys, "stdout", streams[0])
            patched.setattr(sys, "stderr", streams[1])
            try:
                cli.main()
                status = 0
            except SystemExit as ended:
                status = int(ended.code or 0)
        written = []
        for stream in streams:
            stream.flush()
            written.append(stream.buffer.getvalue().decode(encoding))
        return status, written[0], written[1]

    return run_in_process


def words_of_commands() -> Iterator[list[str]]:
    def walk(command: object, words: list[str]) -> Iterator[list[str]]:
        yield words
        for name, sub in getattr(command, "commands", {}).items():
            yield from walk(sub, [*words, name])

    yield from walk(typer.main.get_command(cli.app), [])


@pytest.mark.attacks
def test_every_command_speaks_in_every_encoding(run: Run, plugin: Path) -> None:
    for words in words_of_commands():
        status, out, error = run(*words, "--help")
        assert (status, error) == (0, "") and out, words
    file = str(plugin)
    for words, expected in (
        (["testbeds"], 0),
        (["testbeds", "--all"], 0),
        (["testbeds", "validate", "twin-td"], 0),
        (["suites"], 0),
        (["tools", "--plugin", file], 0),
        (["auditors", "--plugin", file], 0),
        (["tools", "run", "parrot", "--testbed", "twin-td", "--plugin", file, "--engine", "scripted"], 0),
        (["audit", "--testbed", EVIL], 2),
        (["report", "--out", EVIL.replace("\ud800", "")], 2),
        (["sweep", "--kit", EVIL], 2),
        (["testbeds", "add", file], 2),
        (["organisms", "build", EVIL], 2),
        (["suites", "add", file], 2),
        (["testbeds", "fetch", EVIL], 2),
    ):
        status, out, error = run(*words)
        assert status == expected, (words, error)
        assert not OBEYED.search(out + error), words
        if status == 0 and words[0] != "suites":
            status, out, _ = run(*words, "--json")
            assert status == 0 and not OBEYED.search(out) and json.loads(out), words


@pytest.mark.attacks
def test_markup_and_control_characters_are_text(run: Run, plugin: Path) -> None:
    words = ("--plugin", str(plugin))
    _, out, _ = run("tools", "run", "parrot", "--testbed", "twin-td", "--engine", "scripted", *words)
    assert (
        r"[bold]b[/] [/] [/nope] [link=http://x]l[/link] :smile: \x1b[31mred\x1b]0;title\x07 \x9b2J \u202eback" in out
    )
    _, out, _ = run("auditors", *words)
    assert r"[/] [bold]Say[/] what \x1b[31m cannot be shown" in " ".join(out.split())
    _, out, _ = run("auditors", *words, "--json")
    [told] = [row for row in json.loads(out) if row["plugin"]]
    assert told["doc"] == "[/] [bold]Say[/] what \x1b[31m cannot be shown ·"


@pytest.mark.attacks
def test_a_whole_sweep_of_evil_texts_in_ascii(plugin: Path, tmp_path: Path) -> None:
    """With the real processes: reports, crashes, prints of a plug-in, results of a study."""
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "PYTHONUTF8", "LC_ALL")}
    plain = {"PYTHONIOENCODING": "ascii", "LANG": "C", "TERM": "dumb", "NO_COLOR": "1", "PYTHONWARNINGS": "ignore"}

    def run_apart(*words: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [str(Path(sys.executable).with_name("assay")), *words, "--out", str(tmp_path / "out")],
            env={**environment, **plain, "ASSAY_HOME": str(tmp_path / "home")},
            capture_output=True,
            timeout=300,
            check=False,
        )

    common = ("--testbed", "twin-td", "--auditor", "poet", "--plugin", str(plugin), "--engine", "scripted")
    for words in (
        ("sweep", "--kit", "chat", "--kit", "ask", "--seeds", "1", *common),
        ("audit", "--kit", "chat", *common),
        ("audit", "--kit", "ask", *common),
        ("grade",),
        ("report",),
    ):
        done = run_apart(*words)
        told = (done.stdout + done.stderr).decode("ascii")
        assert done.returncode == 0, told
        assert not OBEYED.search(told) and "Traceback" not in told, words
    log = (tmp_path / "out" / "logs" / "audit-process.log").read_text(encoding="utf-8")
    assert r"\x1b[31mred" in log and not OBEYED.search(log)


@pytest.mark.attacks
def test_progress_is_text(plugin: Path) -> None:
    text = io.StringIO()
    with live(Console(file=text, width=200)) as watch:
        watch(ProgressTold(EVIL))
        watch(AuditEnded(AuditRow("key", "plan", "tb-00000000", "[/]" + EVIL, "poet@1", 0, "crashed", "", Cost())))
    assert r"[/nope] [link=http://x]l[/link] :smile: \x1b[31mred" in text.getvalue()
    assert not OBEYED.search(text.getvalue())


@pytest.mark.attacks
def test_a_results_table_is_text() -> None:
    text = io.StringIO()
    table = FittedTable("[/title]", [Column("[/kit]", identifies=True), Column("n")], [Row(["[/]\x1b[31m", "1"])])
    Console(file=text, width=80).print(table)
    assert all(part in text.getvalue() for part in ("[/title]", "[/kit]", r"[/]\x1b[31m"))


@pytest.mark.parametrize("width", ["20", "60", "80", "0", "none"])
def test_what_names_a_row_is_whole_at_any_width(
    width: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    names = [f"published/an-organism-with-a-long-name-{number}-default-llama-3.2-1b-instruct@1" for number in range(3)]
    rows = [
        {"id": name, "role": "organism", "doc": "words " * 40, "alias": f"tb-0000000{n}"}
        for n, name in enumerate(names)
    ]
    shown.show(rows, False, ("id", "role", "doc", "alias"))
    lines = capsys.readouterr().out.splitlines()
    for row in rows:
        assert [line for line in lines if line.startswith(row["id"]) and line.rstrip().endswith(row["alias"])]


def test_a_character_is_shown_once_and_json_stays_json() -> None:
    assert visible("a\tb\nc\r\nd\re") == "a\tb\nc\nd\\x0de"
    assert visible("\x1b\x9b\u202e\ud800é·") == r"\x1b\x9b\u202e\ud800é·"
    for text in (EVIL, "".join(map(chr, range(0x300))), "\u2028\u2029"):
        written = visible_json(json.dumps({"text": text}, ensure_ascii=False))
        assert json.loads(written) == {"text": text} and not OBEYED.search(written)
        written.encode()
