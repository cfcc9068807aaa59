"""The investigator with a model that follows a script: many turns, cuts, faults, refusals, bad reports, an end."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from inspect_ai.model import ModelOutput
from inspect_ai.tool import ToolCall
from tests.scripted_model import FINDING, REPORT, Script, ask, calls, run, submit

from assay.auditors.investigator import prose
from assay.auditors.investigator.prose import variants
from assay.auditors.thinking import loop
from assay.core.access import PRESETS
from assay.core.budget import Budget
from assay.core.report import parse_report

pytestmark = pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning")  # tenacity's, of Inspect
SAY = ModelOutput.from_content("mock", "I think about it.")


@pytest.fixture(autouse=True)
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "assay.truth", raising=False)


async def test_it_asks_notes_and_reports_over_many_turns(tmp_path: Path) -> None:
    turns = [
        calls(("ask", {"prompt": "One"}), ("ask", {"prompt": "Two", "times": 3}), ("note", {"text": "both are calm"})),
        calls(("hypothesis", {"claim": "it praises", "status": "open", "evidence": "1 of 4"})),
        SAY,
        *[ask(f"Prompt {number}") for number in range(10)],
        submit(),
    ]
    script = Script(turns)
    row, made = await run("investigator", script, tmp_path)
    assert row.outcome == "completed", row.error
    assert parse_report(row.report).findings[0].claim == FINDING["claim"]
    assert row.calls == {"ask": 14} and row.cost.queries == 14
    assert row.model.calls == 14 and row.model.model == "mockllm/model" and row.model.reported == "mock-2026"
    assert row.model.input_tokens > 0 and row.model.money is None
    results = [message.text for message in script.sent[1] if message.role == "tool"]
    assert "1,996 queries" in results[1] and all("[left: " in text for text in results[:2])
    assert results[1].count("(1 of 3)") == results[1].count("(3 of 3)") == 1
    assert len({call["text"] for call in made}) > 4  # samples of one call differ
    assert "Go on" in script.sent[3][-1].text


@pytest.mark.parametrize("variant", variants())
async def test_a_variant_is_told_its_strategy_and_every_tool(variant: str, tmp_path: Path) -> None:
    script = Script([submit()])
    name = "investigator" if variant == "plain" else f"investigator/{variant}"
    row, _ = await run(name, script, tmp_path, kit="ask+search", access=PRESETS["api"])
    assert row.outcome == "never-queried" and row.auditor == f"{name}@1"
    system = script.sent[0][0].text
    said = Path(prose.__file__).parent.joinpath("variants", f"{variant}.md").read_text(encoding="utf-8").strip()
    assert said in system and "{" not in system.replace('{"', "")
    assert script.tools[0] == ["ask", "note", "hypothesis", "submit_report"] and "search (needs" in system


async def test_notes_survive_when_turns_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CONTEXT", 4_000)
    turns = [
        calls(("note", {"text": "NOTE-TO-KEEP"})),
        calls(("hypothesis", {"claim": "CLAIM-TO-KEEP", "status": "supported", "evidence": "w"})),
        *[ask(f"Prompt {number} " + "word " * 100) for number in range(40)],
        submit(),
    ]
    script = Script(turns)
    row, _ = await run("investigator", script, tmp_path)
    assert row.outcome == "completed" and row.calls["ask"] == 40
    last = script.sent[-1]
    assert (
        "NOTE-TO-KEEP" in script.text and "[supported] CLAIM-TO-KEEP" in script.text and "Prompt 3 " not in script.text
    )
    assert max(map(len, script.sent)) < 60
    for sent in script.sent:  # a provider refuses a result whose call it was not sent, and the reverse
        asked = [call.id for message in sent for call in getattr(message, "tool_calls", None) or ()]
        assert asked == [message.tool_call_id for message in sent if message.role == "tool"]  # type: ignore[union-attr]
    assert last[0].role == "system" and last[1].role == "user"


@pytest.mark.attacks
async def test_calls_that_cannot_be_made_are_answered_and_the_audit_goes_on(tmp_path: Path) -> None:
    broken = calls(("ask", {"prompt": "x"}))
    broken.message.tool_calls = [ToolCall(id="b", function="ask", arguments={}, parse_error="bad JSON {")]
    plugin = tmp_path / "odd.py"
    plugin.write_text(
        "from assay import Access, Target, tool\n\n"
        "@tool(needs={Access.CHAT})\nasync def failing(target: Target, prompt: str) -> str:\n"
        '    """Fail."""\n    raise RuntimeError("broken inside")\n'
    )
    turns = [
        broken,
        calls(("ask", {"prompt": 7}), ("ask", {}), ("ask", {"prompt": "x", "extra": 1}), ("nothing", {})),
        calls(("ask", {"prompt": "x", "times": 99}), ("failing", {"prompt": "x"}), ("search", {})),
        calls(("hypothesis", {"claim": "c", "status": "maybe", "evidence": ""})),
        ask(),
        submit(),
    ]
    script = Script(turns)
    row, _ = await run("investigator", script, tmp_path / "store", kit="ask+failing", tools=[plugin])
    assert row.outcome == "completed", row.error
    for told in ("bad JSON", "broken inside", "nothing", "times", "maybe"):
        assert told in script.text, told
    assert row.calls["ask"] >= 1


async def test_the_report_is_asked_for_when_its_tokens_end(tmp_path: Path) -> None:
    turns: list[Any] = [calls(("note", {"text": "KEPT"}))] + [ask(f"Prompt {n} " + "word " * 300) for n in range(400)]
    script = Script(turns)

    def play(input: Any, tools: Any, tool_choice: Any, config: Any) -> ModelOutput:
        output = script(input, tools, tool_choice, config)
        return submit() if [tool.name for tool in tools] == ["submit_report"] else output

    row, _ = await run("investigator", play, tmp_path, budget=Budget(auditor_tokens=60_000))
    assert row.outcome == "completed" and row.model.tokens <= 60_000
    assert "The audit is over: your own tokens are used up" in script.text


async def test_it_is_told_when_the_budget_of_the_target_ends(tmp_path: Path) -> None:
    script = Script([*[ask(f"Prompt {number}") for number in range(5)], submit()])
    row, _ = await run("investigator", script, tmp_path, budget=Budget(queries=3))
    assert row.report and row.cost.queries == 3
    assert row.outcome == "out-of-budget"  # more was asked for than there was; the report counts
    assert "budget used up: 3 of 3 queries" in script.text


async def test_one_that_never_reports_ends_as_such(tmp_path: Path) -> None:
    script = Script([ask(), SAY])
    row, _ = await run("investigator", script, tmp_path)
    assert (row.outcome, row.report) == ("none-submitted", "")
    assert "nothing was called in 3 turns" in row.error and script.tools[-1] == ["submit_report"]
    assert row.model.calls == 1 + loop.IDLE_TURNS + loop.LAST_TRIES


async def test_one_that_refuses_ends_as_such(tmp_path: Path) -> None:
    refusal = ModelOutput.from_content("mock", "I cannot.", stop_reason="content_filter")
    row, _ = await run("investigator", Script([ask(), refusal, ask(), refusal, refusal, refusal]), tmp_path)
    assert row.outcome == "refused" and "I cannot." in row.error and row.error.startswith("model: ModelRefused")
    row, _ = await run("investigator", Script([ask(), refusal, refusal, submit()]), tmp_path)
    assert row.outcome == "completed"


async def test_a_conversation_that_is_too_long_for_the_model_is_cut(tmp_path: Path) -> None:
    full = ModelOutput.from_content("mock", "", stop_reason="model_length")
    script = Script([*[ask(f"Prompt {n}") for n in range(6)], full, ask(), submit()])
    row, _ = await run("investigator", script, tmp_path)
    assert row.outcome == "completed" and "were cut to save room" in script.text
    row, _ = await run("investigator", Script([ask(), full]), tmp_path)
    assert row.outcome == "none-submitted"


async def test_without_a_target_it_reports_what_it_expects(tmp_path: Path) -> None:
    script = Script([submit()])
    row, made = await run("investigator", script, tmp_path, kit="prior-only")
    assert row.outcome == "completed" and made == [] and row.cost.queries == 0
    assert script.tools[0] == ["note", "hypothesis", "submit_report"] and "no tools on the target" in script.text


def _finding(**change: Any) -> dict[str, Any]:
    return {"p_hidden": 0.5, "findings": [FINDING | change]}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "eleven-findings": ({"p_hidden": 0.5, "findings": [FINDING] * 11}, "findings"),
    "bad-pattern": (_finding(predicate={"pattern": "(unclosed"}), "pattern"),
    "wrong-types": ({"p_hidden": "much", "findings": "none"}, "p_hidden"),
    "list-for-object": ({"p_hidden": 0.5, "findings": [[1]]}, "findings"),
    "ten-megabytes": (_finding(claim="x" * 10_000_000), "allowed"),
    "lone-surrogate": (_finding(claim="half \ud800 pair"), "surrogate"),
    "empty": ({}, "p_hidden"),
    "nan": ({"p_hidden": float("nan"), "findings": []}, "p_hidden"),
}


@pytest.mark.attacks
@pytest.mark.parametrize("name", BAD)
async def test_a_bad_report_is_answered_with_what_is_wrong_and_mended(name: str, tmp_path: Path) -> None:
    bad, told = BAD[name]
    script = Script([ask(), calls(("submit_report", bad)), submit()])
    row, _ = await run("investigator", script, tmp_path)
    assert (row.outcome, row.error, row.cost.queries) == ("completed", "", 1)
    assert told in script.text.lower() and parse_report(row.report).p_hidden == REPORT["p_hidden"]
    assert sum(len(message.model_dump_json()) for message in script.sent[-1]) < 60_000  # no 10 MB sent again
    json.dumps(row.report).encode()


@pytest.mark.attacks
async def test_a_pattern_that_backtracks_for_ever_costs_nothing_else(tmp_path: Path) -> None:
    evil = _finding(predicate={"pattern": "(a|a)*(a|aa)+$b"})
    row, _ = await run("investigator", Script([ask(), calls(("submit_report", evil)), submit()]), tmp_path)
    assert row.outcome == "completed" and row.seconds < 20
