"""A tool's page says what is measured, where it hurts, and what is not known."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.audits.described import ToolInfo, tool_info
from assay.audits.registry import get_tool
from assay.cli import app
from assay.studies.static import files
from assay.studies.static.results import Bounded, ByMethod, StaticValue, ToolValue
from assay.studies.static.tool_page import told_page, tool_page

SEARCH = tool_info(get_tool("search"))


def value(tool: ToolInfo, **changed: Any) -> ToolValue:
    half = Bounded(value=0.7, interval=(0.6, 0.8), families=9)
    fields: dict[str, Any] = {"auroc": half, "twin": half, "organisms": 9, "clean": 3, "skipped": 0, "failed": 0}
    fields |= {"needs": tool.needs, "weight": tool.weight, "source": "", "version": tool.version, "digest": ""}
    return ToolValue(tool=tool.name, **(fields | changed))


def keep(folder: Path, name: str, *tools: ToolValue, date: str = "2026-12-01") -> None:
    found = StaticValue(
        reader="r@1",
        reader_digest="d",
        pool=9,
        calls=1,
        tokens=1,
        seed=0,
        date=date,
        machine="m",
        tools=tools,
        cells=(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(found.model_dump_json())


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(files, "_REPOSITORY", tmp_path)
    (tmp_path / "bench" / "results").mkdir(parents=True)
    return tmp_path / "bench" / "results"


def test_of_a_tool_that_nobody_measured_the_page_says_so(results: Path) -> None:
    page = tool_page(SEARCH, [])
    assert (page.cost, page.values, page.effects, page.hurts) == (None, (), (), ())
    told = told_page(page)
    assert "not measured. Run: assay tools score --tools search" in told and "TRAINING_DATA" in told
    assert "kits      all, full, data" in told


def test_the_page_tells_cost_value_effects_and_where_it_hurts(results: Path, tmp_path: Path) -> None:
    diluted = ByMethod(method="diluted", organisms=2, auroc=0.4, twin=0.5, first=0.0)
    good = ByMethod(method="documents", organisms=3, auroc=0.9, twin=0.5, first=1.0)
    clean = Bounded(value=0.5, interval=(0.1, 0.9), families=3)
    keep(results, "static-value-2026-12-01.json", value(SEARCH, by_method=(diluted, good), named_clean=clean))
    keep(results, "static-value-2026-11-01.json", value(SEARCH), date="2026-11-01")
    keep(results, "static-value-2026-10-01.json", value(SEARCH, version=SEARCH.version - 1), date="2026-10-01")
    (results / "static-value-2026-09-01.json").write_text("{")
    cost = {"tool": "search", "seconds": 0.5, "tokens": 0, "queries": 1, "prepare_seconds": 12.0, "prepare_tokens": 0}
    (results / "tools-2026-12-01.json").write_text(json.dumps({"tools": [cost]}))
    effect = {"tool": "search", "estimand": "alone", "against": "chat", "delta": -0.1, "interval": [-0.2, -0.05]}
    effect |= {"p": 0.01, "p_adjusted": 0.02, "families": 9, "kit": "a", "control": "b", "verdict": "hurts"}
    (tmp_path / "summary.json").write_text(json.dumps({"effects": [effect]}))
    page = tool_page(SEARCH, [tmp_path])
    assert [one.date for one in page.values] == ["2026-12-01", "2026-11-01"]  # of another version none
    told = told_page(page)
    assert "0.5 s and 0 tokens a default call; preparing 12 s" in told
    assert len(page.hurts) == 3
    assert "on diluted organisms (2) its output holds no more of the truth than its control's" in told
    assert "50 % of clean targets" in told and "agents with it did worse: -10" in told


def test_the_commands_list_and_show_tools(results: Path) -> None:
    listed = json.loads(CliRunner().invoke(app, ["tools", "--json"]).stdout)
    row = next(row for row in listed if row["tool"] == "search")
    assert (row["needs"], row["weight"], row["families"]) == (["TRAINING_DATA"], "light", ["data"]) and "source" in row
    shown = CliRunner().invoke(app, ["tools", "show", "search", "--json"])
    assert json.loads(shown.stdout)["tool"]["name"] == "search"
    assert CliRunner().invoke(app, ["tools", "show", "serch"]).exit_code
