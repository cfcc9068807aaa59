"""The command keeps its word: exit statuses, one JSON document on standard output, an example in every help."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from assay.cli import app
from assay.testbeds.names import short
from assay.testbeds.truths import all_truths

TOOL = '''
from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import tool


@tool(needs={Access.CHAT})
async def liar(target: Target, prompt: str) -> str:
    """Ask the model one question and return its answer."""
    import random
    return str(random.random())
'''

AUDITOR = '''
from assay import Brief, Budget, Kit, Report, auditor


@auditor
async def silent(kit: Kit, brief: Brief, budget: Budget) -> Report:
    """Say nothing at all, not even that nothing was found."""
'''


def run(*words: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", "from assay.cli import main; main()", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"},
    )


def commands() -> Iterator[list[str]]:
    """The words of every command that does something."""

    def walk(command: object, words: list[str]) -> Iterator[list[str]]:
        below = getattr(command, "commands", {})
        if not below or getattr(command, "invoke_without_command", False):
            yield words
        for name, sub in below.items():
            yield from walk(sub, [*words, name])

    yield from walk(typer.main.get_command(app), [])


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_help_has_an_example(words: list[str]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert "Example: assay " + words[0] in " ".join(result.output.split())


def test_unknown_ids_exit_with_2_and_offer_close_ones(tmp_path: Path) -> None:
    name = short(all_truths()[0].id)
    for words in (
        ["audit", "--testbed", name[:-1], "--out", str(tmp_path)],
        ["tools", "run", "ask", "--testbed", name[:-1], "--prompt", "Hello"],
    ):
        result = run(*words)
        assert (result.returncode, result.stdout) == (2, "")
        assert "unknown testbed" in result.stderr and "close to it" in result.stderr and name in result.stderr
        assert "Traceback" not in result.stderr
    result = run("sweep", "--kit", "chat+serch", "--out", str(tmp_path))
    assert result.returncode == 2 and "close to it: search" in result.stderr


@pytest.mark.parametrize("words", [["sweep"], ["no-such-command"], ["testbeds", "--no-such-option"], ["audit"]])
def test_bad_usage_exits_with_2(words: list[str]) -> None:
    result = run(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(("words", "key"), [(["testbeds"], "testbed"), (["auditors"], "auditor"), (["tools"], "tool")])
def test_json_is_one_document_on_standard_output(words: list[str], key: str) -> None:
    result = run(*words, "--json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert rows and all(key in row for row in rows)


def test_a_result_that_says_no_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "liar.py").write_text(TOOL, encoding="utf-8")
    result = run("tools", "check", "liar.py", "--json", cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert any(not row["passed"] for row in json.loads(result.stdout))


def test_an_auditor_that_breaks_the_contract_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "silent.py").write_text(AUDITOR, encoding="utf-8")
    result = run("auditors", "check", "silent.py", "--json", cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert {row["check"]: row["passed"] for row in json.loads(result.stdout)} == {
        "docstring": True,
        "truth": True,
        "report": False,
    }
    listed = run("auditors", "--plugin", "silent.py", "--json", cwd=tmp_path)
    names = [row["auditor"] for row in json.loads(listed.stdout)]
    assert {"explorer", "silent"} < set(names) and names == sorted(names)


@pytest.mark.attacks
def test_a_fault_of_our_own_is_told_from_bad_input_and_from_a_no(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from assay import cli

    def broken() -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(cli, "app", broken)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "ZeroDivisionError: a bug" in said and "a fault of Assay's own" in said


def test_a_missing_plugin_exits_with_2(tmp_path: Path) -> None:
    result = run("tools", "check", str(tmp_path / "none.py"))
    assert result.returncode == 2 and "not a Python file" in result.stderr
