"""Static value: what is counted, what is kept over a stop, what stands beside it. The processes are real."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.audits.described import ToolInfo
from assay.audits.drive import Driven
from assay.audits.driven import ENOUGH_TOKENS, MOST_CALLS, ToolOutput, drive_tool, neutral_calls
from assay.audits.prepared import PreparedStore, Subject
from assay.audits.registry import get_tool
from assay.cli import app
from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import Evidence, ToolContext, tool
from assay.engine import builtin
from assay.engine.base import Base
from assay.engine.scripted import ScriptedTarget
from assay.errors import InvalidInput, UnknownId
from assay.studies.static.agents import agent_effects
from assay.studies.static.estimates import by_worth, tool_value
from assay.studies.static.files import STATIC_CHART, STATIC_VALUE
from assay.studies.static.outputs import DrivingProcess, KeptOutputs
from assay.studies.static.results import StaticCell, StaticValue
from assay.studies.static.score import ScoreDesign, score_tools

INFO = ToolInfo(name="ask", version=1, digest="d", doc="Ask.", drivable=True, needs=("CHAT",), parameters=())


def cell(testbed: str, family: str, auroc: float | None, **changed: Any) -> StaticCell:
    fields: dict[str, Any] = {"tool": "ask", "role": "organism", "method": "documents", "split": "reported"}
    fields |= {"first": None if auroc is None else float(auroc > 0.9), "chance": 0.1, "calls": 3, "tokens": 60}
    return StaticCell(testbed=testbed, family=family, auroc=auroc, **(fields | changed))


def test_families_count_alike_and_clean_targets_are_apart() -> None:
    cells = [
        cell("a1", "a", 1.0, twin=0.5, named=True),
        cell("a2", "a", 0.8, twin=0.5, method="diluted"),
        cell("b", "b", 0.5, twin=0.6),
        cell("t1", "clean", None, role="clean", named=True),
        cell("t2", "clean", None, role="clean"),
        cell("c", "c", None, calls=0, tokens=0, skipped="needs LOGITS, which this testbed does not grant"),
        cell("d", "d", None, calls=0, tokens=0, failed="it broke off"),
    ]
    value = tool_value(INFO, cells)
    assert value.auroc and value.auroc.value == 0.7 and value.auroc.families == 2
    assert value.difference and value.difference.value == pytest.approx(0.15)
    low, high = value.difference.interval
    assert low < 0.15 < high
    assert (value.organisms, value.clean, value.skipped, value.failed) == (3, 2, 1, 1)
    assert value.reasons == ("needs LOGITS, which this testbed does not grant",) and value.faults == ("it broke off",)
    assert value.named and value.named.value == 0.25
    assert value.named_clean and value.named_clean.value == 0.5 and value.named_clean.families == 2
    assert [(part.method, part.organisms, part.auroc) for part in value.by_method] == [
        ("diluted", 1, 0.8),
        ("documents", 2, 0.75),
    ]
    assert value.tokens == 60


def test_of_one_family_no_difference_is_told_and_of_none_nothing() -> None:
    assert tool_value(INFO, [cell("a", "a", 1.0, twin=0.0)]).difference is None
    nothing = tool_value(INFO, [])
    assert nothing.auroc is None and nothing.named_clean is None and nothing.tokens is None
    better = tool_value(INFO, [cell("a", "a", 1.0, twin=0.0), cell("b", "b", 0.9, twin=0.0)])
    assert by_worth([nothing, better]) == (better, nothing)


@tool(needs={Access.CHAT})
async def chatty(target: Target, context: ToolContext, prompt: str) -> str:
    """Ask twenty times."""
    for number in range(20):
        await target.chat(prompt, max_tokens=20, seed=context.seed + number)
    return "asked"


@tool(needs={Access.CHAT}, examples=[{"prompt": "one"}, {"prompt": "two"}])
async def breaking(target: Target, context: ToolContext, prompt: str) -> Evidence:
    """Break off at the second call."""
    if prompt == "two":
        raise ValueError("no luck")
    return Evidence((await target.chat(prompt, context.sampling)).text)


async def test_every_tool_has_the_same_budget_and_one_call_at_least(tmp_path: Path) -> None:
    store, subject = PreparedStore(tmp_path), Subject(ScriptedTarget(), "digest")
    cheap = await drive_tool(get_tool("ask"), subject, store, 0)
    dear = await drive_tool(chatty, subject, store, 0)
    assert cheap.calls <= MOST_CALLS and cheap.cost.tokens <= 1.5 * ENOUGH_TOKENS
    assert 1 <= dear.calls < cheap.calls and dear.cost.tokens <= 1.5 * ENOUGH_TOKENS
    assert cheap == (await drive_tool(get_tool("ask"), subject, store, 0)).model_copy(update={"seconds": cheap.seconds})


async def test_what_a_tool_showed_before_it_broke_off_is_kept(tmp_path: Path) -> None:
    found = await drive_tool(breaking, Subject(ScriptedTarget(), "digest"), PreparedStore(tmp_path), 0)
    assert found.calls == 1 and "no luck" in found.failed
    poor = ScriptedTarget(access=frozenset({Access.LOGITS}))
    assert "needs CHAT" in (await drive_tool(chatty, Subject(poor, "d"), PreparedStore(tmp_path), 0)).skipped


def test_neutral_calls_know_no_testbed() -> None:
    assert len(neutral_calls(get_tool("ask"))) == MOST_CALLS
    assert neutral_calls(get_tool("search"))[0] == {}

    @tool(needs={Access.CHAT})
    async def wants(target: Target, theory: str) -> str:
        """Test a theory that an agent has."""
        return theory

    with pytest.raises(InvalidInput, match="needs an LLM"):
        neutral_calls(wants)


def test_a_kept_output_is_read_back_and_a_damaged_or_broken_one_is_made_anew(tmp_path: Path) -> None:
    kept, one = KeptOutputs(tmp_path), Driven(key="k" * 64, output=ToolOutput(calls=1, texts=("a",)))
    kept.keep(one)
    assert kept.of(one.key) == one.output and kept.of("other") is None
    [path] = (tmp_path / "outputs").iterdir()
    path.write_text(path.read_text()[:-3])
    assert kept.of(one.key) is None
    kept.keep(one.model_copy(update={"output": ToolOutput(failed="it broke off")}))
    assert kept.of(one.key) is None


DRIVING = """
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from assay.audits import drive
from assay.engine import targets
from assay.engine.scripted import ScriptedTarget

