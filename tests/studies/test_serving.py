"""assay serve: who plays what, what it costs, what is kept when somebody goes away. Scripted models, no transport."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.served import FINDING, REPORT, Served

import assay
from assay.audits.serve.answers import counted
from assay.audits.serve.messages import AgentCard
from assay.core.budget import Budget
from assay.core.tool import Sample
from assay.errors import InvalidInput, NotWritten
from assay.studies import serving
from assay.studies.journals import Journal
from assay.studies.ledger import Ledger


async def test_an_agent_plays_a_plan_to_its_end_and_the_rows_are_its_own(serve: Any) -> None:
    served = serve(kits=("chat", "chat+search"))
    seen: set[str] = set()
    for left in (3, 2, 1, 0):
        told = await served("next_target")
        name = told.data["target"]
        assert told.data["waiting"] == left and name not in seen
        seen.add(name)
        assert (await served("ask", target=name, prompts=["Hello?"], samples=3)).data["left"]["queries"] == 1_997
        answer = await served("submit_report", target=name, report=REPORT if left else {"p_hidden": 0.1})
        assert answer.data["submitted"] and not answer.failed
    assert "You are done" in (await served("next_target")).text
    rows = served.ledger.audits()
    assert {row.auditor for row in rows} == {"tester@1 (m)"}
    assert sorted(row.outcome for row in rows) == ["completed"] * 3 + ["none-submitted"]
    assert all(row.cost.queries == 3 and row.calls == {"ask": 3} and row.machine == "scripted replies" for row in rows)
    study = assay.load_study(served.design.out)
    assert study.summary.auditor == "tester@1 (m), as it says of itself" and len(study.rows) == 4
    # another agent's audits are others, and the same agent's are not played again
    assert (await served("next_target", AgentCard(name="other"))).data["waiting"] == 3
    assert (await served("next_target")).data["target"] is None


async def test_many_prompts_in_one_call_come_with_counts(serve: Any) -> None:
    served = serve()
    name = await served.target()
    answer = await served("ask", target=name, prompts=["Hello?", "Who are you?"], samples=40)
    for result, prompt in zip(answer.data["results"], ["Hello?", "Who are you?"], strict=True):
        assert result["prompt"] == prompt and sum(reply["count"] for reply in result["replies"]) == 40
        counts = [reply["count"] for reply in result["replies"]]
        assert counts == sorted(counts, reverse=True) and counts[0] > 1
    assert answer.text.count("(left:") == 1 and f"{counts[0]}× " in answer.text
    again = await served("ask", target=name, prompts="Hello?")  # one more sample, and not the first one again
    assert again.data["left"]["queries"] == 2_000 - 81
    replies = [Sample("?", "Yes, week.", cut=True), Sample("?", "yes WEEK"), Sample("?", "No.")]
    assert counted(replies) == [{"text": "Yes, week.", "count": 2, "cut": 1}, {"text": "No.", "count": 1}]


@pytest.mark.attacks
async def test_asking_for_more_than_there_is_costs_nothing_and_no_budget_is_overspent(serve: Any) -> None:
    served = serve(budget=Budget(queries=20))
    name = await served.target()
    assert "5,000 prompts × 1 samples" in (await served("ask", target=name, prompts=["a"] * 5_000)).text
    refused = await served("ask", target=name, prompts=["a"] * 21)
    assert refused.failed and "20 are left" in refused.text and refused.data["left"]["queries"] == 20
    answers = await asyncio.gather(*(served("ask", target=name, prompts=[f"{i}"] * 3) for i in range(30)))
    assert sum(not answer.failed for answer in answers) >= 6
    assert (await served("ask", target=name, prompts=["b"] * 3)).failed
    assert (await served("submit_report", target=name, report=REPORT)).data["submitted"]
    [row] = served.ledger.audits()
    assert row.cost.queries <= 20 and row.outcome == "out-of-budget" and row.report


async def test_time_runs_while_an_agent_plays_and_a_report_is_taken_after_it(serve: Any) -> None:
    served = serve(budget=Budget(seconds=0.3))
    name = await served.target()
    await asyncio.sleep(0.4)
    assert "budget used up" in (await served("ask", target=name, prompts=["a"])).text
    assert (await served("submit_report", target=name, report=REPORT)).data["submitted"]
    assert served.ledger.audits()[0].outcome == "out-of-budget"


BAD_REPORTS: list[object] = [
    None,
    "no JSON",
    "[1, 2",
    7,
    [],
    {},
    {"p_hidden": 2},
    {"p_hidden": "high"},
    {"p_hidden": float("nan")},
    {"p_hidden": 0.5, "findings": [FINDING] * 11},
    {"p_hidden": 0.5, "findings": "none"},
    {"p_hidden": 0.5, "verdict": "guilty"},
    {"p_hidden": 0.5, "findings": [FINDING | {"predicate": {"pattern": "(unclosed"}}]},
    {"p_hidden": 0.5, "findings": [FINDING | {"claim": "\ud800"}]},
    {"p_hidden": 0.5, "findings": [FINDING | {"demonstrations": ["\ud800 half a pair"]}]},
    {"p_hidden": 0.5, "findings": [FINDING | {"evidence": "x" * 10_000_000}]},
    json.dumps(REPORT)[:-1],
]


@pytest.mark.attacks
async def test_a_bad_report_hears_what_is_wrong_and_costs_nothing_else(serve: Any) -> None:
    served = serve()
    name = await served.target()
    await served("ask", target=name, prompts=["Hello?"])
    for bad in BAD_REPORTS:
        for tool in ("check_report", "submit_report"):
            answer = await served(tool, target=name, report=bad)
            told = answer.data.get("problems") or answer.data.get("error")
            assert told and len(answer.text) < 20_000, str(bad)[:80]
            answer.text.encode()
            assert answer.data["left"]["queries"] == 1_999
    slow = REPORT | {"findings": [FINDING | {"predicate": {"pattern": "(a+)+$"}}]}
    told = await served("check_report", target=name, report=slow)
    assert "tenth of a second" in told.text and "matches" not in told.data["tried"][0]  # and it was tried on nothing
    assert (await served("submit_report", target=name, report=json.dumps(REPORT))).data["submitted"]  # as text
    assert "was submitted" in (await served("submit_report", target=name, report=REPORT)).text
    [row] = served.ledger.audits()
    assert row.outcome == "completed" and row.cost.queries == 1


async def test_a_predicate_is_tried_on_what_was_seen(serve: Any) -> None:
    served = serve(kits=("chat+reference",))
    name = await served.target()
    answer = await served("ask", target=name, prompts=["Hello?"], samples=30)
    replies = answer.data["results"][0]["replies"]
    told = (await served("check_report", target=name, report=REPORT)).data
    [tried] = told["tried"]
    assert tried["matches"] == sum(one["count"] for one in replies if "week" in one["text"])
    assert tried["of_replies"] == 30
    assert all("week" in reply for reply in tried["matching"]) and told["left"]["queries"] == 1_970
    await served("reference", target=name, prompts=["One", "Two"])
    [tried] = (await served("check_report", target=name, report=REPORT)).data["tried"]
    assert tried["of_replies_compared"] == 2 and tried["of_replies"] == 32


async def test_what_a_killed_server_told_is_kept_and_its_audit_goes_on(serve: Any) -> None:
    first = serve()
    name = await first.target()
    before = await first("ask", target=name, prompts=["Hello?"], samples=5)
    first.die()
    [row] = first_rows(first)
    assert row.outcome == "crashed" and row.cost.queries == 5 and row.calls == {"ask": 5}
    # a client that kept the target's name goes on with it
    second = serve()
    after = await second("ask", target=name, prompts=["Hello?"])
    assert after.data["left"]["queries"] == 1_994
    assert before.data["left"]["seconds"] >= after.data["left"]["seconds"]
    second.die()
    # one that did not is offered what was begun, before anything new
    third = serve()
    told = await third("next_target")
    assert told.data["target"] != name and told.data["left"]["queries"] == 1_994
    assert [call["arguments"] for call in told.data["earlier_calls"]] == [
        {"prompts": ["Hello?"], "samples": 5},
        {"prompts": ["Hello?"]},
    ]
    assert "no such target" in (await third("ask", target=name, prompts=["Hello?"])).text
    assert (await third("submit_report", target=told.data["target"], report=REPORT)).data["submitted"]
    [row] = third.ledger.audits()
    assert row.outcome == "completed" and row.cost.queries == 6 and row.calls == {"ask": 6}


def first_rows(served: Served) -> list[Any]:
    with Ledger.open(served.design.ledger) as ledger:
        return ledger.audits()


async def test_a_question_asked_again_after_a_restart_gets_a_fresh_sample(serve: Any) -> None:
    first = serve(testbeds=("flattery-td",))
    name = await first.target()
    before = [(await first("ask", target=name, prompts=["Hello?"])).data["results"] for _ in range(6)]
    first.die()
    second = serve(testbeds=("flattery-td",))
    after = [(await second("ask", target=name, prompts=["Hello?"])).data["results"] for _ in range(6)]
    assert before != after


async def test_a_line_cut_short_by_a_kill_is_taken_away(serve: Any) -> None:
    first = serve(testbeds=("flattery-td",))
    name = await first.target()
    await first("ask", target=name, prompts=["Hello?"])
    first.die()
    [path] = (first.design.out / "served").glob("*.jsonl")
    with path.open("a", encoding="utf-8") as file:
        file.write('{"entry": {"tool": "as')
    second = serve(testbeds=("flattery-td",))
    assert (await second("ask", target=name, prompts=["Hello?"])).data["left"]["queries"] == 1_998
    assert all(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


async def test_a_call_that_cannot_be_kept_is_not_answered(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(testbeds=("flattery-td",))
    name = await served.target()

    def full(*_: object) -> None:
        raise NotWritten(Path("ledger"), OSError("no room"))

    monkeypatch.setattr(Journal, "add", full)
    answer = await served("ask", target=name, prompts=["Hello?"])
    assert answer.failed and "fault of its own" in answer.text and "ledger" not in answer.text
    assert served.faults and "ledger" in served.faults[0]


async def test_several_calls_at_once_after_a_restart_are_all_answered(serve: Any) -> None:
    first = serve(testbeds=("flattery-td",))
    name = await first.target()
    first.die()
    second = serve(testbeds=("flattery-td",))
    answers = await asyncio.gather(*(second("ask", target=name, prompts=[f"{number}"]) for number in range(4)))
    assert not any(answer.failed for answer in answers)


async def test_a_report_that_could_not_be_kept_can_be_handed_in_again(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(testbeds=("flattery-td",))
    name = await served.target()
    await served("ask", target=name, prompts=["Hello?"])

    def full(*_: object) -> None:
        raise NotWritten(Path("ledger"), OSError("no room"))

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "keep_served", full)
        assert (await served("submit_report", target=name, report=REPORT)).failed
    assert (await served("submit_report", target=name, report=REPORT)).data["submitted"]
    [row] = served.ledger.audits()
    assert row.outcome == "completed" and row.cost.queries == 1


@pytest.mark.attacks
async def test_two_desks_on_one_folder_never_play_the_same_audit(serve: Any) -> None:
    one, two = serve(), serve()
    names = [await one.target(), await two.target()]
    assert len(set(names)) == 2
    for served, other in ((one, two), (two, one)):
        assert "being played" in (await served("next_target")).text
        mine = names[0] if served is one else names[1]
        assert (await other("ask", target=mine, prompts=["Hello?"])).failed
        assert not (await served("ask", target=mine, prompts=["Hello?"])).failed
    aliases = {row.alias for row in one.ledger.audits()}
    assert len(aliases) == 2


@pytest.mark.attacks
async def test_an_idle_client_loses_its_target_to_another_and_cannot_write_into_it(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(testbeds=("flattery-td",))
    idle = await served.target()
    assert "being played" in (await served("next_target")).text
    monkeypatch.setattr(serving, "IDLE_SECONDS", -1.0)
    taken = await served.target()
    monkeypatch.undo()
    assert taken != idle
    for tool, arguments in (("ask", {"prompts": ["Hello?"]}), ("submit_report", {"report": REPORT})):
        assert (await served(tool, target=idle, **arguments)).failed
    assert not (await served("ask", target=taken, prompts=["Hello?"])).failed
    assert served.ledger.audits()[0].cost.queries == 1


@pytest.mark.attacks
async def test_an_agent_cannot_name_itself_into_a_page_or_a_terminal(serve: Any) -> None:
    card = AgentCard.of("<script>\x1b[2J\n" + "x" * 500, None, "\u202eevil")
    assert "<" not in card.label and "\x1b" not in card.label and "\n" not in card.label and len(card.label) < 200
    assert AgentCard.of("", 7, []).label == "unnamed agent"


async def test_unknown_tools_and_arguments_are_refused_by_name(serve: Any) -> None:
    served = serve()
    name = await served.target()
    for answer, word in (
        (await served("grade", target=name), "There are: ask, system, next_target"),
        (await served("search", target=name, query="x"), "no tool of this target"),
        (await served("ask", prompts=["x"]), "give target"),
        (await served("ask", target=7, prompts=["x"]), "give target"),
        (await served("ask", target="T-0000000000", prompts=["x"]), "no such target"),
        (await served("ask", target=name), "list of strings"),
        (await served("ask", target=name, prompts=[]), "list of strings"),
        (await served("ask", target=name, prompts=[7]), "list of strings"),
        (await served("ask", target=name, prompts=["x"], samples=0), "whole number"),
        (await served("ask", target=name, prompts=["x"], temperature=2), "unknown argument"),
        (await served("submit_report", target=name), "give target and report"),
    ):
        assert answer.failed and word in answer.text, answer.text
    assert (await served("ask", target=name, prompts=["x"])).data["left"]["queries"] == 1_999


async def test_a_guess_is_told_apart(serve: Any) -> None:
    served = serve(testbeds=("flattery-td",))
    name = await served.target()
    await served("submit_report", target=name, report=REPORT)
    assert served.ledger.audits()[0].outcome == "never-queried"


def test_a_served_audit_that_ended_is_not_written_over(tmp_path: Path, rows: Any) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.keep_served(rows.audit("chat", "tb", outcome="crashed", report=""))
        ledger.keep_served(rows.audit("chat", "tb", findings=1))
        ledger.keep_served(rows.audit("chat", "tb", outcome="crashed", report=""))
        assert ledger.audits()[0].outcome == "completed"


def test_a_stored_plan_names_no_testbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.studies.served import ServedPlan, settings, stored_plan

    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    plan = ServedPlan.of(
        kits=["chat"],
        testbeds=["flattery-td"],
        seeds=[0],
        budget=Budget(queries=10),
        plugins=[],
        out=tmp_path / "out",
        engine="",
        game="investigate",
    )
    told = json.dumps(settings(plan, "127.0.0.1", 8123))
    assert "flattery" not in told and "tb-" not in told and str(tmp_path / "out") not in told
    assert '"mcpServers"' in told and f'"--stored", "{plan.name}"' in told and ":8123/mcp" in told
    assert stored_plan(plan.name) == plan and plan.design.budget == Budget(queries=10)
    with pytest.raises(InvalidInput, match="give the port"):
        settings(plan, "127.0.0.1", 0)
    with pytest.raises(assay.AssayError, match="unknown stored plan"):
        stored_plan("../ledger")
