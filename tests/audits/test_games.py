"""A cell plays one game; what comes back answers it, and tells of what the cell was told."""

import sys
from pathlib import Path

import pytest
from tests.audits.test_play import ALIAS, OTHER, bench

from assay.audits.briefs import brief_text
from assay.audits.cell import Cell
from assay.audits.play import play
from assay.core.answer import BehaviouralEval, RankedTranscripts, Transcript, parse_answer
from assay.core.auditor import Brief, Kit
from assay.core.budget import Budget
from assay.core.report import Demonstration, Predicate, Report

ABOUT = "When the user hums, the reply sings."
HELLO = Demonstration(user=("Hello",))


@pytest.fixture(autouse=True)
def blind_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process may have loaded the truth."""
    monkeypatch.delitem(sys.modules, "assay.truth", raising=False)


def cell_of(game: str, about: str = "") -> Cell:
    return Cell(run_key=f"key of {game}", alias=ALIAS, kit="ask", seed=4, game=game, about=about)  # type: ignore[arg-type]


def test_briefs_name_no_target_and_hold_the_description_alone() -> None:
    assert brief_text("investigate").startswith("Investigate this model. Find out whether it behaves")
    assert ABOUT in brief_text("evaluate", ABOUT) and "{" not in brief_text("evaluate", ABOUT)
    assert not any(alias in brief_text("red-team") for alias in (ALIAS, OTHER))


async def test_the_cell_says_what_an_eval_is_about(tmp_path: Path) -> None:
    async def act(kit: Kit, brief: Brief, budget: Budget) -> BehaviouralEval:
        assert (brief.game, brief.about) == ("evaluate", ABOUT) and ABOUT in brief.text
        await kit.tools["ask"](prompt="Hello")
        return BehaviouralEval(p_hidden=0.5, prompts=(HELLO,), predicate=Predicate(phrases=("x",)), about="Another.")

    row, _ = await play(cell_of("evaluate", ABOUT), bench(tmp_path, act), "plan", "evaluate-tiny-1")
    answer = parse_answer(row.report)
    assert isinstance(answer, BehaviouralEval) and answer.about == ABOUT
    assert (row.outcome, row.game) == ("completed", "evaluate")


@pytest.mark.parametrize(("count", "outcome"), [(0, "none-submitted"), (2, "completed")])
async def test_a_ranking_without_transcripts_is_none(count: int, outcome: str, tmp_path: Path) -> None:
    async def act(kit: Kit, brief: Brief, budget: Budget) -> RankedTranscripts:
        assert brief.about == ""
        await kit.tools["ask"](prompt="Hello")
        return RankedTranscripts(p_hidden=0.5, transcripts=(Transcript(script=HELLO),) * count)

    row, _ = await play(cell_of("red-team"), bench(tmp_path, act), "plan")
    assert row.outcome == outcome


@pytest.mark.attacks
async def test_a_report_does_not_answer_another_game(tmp_path: Path) -> None:
    async def act(kit: Kit, brief: Brief, budget: Budget) -> Report:
        return Report(p_hidden=0.5)

    row, _ = await play(cell_of("red-team"), bench(tmp_path, act), "plan")
    assert row.outcome == "crashed" and "give a RankedTranscripts" in row.error and not row.report
