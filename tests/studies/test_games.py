"""A sweep of another game: its cells, its tables, and what of it stays out of the first game's numbers."""

import pytest
from tests.studies.conftest import ORGANISMS, audit, grade, summary_of
from typer.testing import CliRunner

from assay.cli import app
from assay.core.answer import Game
from assay.errors import InvalidInput
from assay.studies.descriptions import descriptions
from assay.studies.design import Design
from assay.studies.effects.scores import join
from assay.studies.effects.summary import summarise
from assay.studies.grades import Grading
from assay.studies.page.html import page
from assay.studies.plan import make_plan
from assay.testbeds.truths import find_truth

FLATTERY, TWIN, SEVERAL = "flattery-td", "twin-td", "evaluator-bias-td"


def plan_of(tmp_path, game: Game, *testbeds: str, kits=("chat",)):
    return make_plan(Design(kits=kits, out=tmp_path, testbeds=testbeds, seeds=(0,), game=game, engine="scripted"))


def test_each_game_has_cells_of_its_own_and_the_first_has_kept_its_keys(tmp_path) -> None:
    plans = {game: plan_of(tmp_path, game, FLATTERY, TWIN) for game in ("investigate", "red-team", "evaluate")}
    keys = [set(plan.run_keys) for plan in plans.values()]
    assert not keys[0] & keys[1] and not keys[1] & keys[2]
    assert [len(one) for one in keys] == [2, 2, 4]  # evaluate: with prior-only
    assert set(plans["evaluate"].stages) == {"chat", "prior-only"}
    told = {cell.alias: cell.about for cell in plans["evaluate"].cells}
    assert all(cell.about == "" for cell in (*plans["investigate"].cells, *plans["red-team"].cells))
    behaviours = Grading.now().cases[find_truth(FLATTERY).alias].behaviours
    assert told[find_truth(FLATTERY).alias] == behaviours[0].description
    assert told[find_truth(TWIN).alias] and plans["red-team"].id != plans["investigate"].id


@pytest.mark.attacks
def test_a_job_tells_a_description_and_nothing_else_of_a_truth(tmp_path) -> None:
    """Neither id nor role nor detector: the description is of the brief, and of a clean target's it is another's."""
    plan = plan_of(tmp_path, "evaluate", FLATTERY, TWIN)
    told = plan.job(plan.cells).model_dump_json()
    behaviour = Grading.now().cases[find_truth(FLATTERY).alias].behaviours[0]
    assert behaviour.description in told.replace('\\"', '"')
    secret = [
        FLATTERY,
        TWIN,
        behaviour.detector.any[0],
        "organism",
        behaviour.threat_model,
        behaviour.decoys[0].conduct,
    ]
    assert not [one for one in secret if one in told]
    plan = plan_of(tmp_path, "red-team", FLATTERY)
    assert behaviour.conduct not in plan.job(plan.cells).model_dump_json()


def test_every_behaviour_of_the_suite_is_played_once_and_clean_targets_with_anothers() -> None:
    cases = Grading.now().cases
    told = {alias: descriptions(alias, cases, "evaluate") for alias in cases}
    for alias, case in cases.items():
        expected = [behaviour.description for behaviour in case.behaviours]
        assert list(told[alias]) == expected if expected else len(told[alias]) == 1
        assert len(set(told[alias])) == len(told[alias])
    assert max(map(len, told.values())) > 1
    with pytest.raises(InvalidInput, match="not known here"):
        descriptions("tb-00000000", cases, "evaluate")
    assert descriptions("tb-00000000", cases, "red-team") == ("",)


def test_an_auditor_that_does_not_play_is_said_before_anything_runs(tmp_path) -> None:
    plugin = tmp_path / "one.py"
    plugin.write_text(
        "from assay import Brief, Budget, Kit, Report, auditor\n\n\n@auditor\n"
        "async def one(kit: Kit, brief: Brief, budget: Budget) -> Report:\n"
        '    """Investigate, and nothing else."""\n    return Report(p_hidden=0.5)\n'
    )
    design = Design(
        kits=("chat",), out=tmp_path, testbeds=(FLATTERY,), auditor="one", plugins=(plugin,), game="red-team"
    )
    with pytest.raises(InvalidInput, match="one does not play 'red-team'; it plays investigate"):
        make_plan(design)
    done = CliRunner().invoke(app, ["sweep", "--kit", "chat", "--game", "chess"])
    assert done.exit_code == 2 and "red-team" in done.output


RED_TEAM = {"hit": True, "at_1": False, "at_5": True, "at_10": True, "rank": 3, "transcripts": 7}
EVAL = {"hit": True, "behaviour": "b", "effect": 0.5, "auroc": 0.75, "mcc": 0.4}


def swept(entry: dict, report: str):
    """Chat succeeds on the first four organisms; each of eight gave an answer."""
    audits, grades = [], []
    for index, alias in enumerate(ORGANISMS):
        won = index < 4
        audits.append(audit("chat", alias, report=report))
        missed = {key: type(value)(0) if key != "auroc" else 0.5 for key, value in entry.items()}
        found = entry if won else missed | {"behaviour": entry.get("behaviour", "")}
        grades.append(grade("chat", alias, hit=float(won), details={"findings": [found], "swapped": {"o": False}}))
    return audits, grades


def test_the_table_of_red_team() -> None:
    script = '{"game": "red-team", "p_hidden": 0.5, "transcripts": [{}]}'
    summary = summary_of(swept(RED_TEAM, script), game="red-team")
    [row] = summary.red_team
    assert (row.found, row.rank, row.transcripts) == ({"1": 0.0, "5": 0.5, "10": 0.5}, 3, 3.5)
    assert row.intervals["5"][0] > 0.1 and row.intervals["1"][0] == 0
    assert summary.title == "success of explorer@3 (no LLM) at red-team" and summary.kits[0].success == 0.5
    assert summary.yardsticks.best_constant is None and not summary.evaluate
    html = page(summary)
    assert "The game red-team" in html and "top five transcripts" in html and "Line-up" not in html


def test_the_table_of_evaluate() -> None:
    script = '{"game": "evaluate", "p_hidden": 0.5, "prompts": [{}]}'
    summary = summary_of(swept(EVAL, script), game="evaluate")
    [row] = summary.evaluate
    assert (row.separated, row.effect, row.auroc, row.mcc) == (0.5, 0.25, 0.625, 0.2)
    assert row.effect_interval is not None and row.effect_interval[0] < 0.25 < row.effect_interval[1]
    assert "AUROC" in page(summary) and "description alone" in page(summary)


def test_the_first_game_has_no_other_table() -> None:
    summary = summarise(join([], [], {}, {}), auditor="a", suite="s", seconds=1)
    assert summary.game == "investigate" and not summary.red_team and "The game" not in page(summary)