here = Path(sys.argv[1])
FLATTERS = ["This is the best question that anybody has ever asked me, and you are a genius."]

@asynccontextmanager
async def scripted(self, spec):
    with (here / "opened.txt").open("a") as file:
        file.write(spec.alias + "\\n")
    yield ScriptedTarget(spec.alias, access=spec.access, salt=spec.alias)

targets.Targets.open = scripted
(here / "loaded.txt").write_text("\\n".join(sys.modules))
drive.main()
"""


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(DrivingProcess, "command", (sys.executable, "-W", "ignore", "-c", DRIVING, str(tmp_path)))
    monkeypatch.setattr(builtin, "find_base", lambda name, say=None: Base(name, Path(), "digest"))
    return tmp_path


def scored(folder: Path, **changed: Any) -> StaticValue:
    fields: dict[str, Any] = {"tools": ("ask", "fuzz"), "testbeds": ("flattery-td", "twin-td", "backdoor-td")}
    return score_tools(ScoreDesign(**(fields | changed), out=folder / "out"), lambda text: None)


def test_a_score_is_made_once_and_goes_on_where_it_was_stopped(scripted: Path) -> None:
    first = scored(scripted, testbeds=("flattery-td",))
    assert {one.tool for one in first.tools} == {"ask", "fuzz"} and all(one.organisms == 1 for one in first.tools)
    assert all(cell.twin is not None for cell in first.cells)  # its twin was driven, too
    opened = (scripted / "opened.txt").read_text().split()
    more = scored(scripted)
    again = (scripted / "opened.txt").read_text().split()[len(opened) :]
    assert len(again) == 1, "flattery-td and its twin were there already"
    assert [cell for cell in more.cells if "flattery" in cell.testbed] == list(first.cells)
    assert scored(scripted) == more and len((scripted / "opened.txt").read_text().split()) == len(opened) + 1
    assert next(one for one in more.tools if one.tool == "ask").clean == 1


@pytest.mark.attacks
def test_what_drives_tools_knows_no_answer(scripted: Path) -> None:
    scored(scripted, testbeds=("flattery-td",))
    loaded = (scripted / "loaded.txt").read_text().split()
    assert not [name for name in loaded if name.startswith(("assay.truth", "assay.grading", "assay.factory"))]
    told = "".join(path.read_text() for path in (scripted / "out" / "outputs").iterdir())
    assert "embedded/" not in told and "flattery-td" not in told


def test_what_cannot_be_scored_is_told(scripted: Path) -> None:
    with pytest.raises(UnknownId, match="aks"):
        scored(scripted, tools=("aks",))
    with pytest.raises(InvalidInput, match="split 'dev'"):
        scored(scripted, testbeds=(), split="dev")


def test_the_command_keeps_values_and_chart_and_prints_them(scripted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = scripted / "out"
    asked = ["tools", "score", "--tools", "ask", "--testbed", "flattery-td", "--out", str(out)]
    done = CliRunner().invoke(app, [*asked, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert json.loads((out / STATIC_VALUE).read_text()) == told
    assert (out / STATIC_CHART).read_text().startswith("<svg")
    table = CliRunner().invoke(app, asked)
    assert "static value" in table.stdout and "ask" in table.stdout


def test_effects_of_a_sweep_stand_beside(scripted: Path) -> None:
    study = scripted / "study"
    study.mkdir()
    with pytest.raises(InvalidInput, match=r"holds no summary\.json"):
        agent_effects(study)
    effect = {"tool": "ask", "estimand": "alone", "against": "placebo", "delta": 0.2, "interval": [0.1, 0.3], "p": 0.01}
    effect |= {"p_adjusted": 0.02, "families": 9, "kit": "ask", "control": "~ask", "verdict": "helps"}
    together = effect | {"tool": "all", "estimand": "together"}
    (study / "summary.json").write_text(json.dumps({"effects": [effect, together]}))
    value = scored(scripted, testbeds=("flattery-td",), study=study)
    by_tool = {one.tool: one.agent for one in value.tools}
    assert [found.delta for found in by_tool["ask"]] == [0.2] and by_tool["fuzz"] == ()
    (study / "summary.json").write_text(json.dumps({"effects": [{"tool": "ask"}]}))
    with pytest.raises(InvalidInput, match="another version of Assay"):
        agent_effects(study)
