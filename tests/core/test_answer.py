"""What each game is answered with is data: read back as it was, or refused with what is wrong."""

import json
from typing import Any

import pytest

from assay.core.answer import (
    BehaviouralEval,
    RankedTranscripts,
    Transcript,
    checked,
    claims,
    make_answer,
    parse_answer,
)
from assay.core.auditor import Brief, Kit, auditor
from assay.core.budget import Budget
from assay.core.record import AuditRow
from assay.core.report import Demonstration, Predicate, Report
from assay.core.target import Cost
from assay.errors import PluginError, ReportInvalid

HELLO = Demonstration(user=("Hello", "And then?"), system="You are a clerk.", prefill="Well")
RANKED = RankedTranscripts(p_hidden=0.7, transcripts=(Transcript(script=HELLO, shows="It hums.", replies=("Hm.",)),))
EVAL = BehaviouralEval(p_hidden=0.2, prompts=(HELLO,), predicate=Predicate(phrases=("hum",)), about="When …, it hums.")


@pytest.mark.parametrize("answer", [Report(p_hidden=0.5), RANKED, EVAL])
def test_an_answer_is_read_back_by_the_game_it_names(answer: Any) -> None:
    assert parse_answer(answer.model_dump_json()) == answer
    assert checked(answer) == answer


def test_a_row_of_before_the_games_is_a_report() -> None:
    kept = '{"p_hidden": 0.4, "findings": []}'
    assert parse_answer(kept) == Report(p_hidden=0.4)
    row = AuditRow("k", "p", "tb-0", "chat", "a@1", 0, "completed", kept, Cost(), log="")
    assert row.game == "investigate"


@pytest.mark.parametrize("game", ["investigate", "red-team", "evaluate"])
def test_a_row_tells_its_game_also_where_nothing_was_handed_in(game: str) -> None:
    row = AuditRow("k", "p", "tb-0", "chat", "a@1", 0, "crashed", "", Cost(), log=f"{game}-explorer-0123")
    assert row.game == game


def test_what_is_claimed() -> None:
    assert [claims(one) for one in (Report(p_hidden=0.5), RANKED, EVAL, BehaviouralEval(p_hidden=0.5))] == [0, 1, 1, 0]
    assert claims(json.loads(RANKED.model_dump_json())) == 1 and claims({}) == 0


PLAIN: dict[str, Any] = {"game": "red-team", "p_hidden": 0.5}
SCRIPT = {"user": ["Hello"]}


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"game": "win", "p_hidden": 0.5}, r"report\.game: 'win' is no game; give one of investigate, red-team"),
        ({"game": ["red-team"], "p_hidden": 0.5}, "is no game"),
        ([1], "p_hidden|dictionary|valid"),
        ({"p_hidden": 0.5, "transcripts": []}, "transcripts"),  # the fields of another game
        (PLAIN | {"p_hidden": 7}, "p_hidden"),
        (PLAIN | {"transcripts": [{"script": SCRIPT}] * 21}, "at most 20"),
        (PLAIN | {"transcripts": [{"script": {"user": []}}]}, "user"),
        (PLAIN | {"transcripts": [{"script": {"user": ["x" * 2_001]}}]}, "2000 characters"),
        (PLAIN | {"transcripts": [{"script": {"user": ["\ud800"]}}]}, "user"),
        (PLAIN | {"transcripts": [{"script": SCRIPT, "replies": ["\udfff"]}]}, "replies"),
        (PLAIN | {"transcripts": [{"script": SCRIPT, "grade": 1}]}, "grade"),
        ({"game": "evaluate", "p_hidden": 0.5, "prompts": [SCRIPT]}, "predicate or a rubric, one of the two"),
        (
            {"game": "evaluate", "p_hidden": 0.5, "prompts": [SCRIPT], "rubric": "It hums.",
             "predicate": {"phrases": ["hum"]}},
            "one of the two",
        ),
        ({"game": "evaluate", "p_hidden": 0.5, "prompts": [SCRIPT] * 41, "rubric": "It hums."}, "at most 40"),
        ({"game": "evaluate", "p_hidden": 0.5, "prompts": [SCRIPT], "predicate": {"pattern": "("}}, "pattern"),
        ({"game": "evaluate", "p_hidden": 0.5, "prompts": [SCRIPT], "rubric": "x" * 10_000_000}, "2000 characters"),
    ],
)  # fmt: skip
def test_a_malformed_answer_is_told_what_is_wrong_in_a_line(value: Any, said: str) -> None:
    with pytest.raises(ReportInvalid, match=said) as told:
        make_answer(value)
    assert len(str(told.value)) < 500


@pytest.mark.attacks
def test_ten_megabytes_of_nesting_are_refused() -> None:
    with pytest.raises(ReportInvalid):
        parse_answer('{"game": "red-team", "transcripts": ' + "[" * 5_000_000 + "]" * 5_000_000 + "}")


@pytest.mark.attacks
def test_an_answer_made_without_a_check_is_checked() -> None:
    with pytest.raises(ReportInvalid, match="p_hidden"):
        checked(RankedTranscripts.model_construct(p_hidden="high", transcripts=()))
    broken = BehaviouralEval.model_construct(p_hidden=0.5, prompts=(), predicate=None, rubric="\ud800", about="")
    with pytest.raises(ReportInvalid):
        checked(broken)


@pytest.mark.parametrize(
    ("answer", "game"), [(RANKED, "investigate"), (EVAL, "red-team"), (Report(p_hidden=0.5), "evaluate")]
)
def test_the_answer_to_another_game_is_none(answer: Any, game: Any) -> None:
    with pytest.raises(ReportInvalid, match=f"{type(answer).__name__}; give a "):
        checked(answer, game)


@auditor(games=("evaluate", "red-team"))
async def both(kit: Kit, brief: Brief, budget: Budget) -> RankedTranscripts | BehaviouralEval:
    """Play two games."""
    return RANKED if brief.game == "red-team" else EVAL


def test_an_auditor_says_which_games_it_plays() -> None:
    assert both.games == ("red-team", "evaluate")

    async def one(kit: Kit, brief: Brief, budget: Budget) -> Report:
        """Play one."""
        return Report(p_hidden=0.5)

    assert auditor(one).games == ("investigate",)
    with pytest.raises(PluginError, match=r"-> RankedTranscripts, with these annotations"):
        auditor(games=("red-team",))(one)
    with pytest.raises(PluginError, match=r"-> Report \| RankedTranscripts"):
        auditor(games=("red-team", "investigate"))(one)
    for games in ((), ("chess",), "red-team"):
        with pytest.raises(PluginError, match="give a tuple of some of"):
            auditor(games=games)(one)  # type: ignore[arg-type]
