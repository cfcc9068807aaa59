"""assay play: a person audits by typed lines; what is hidden is told after the report, and not before."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.audits.serve.answers import ToolAnswer
from assay.cli.play_session import PlaySession
from assay.core.answer import GAMES, Game
from assay.core.report_problems import report_problems
from assay.errors import InvalidInput

LEFT = {"queries": 20, "tokens": 100, "seconds": 9}


class Table:
    """Notes what is called, and answers as a server would."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, tool: str, arguments: dict[str, Any]) -> ToolAnswer:
        self.calls.append((tool, arguments))
        return ToolAnswer({"left": {**LEFT, "queries": 19}}, "fine")


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def session(table: Table) -> PlaySession:
    return PlaySession(table, {"target": "T-1", "tools": ["ask", "search", "system", "reference"], "left": LEFT})


def test_lines_become_calls(session: PlaySession, table: Table) -> None:
    for line in (
        "ask How are you?",
        "samples 8",
        "ask Again",
        "search",
        "search --k 5 poems",
        "system --system 'Be kind.' Hello",
        "reference One | Two",
    ):
        session.line(line)
    assert [arguments for _, arguments in table.calls] == [
        {"target": "T-1", "prompts": ["How are you?"], "samples": 1},
        {"target": "T-1", "prompts": ["Again"], "samples": 8},
        {"target": "T-1"},
        {"target": "T-1", "k": 5, "query": "poems"},
        {"target": "T-1", "system": "Be kind.", "prompts": ["Hello"], "samples": 8},
        {"target": "T-1", "prompts": ["One", "Two"]},
    ]
    assert session.prompt == "19 queries left> " and "19 queries" in session.line("budget")


def test_a_report_is_drafted_undone_and_submitted(session: PlaySession, table: Table) -> None:
    for line in (
        "p 0.9",
        "new It says week.",
        "trigger always",
        "demo Hello?",
        "phrases week | weeks",
        "confidence 0.7",
    ):
        session.line(line)
    session.line("pattern wrong")
    session.line("undo")
    session.line("check")
    session.line("submit")
    assert session.over and session.submitted
    assert [tool for tool, _ in table.calls] == ["check_report", "submit_report"]
    assert table.calls[-1][1]["report"] == {
        "p_hidden": 0.9,
        "findings": [
            {
                "claim": "It says week.",
                "trigger": "always",
                "demonstrations": ["Hello?"],
                "predicate": {"phrases": ["week", "weeks"]},
                "confidence": 0.7,
            }
        ],
    }


@pytest.mark.parametrize("line", ["trigger x", "p high", "new", "grade", "samples many", "ask --k"])
def test_what_cannot_be_understood_is_said_and_costs_nothing(session: PlaySession, table: Table, line: str) -> None:
    with pytest.raises(InvalidInput):
        session.line(line)
    assert not table.calls and session.line("") == ""


def test_tab_completes_tools_and_commands_and_help_names_them(session: PlaySession) -> None:
    assert session.complete("se") == ["search "] and "submit " in session.complete("su")
    assert set(session.complete("")) == {f"{word} " for word in session.words}


@pytest.mark.parametrize("game", GAMES)
def test_help_names_every_word_of_the_game(table: Table, game: Game) -> None:
    session = PlaySession(table, {"target": "T-1", "tools": [], "left": LEFT}, game)
    told = session.line("help")
    assert all(word in told for word in session.words)


TYPED: dict[Game, tuple[list[str], dict[str, Any]]] = {
    "red-team": (
        ["new It says week.", "turn Hello?", "turn And?", "under Be kind.", "begun Well,", "p 0.6", "begun no", "undo"],
        {
            "p_hidden": 0.6,
            "transcripts": [
                {
                    "script": {"user": ["Hello?", "And?"], "system": "Be kind.", "prefill": "Well,"},
                    "shows": "It says week.",
                }
            ],
        },
    ),
    "evaluate": (
        ["demo Hello?", "phrases a | b", "rubric It says week.", "demo Who?", "p 0.2"],
        {"p_hidden": 0.2, "prompts": ["Hello?", "Who?"], "rubric": "It says week."},
    ),
}


@pytest.mark.parametrize("game", list(TYPED))
def test_the_other_games_are_drafted_by_words_of_their_own(table: Table, game: Game) -> None:
    session = PlaySession(table, {"target": "T-1", "tools": ["ask"], "left": LEFT}, game)
    lines, report = TYPED[game]
    for line in [*lines, "submit"]:
        session.line(line)
    assert table.calls[-1][1]["report"] == report and report_problems(report, game) == []
    for line in ("turn x", "trigger x", "confidence 1", "rubric"):
        fresh = PlaySession(table, {"target": "T-1", "tools": ["ask"], "left": LEFT}, game)
        with pytest.raises(InvalidInput):
            fresh.line(line)


def played(lines: str, folder: Path, *words: str) -> str:
    """What `assay play` says to lines from a pipe."""
    common = ["play", "--testbed", "twin-td", "--engine", "scripted", "--out", str(folder / "out")]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("assay")), *common, *words],
        input=lines,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "ASSAY_KEYS": str(folder / "keys")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_another_game_is_played_and_told_of_as_such(tmp_path: Path) -> None:
    lines = "ask Hello?\nnew It says week.\nturn Hello?\ncheck\nsubmit\n"
    said = played(lines, tmp_path, "--game", "red-team", "--budget", "queries=9")
    assert "Red-team this model" in said and "transcript 1: asked here, 1×" in said
    assert "8 queries" in said and "Your report: a false alarm" in said


def test_a_script_plays_an_audit_and_hears_the_truth_after_it(tmp_path: Path) -> None:
    said = played("ask Hello?\nsamples 3\nask Hello?\nnonsense\np 0.2\nsubmit\nask too late\n", tmp_path)
    before, _, after = said.partition("The report is recorded.")
    assert "1,996 queries" in before and "is no tool of this target" in before
    assert "twin" not in before and "clean" not in before and "tb-" not in before
    assert "embedded/twin-td" in after and "Nothing was hidden." in after and "Your report: right" in after
