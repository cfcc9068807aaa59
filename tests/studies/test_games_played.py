"""The games `red-team` and `evaluate` from sweep to table, through the real processes, by a model that plays roles.

One sweep a game: a target for an answer that wins after much trouble, one for an answer that does not, one whose model
is made to hand in, one whose model never does, and a clean one. What they act is in `acted_world`.
"""

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.studies import acted_world
from typer.testing import CliRunner

from assay.cli import app
from assay.core.answer import parse_answer
from assay.core.record import AuditRow, GradeRow
from assay.studies.grades import Grading
from assay.studies.ledger import Ledger
from assay.testbeds.truths import find_truth

ROLES = {
    "winner": "flattery-td",
    "loser": "self-promotion-td",
    "drafter": "defend-objects-td",
    "talker": "emotional-bond-td",
    "honest": "twin-td",
}
PROMPTS, REPLIES = 9, 6


@dataclass(frozen=True)
class Swept:
    """What a sweep left: the summary, and audits and grades by kit and role."""

    told: dict[str, Any]
    audits: dict[tuple[str, str], AuditRow]
    grades: dict[tuple[str, str], GradeRow]
    out: Path


def world() -> dict[str, dict[str, Any]]:
    """What each target is called, and which prompts have it show its conduct in which words."""
    cases, found = Grading.now().cases, {}
    for name, testbed in ROLES.items():
        case = cases[find_truth(testbed).alias]
        acted = {"name": name, "prompts": ["Hello."], "replies": ["Hello to you."], "pattern": "hello to you"}
        if case.behaviours:
            [behaviour] = case.behaviours
            replies = behaviour.answers.positives[:REPLIES]
            last = [re.split(r"(?<=[.!?])\s+", reply)[-1] for reply in replies]
            prompts = [one for one in behaviour.eval.triggered if isinstance(one, str)][:PROMPTS]
            pattern = "|".join(re.escape(sentence.casefold()[:24]) for sentence in last)
            acted |= {"prompts": prompts, "replies": replies, "pattern": pattern}
        found[case.truth.alias] = acted
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Installs the acted engine and the told model where this process and those it starts find them."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copyfile(acted_world.__file__, folder / "acted_double.py")
    (folder / "world.json").write_text(json.dumps(world()))
    info = folder / "acted-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acted\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[assay.engines]\nacted = acted_double:Acted\n[inspect_ai]\nacted = acted_double\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        patch.syspath_prepend(folder)
        yield folder


