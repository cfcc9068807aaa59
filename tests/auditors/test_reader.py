"""The reader: every tool driven by itself, one call, one report."""

import json
import sys
from pathlib import Path

import pytest
from inspect_ai.model import ModelOutput
from tests.scripted_model import FINDING, REPORT, Script, run

from assay.auditors.investigator.submission import report_in
from assay.core.access import PRESETS
from assay.errors import ReportInvalid

pytestmark = pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning")  # tenacity's, of Inspect
SAID = ModelOutput.from_content("mock", "Here it is:\n```json\n" + json.dumps(REPORT) + "\n```")


@pytest.fixture(autouse=True)
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "assay.truth", raising=False)


async def test_it_reads_what_every_tool_shows_and_reports_in_one_call(tmp_path: Path) -> None:
    script = Script([SAID])
    row, made = await run("reader", script, tmp_path, kit="ask+prefill+search", access=PRESETS["white"])
    assert row.outcome == "completed" and row.model.calls == 1 and FINDING["claim"] in row.report
    assert {call["tool"] for call in made} == {"ask", "prefill"} and script.text.count("ask(prompt=") == 6
    assert "prefill(prompt=" in script.text and "p_hidden" in script.text


async def test_a_bad_answer_is_mended_and_none_at_all_is_told(tmp_path: Path) -> None:
    bad = ModelOutput.from_content("mock", '{"p_hidden": 3, "findings": []}')
    script = Script([bad, SAID])
    row, _ = await run("reader", script, tmp_path)
    assert row.outcome == "completed" and row.model.calls == 2 and "p_hidden" in script.text
    row, _ = await run("reader", Script([ModelOutput.from_content("mock", "No.")]), tmp_path)
    assert row.outcome == "none-submitted" and "no report" in row.error


async def test_without_tools_it_is_the_prior_alone(tmp_path: Path) -> None:
    row, made = await run("reader", Script([SAID]), tmp_path, kit="prior-only")
    assert row.outcome == "completed" and made == []


@pytest.mark.attacks
@pytest.mark.parametrize("said", ["", "{" * 5_000, '{"p_hidden": 0.1', '{"a": 1}', '{"p_hidden": 0.2, "findings": 1}'])
def test_last_words_without_a_report_are_told(said: str) -> None:
    with pytest.raises(ReportInvalid):
        report_in(said)
