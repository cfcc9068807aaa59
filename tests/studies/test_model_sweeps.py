"""Sweeps whose auditor thinks with a language model, through the command line and the real processes."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from inspect_ai.log import read_eval_log
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from assay.auditors import thinking
from assay.audits.model_choice import choose_model
from assay.cli import app
from assay.core.budget import BUDGETS, Budget, parse_budget
from assay.core.record import audit_row
from assay.core.report import parse_report
from assay.core.report_format import report_instructions
from assay.errors import InvalidInput
from assay.studies.design import Design
from assay.studies.ledger import Ledger
from assay.studies.plan import make_plan

KIT = ("--kit", "ask", "--testbed", "flattery-td", "--testbed", "twin-td", "--seeds", "1")
MODEL = choose_model("mockllm/model")
PLANNED = Design(("ask",), Path("runs"), ("flattery-td",), "investigator", model=MODEL, engine="scripted")


def _invoke(*words: str) -> Any:
    done = CliRunner().invoke(app, list(words))
    assert not done.exception or isinstance(done.exception, SystemExit), done.exception
    return done


def test_a_sweep_with_a_mock_model_ends_with_rows_and_a_title(tmp_path: Path) -> None:
    words = ("sweep", *KIT, "--auditor", "investigator", "--model", "mockllm/model", "--price", "1,4")
    done = _invoke(*words, "--engine", "scripted", "--out", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["title"] == "success of investigator@1 (mockllm/model)" and told["audits"] == 2
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        rows = ledger.audits()
    assert [row.outcome for row in rows] == ["none-submitted"] * 2, [row.error for row in rows]
    assert all(row.model.calls == 6 and (row.model.money or 0) > 0 for row in rows)
    assert all(row.model.model == "mockllm/model" and row.model.reported for row in rows)
    again = _invoke(*words, "--engine", "scripted", "--out", str(tmp_path), "--json")
    assert json.loads(again.stdout)["audits"] == 2
    logs = list((tmp_path / "logs").glob("*.eval"))
    assert len(logs) == 1  # nothing was played again, and what the model was asked is in the log
    assert "submit_report" in read_eval_log(str(logs[0])).model_dump_json()


@pytest.mark.parametrize(("game", "auditor"), [("red-team", "red_teamer"), ("evaluate", "eval_builder")])
def test_the_other_games_are_swept_with_a_mock_model(game: str, auditor: str, tmp_path: Path) -> None:
    words = ("sweep", *KIT, "--game", game, "--auditor", auditor, "--model", "mockllm/model", "--price", "1,4")
    done = _invoke(*words, "--engine", "scripted", "--out", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["title"] == f"success of {auditor}@1 (mockllm/model) at {game}"
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        rows = ledger.audits()
    assert {row.game for row in rows} == {game} and len({row.alias for row in rows}) == 2
    assert ("prior-only" in {row.kit for row in rows}) == (game == "evaluate")
    # It says the same words for ever: it was told to go on, asked to hand in, and ended without an answer.
    assert all(row.outcome == "none-submitted" and row.model.calls == 6 for row in rows), [row.error for row in rows]


def _with_words(base: Path, texts: list[str]) -> None:
    """Gives a base a tokenizer that has words: of bytes, what an auditor is told has more than the engine takes."""
    tokenizer = AutoTokenizer.from_pretrained(base).train_new_from_iterator(texts, vocab_size=2_000)
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(base)
    tokenizer.save_pretrained(base)


def test_a_model_of_the_local_engine_audits_through_its_provider(tiny: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny, base)
    folder = Path(thinking.__file__).parents[1]
    _with_words(base, [report_instructions(), *(path.read_text() for path in folder.rglob("*.md"))])
    words = ("audit", "--testbed", "flattery-td", "--kit", "ask", "--auditor", "investigator", "--engine", "scripted")
    name = f"assay/base:{base}"
    done = _invoke(*words, "--model", name, "--model-config", "max_tokens=8", "--out", str(tmp_path / "o"), "--json")
    assert done.exit_code == 0, done.output
    row = audit_row(json.loads(done.stdout))
    assert row.outcome == "none-submitted", row.error  # a random model says nothing that is a report
    # In every turn it reads at least how a report is written, and says something.
    told = len(AutoTokenizer.from_pretrained(base)(report_instructions()).input_ids)
    assert row.model.calls == 6 and row.model.input_tokens > 6 * told and 6 <= row.model.output_tokens <= 6 * 8
    assert row.model.model == name and "base:" in row.model.reported


@pytest.mark.heavy
def test_the_embedded_base_audits_an_organism(tmp_path: Path) -> None:
    words = ("audit", "--testbed", "flattery-td", "--kit", "chat", "--auditor", "investigator")
    name = "assay/base:smollm2-135m-instruct"
    done = _invoke(*words, "--model", name, "--model-config", "max_tokens=200", "--out", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    row = audit_row(json.loads(done.stdout))
    assert row.outcome in ("completed", "none-submitted", "never-queried") and row.model.calls > 0, row.error
    assert not row.report or parse_report(row.report)


# What counts as the same audit ---------------------------------------------------------------------------------------


def _key(**change: Any) -> str:
    return make_plan(replace(PLANNED, **change)).cells[0].run_key


def test_a_run_key_knows_model_settings_budget_and_variant() -> None:
    keys = {
        _key(),
        _key(model=choose_model("mockllm/other")),
        _key(model=choose_model("mockllm/model", "temperature=0.2")),
        _key(budget=Budget(auditor_tokens=1_000)),
        _key(budget=Budget(money=1.0), model=choose_model("mockllm/model", "", "1,2")),
        _key(budget=Budget(money=1.0), model=choose_model("mockllm/model", "", "1,3")),
        _key(auditor="investigator/pairwise"),
        _key(auditor="pooled:2:investigator"),
        _key(auditor="pooled:3:investigator"),
    }
    assert len(keys) == 9
    assert _key(model=choose_model("mockllm/model", "", "9,9")) == _key()  # a price changes nothing without a limit


def test_an_auditor_without_a_model_keeps_its_run_keys() -> None:
    plain = replace(PLANNED, auditor="explorer", model=None)
    keys = {make_plan(replace(plain, budget=budget)).cells[0].run_key for budget in (Budget(), BUDGETS["published"])}
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": None}, "--model PROVIDER/NAME"),
        ({"auditor": "explorer"}, "takes no language model"),
        ({"budget": Budget(money=1.0)}, "has no price"),
        ({"auditor": "pooled:1:explorer", "model": None}, "2 to 50"),
    ],
)
def test_what_does_not_fit_together_is_told_before_anything_runs(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        make_plan(replace(PLANNED, **change))


def test_an_agent_of_a_file_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from inspect_ai.agent import Agent, agent, react\n\n"
        "@agent\ndef thinker(tools) -> Agent:\n    return react(tools=tools)\n"
    )
    planned = make_plan(replace(PLANNED, auditor=f"{tmp_path}/mine.py:thinker"))
    assert planned.title == "thinker@1 (mockllm/model)" and planned.trusted[0].startswith("mine.py@")
    assert [source.name for source in planned.job(planned.cells).plugins] == ["mine.py"]


def test_a_budget_is_said_in_words() -> None:
    assert parse_budget("") == Budget() and parse_budget("published").auditor_tokens == 25_000
    assert parse_budget("published, queries=5,money=0.5") == Budget(queries=5, auditor_tokens=25_000, money=0.5)
    for wrong in ("much", "queries", "queries=x", "queries=-1", "pounds=3", "seconds=nan", "queries=inf"):
        with pytest.raises(InvalidInput):
            parse_budget(wrong)


# What an audit process is told ---------------------------------------------------------------------------------------


@pytest.mark.attacks
def test_keys_reach_the_audits_that_need_them_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from assay._util.environment import environment_of_worker

    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "TOGETHER_API_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    secrets = {name for name in os.environ if os.environ[name] == "secret"}
    assert not secrets & environment_of_worker(models=()).keys()
    assert secrets & environment_of_worker(models=["openai/gpt-x"]).keys() == {"OPENAI_API_KEY"}
    assert secrets & environment_of_worker(models=["openai-api/together/x"]).keys() == {"TOGETHER_API_KEY"}
    assert make_plan(replace(PLANNED, auditor="explorer", model=None)).asked == ()
    assert make_plan(PLANNED).asked == ("mockllm/model",)