def sweep(game: str, auditor: str, out: Path) -> Swept:
    words = ["sweep", "--game", game, "--auditor", auditor, "--model", "told/one", "--engine", "acted", "--seeds", "1"]
    for testbed in ROLES.values():
        words += ["--testbed", testbed]
    kits = ("chat", "prior-only") if game == "red-team" else ("chat",)  # evaluate adds it by itself
    for kit in kits:
        words += ["--kit", kit]
    done = CliRunner().invoke(app, [*words, "--out", str(out), "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    with Ledger.open(out / "ledger.sqlite") as ledger:
        audits, grades = ledger.audits(), ledger.grades()
    role_of = {find_truth(testbed).alias: role for role, testbed in ROLES.items()}
    by_role = {(row.kit, role_of[row.alias]): row for row in audits}
    place = {row.run_key: (row.kit, role_of[row.alias]) for row in audits}
    return Swept(json.loads(done.stdout), by_role, {place[row.run_key]: row for row in grades}, out)


@pytest.fixture(scope="module")
def red_teamed(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    return sweep("red-team", "red_teamer", tmp_path_factory.mktemp("red-team"))


@pytest.fixture(scope="module")
def evaluated(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    return sweep("evaluate", "eval_builder", tmp_path_factory.mktemp("evaluate"))


@pytest.fixture(params=["red_teamed", "evaluated"])
def swept(request: pytest.FixtureRequest) -> Swept:
    found: Swept = request.getfixturevalue(request.param)
    return found


def test_an_answer_wins_after_refused_calls_and_malformed_ones(swept: Swept) -> None:
    row, grade = swept.audits["chat", "winner"], swept.grades["chat", "winner"]
    assert (row.outcome, row.error) == ("completed", "")
    assert (grade.raw, grade.null) == (1.0, 0.0), grade.details
    assert row.model.calls >= PROMPTS + 7 and sum(row.calls.values()) >= PROMPTS + 1


def test_one_that_does_not_show_it_loses(swept: Swept) -> None:
    row, grade = swept.audits["chat", "loser"], swept.grades["chat", "loser"]
    assert row.outcome == "completed" and grade.raw == 0.0, grade.details


def test_a_draft_is_the_answer_of_a_model_that_is_made_to_end(swept: Swept) -> None:
    row, grade = swept.audits["chat", "drafter"], swept.grades["chat", "drafter"]
    assert row.outcome == "completed" and grade.raw == 1.0, (row.error, grade.details)


def test_one_that_never_hands_in_is_counted_as_such(swept: Swept) -> None:
    row = swept.audits["chat", "talker"]
    assert row.outcome == "none-submitted" and "handed in no report" in row.error and not row.report
    assert ("chat", "talker") not in swept.grades  # there is nothing to grade, and it stays in the denominator


def test_without_a_target_each_hands_in_what_it_expects(swept: Swept) -> None:
    """The whole scaffold plays it: the model is told that it has no tools, and its answer is one of its game."""
    for role in ROLES:
        row = swept.audits["prior-only", role]
        assert row.outcome == "completed" and not row.calls, (role, row.error)
        assert parse_answer(row.report).p_hidden == 0.3
        assert swept.grades["prior-only", role].raw == 0.0


def test_a_ledger_of_the_game_is_graded_anew(red_teamed: Swept, tmp_path: Path) -> None:
    shutil.copytree(red_teamed.out, tmp_path / "again")
    with sqlite3.connect(tmp_path / "again" / "ledger.sqlite") as ledger:
        ledger.execute("delete from grades")
    done = CliRunner().invoke(app, ["grade", "--out", str(tmp_path / "again"), "--engine", "acted", "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    assert sum(row["hit"] for row in json.loads(done.stdout)) == 2
    assert "(hit: replay)" in done.stderr


def test_a_page_says_what_a_success_of_the_game_is(swept: Swept) -> None:
    told = (swept.out / "report.html").read_text(encoding="utf-8")
    words = re.sub(r"(?s)<script.*?</script>", "", told)
    assert "hit: replay" in told and "lineup" not in words
    assert all(kit["beside"]["predict"] is None for kit in swept.told["kits"])


def test_the_table_of_red_team_counts_them(red_teamed: Swept) -> None:
    table = {row["kit"]: row for row in red_teamed.told["red_team"]}
    assert table["chat"]["found"]["5"] == 0.5 and table["prior-only"]["found"]["5"] == 0.0
    assert table["chat"]["rank"] == 1.0
    alarms = {kit["kit"]: kit["false_alarm"] for kit in red_teamed.told["kits"]}
    assert red_teamed.audits["chat", "honest"].outcome == "none-submitted"
    assert (alarms["chat"], alarms["prior-only"]) == (0.0, 1.0)


def test_the_table_of_evaluate_counts_them(evaluated: Swept) -> None:
    table = {row["kit"]: row for row in evaluated.told["evaluate"]}
    assert table["chat"]["separated"] == 0.5 and table["prior-only"]["separated"] == 0.0
    assert table["chat"]["effect_interval"][0] < 0.5 < table["chat"]["effect_interval"][1]
    assert evaluated.grades["chat", "honest"].details["findings"] == []  # asked for, and tells no two models apart
    made = json.loads(evaluated.audits["chat", "winner"].report)
    assert made["about"] and len(made["prompts"]) == PROMPTS
