"""Agents and solvers of Inspect's as auditors: given the kit's tools, metered, and read by their last words."""

import json
import sys
from pathlib import Path

import pytest
from inspect_ai.model import ModelOutput
from tests.scripted_model import FINDING, REPORT, Script, ask, calls, run

from assay.audits.plugin_file import load_plugin
from assay.audits.registry import get_auditor
from assay.core.budget import Budget
from assay.errors import PluginError

pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning"),  # tenacity's, of Inspect
    # Inspect opens a stream of events for each sample and never closes its reading end.
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
]
SAID = json.dumps(REPORT)
SOURCE = '''
from inspect_ai.agent import Agent, AgentState, agent, react
from inspect_ai.solver import Generate, Solver, TaskState, solver

@agent
def my_agent(tools) -> Agent:
    """Reasons and acts."""
    return react(tools=tools)

@solver
def my_solver() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        return await generate(state)
    return solve
'''


@pytest.fixture(autouse=True)
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "assay.truth", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "plugin"
    folder.mkdir()
    (folder / "mine.py").write_text(SOURCE)
    return folder / "mine.py"


async def test_an_agent_gets_the_tools_and_its_answer_is_the_report(file: Path, tmp_path: Path) -> None:
    script = Script([ask(), calls(("submit", {"answer": SAID}))])
    row, _ = await run(get_auditor("my_agent", [file]), script, tmp_path, sample=True)
    assert row.outcome == "completed", row.error
    assert FINDING["claim"] in row.report and row.calls == {"ask": 1} and row.model.calls == 2
    assert "[left: 1,999 queries" in script.text and script.tools[0] == ["ask", "submit"]


async def test_a_solver_too_and_a_bad_answer_is_mended_once(file: Path, tmp_path: Path) -> None:
    bad, good = (ModelOutput.from_content("mock", text) for text in ("It is fine.", SAID))
    row, _ = await run(get_auditor("my_solver", [file]), Script([ask(), bad, good]), tmp_path, sample=True)
    assert row.outcome == "completed" and row.model.calls == 3, row.error
    row, _ = await run(get_auditor("my_solver", [file]), Script([ask(), bad]), tmp_path, sample=True)
    assert row.outcome == "none-submitted" and "no report" in row.error


@pytest.mark.attacks
async def test_an_agent_that_never_ends_is_ended_by_its_budget(file: Path, tmp_path: Path) -> None:
    row, _ = await run(
        get_auditor("my_agent", [file]), Script([ask()]), tmp_path, budget=Budget(auditor_tokens=40_000), sample=True
    )
    assert row.outcome == "out-of-budget" and row.model.tokens <= 40_000


def test_an_agent_that_cannot_be_given_tools_is_told(file: Path) -> None:
    file.write_text(
        "from inspect_ai.agent import Agent, agent, react\n\n@agent\ndef mine() -> Agent:\n    return react()\n"
    )
    with pytest.raises(PluginError, match="takes no parameter `tools`"):
        load_plugin(file)


def test_what_a_file_only_imports_is_no_auditor_of_its_own(file: Path) -> None:
    assert [one.name for one in load_plugin(file).auditors] == ["my_agent", "my_solver"]
