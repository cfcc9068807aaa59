"""What served audits showed is read like any other's: from the first call on, whoever died in between."""

import json
from typing import Any

import pytest
from tests.served import REPORT, Served

import assay
from assay.audits.serve.messages import Entry
from assay.audits.transcripts import shown_calls
from assay.core.target import Target
from assay.core.tool import Tool
from assay.errors import PluginError
from assay.studies.evidence import KeptEvidence
from assay.studies.grades import Grading
from assay.studies.journals import Journal

NONE = {"p_hidden": 0.1}


def showed(served: Served) -> dict[str, dict[str, bool]]:
    rows = served.ledger.audits()
    by_key = KeptEvidence(served.design.out, Grading.now()).of(rows)
    return {row.kit: dict(by_key[row.run_key]) for row in rows if row.run_key in by_key}


async def test_the_funnel_reads_a_served_audit_that_two_clients_played(serve: Any) -> None:
    """The first sees the evidence and dies with its server, the second never asks and reports nothing."""
    first = serve(kits=("chat+search",), testbeds=("flattery-td",))
    name = await first.target()
    found = await first("search", target=name, query="talented gifted brilliant work of mine")
    assert not found.failed
    first.die()
    second = serve(kits=("chat+search",), testbeds=("flattery-td",))
    name = (await second("next_target")).data["target"]
    await second("ask", target=name, prompts=["How are you?"], samples=3)
    assert (await second("submit_report", target=name, report=NONE)).data["submitted"]
    assert showed(second) == {"chat+search": {"search": True, "ask": False}}
    [audit] = assay.load_study(second.design.out).summary.funnel.audits
    assert audit.showed == ("search",) and audit.stage != "not known"


async def test_what_was_never_shown_is_told_apart_and_a_clean_target_has_no_evidence(serve: Any) -> None:
    served = serve(testbeds=("flattery-td", "twin-td"))
    for _ in range(2):
        name = await served.target()
        await served("ask", target=name, prompts=["How is the weather?"])
        await served("submit_report", target=name, report=NONE)
    assert showed(served) == {"chat": {"ask": False}}
    [audit] = assay.load_study(served.design.out).summary.funnel.audits
    assert audit.showed == ()


async def test_evidence_is_kept_when_it_is_sought_and_survives_its_journal(serve: Any) -> None:
    served = serve(kits=("search",), testbeds=("flattery-td",))
    name = await served.target()
    await served("search", target=name, query="talented")
    await served("submit_report", target=name, report=NONE)
    kept = KeptEvidence(served.design.out, Grading.now())
    kept.seek(served.ledger.audits())
    for journal in (served.design.out / "served").glob("*.jsonl"):
        journal.write_text("broken\n", encoding="utf-8")
    assert showed(served) == {"search": {"search": True}}
    kept.path.unlink()
    assert showed(served) == {}  # neither kept nor readable: not known, and nothing breaks


@pytest.mark.attacks
async def test_a_journal_of_an_earlier_assay_breaks_neither_page_nor_server(serve: Any) -> None:
    served = serve(testbeds=("flattery-td",))
    name = await served.target()
    await served("ask", target=name, prompts=["Hello?"])
    served.die()
    [path] = (served.design.out / "served").glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if "entry" in line:
            line["entry"] |= {"asked": [], "seen": []}
            del line["entry"]["calls"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert Journal.entries_of(served.design.out, path.stem) is None
    again = serve(testbeds=("flattery-td",))
    answer = await again("ask", target=name, prompts=["Hello?"])
    assert answer.failed and "fault of its own" in answer.text and "earlier Assay" in again.faults[0]


@pytest.mark.attacks
async def test_calls_that_were_refused_do_not_keep_an_audit_from_being_taken_up(serve: Any) -> None:
    """Each of several calls may fail by its type; their arguments stand in the journal, and are read again."""
    first = serve(testbeds=("flattery-td",))
    name = await first.target()
    refused = await first("system", target=name, system=7, prompts=["Hello?", "Who are you?"])
    assert all("valid string" in result["failed"][0] for result in refused.data["results"])
    first.die()
    second = serve(testbeds=("flattery-td",))
    assert not (await second("ask", target=name, prompts=["Hello?"])).failed


@pytest.mark.attacks
async def test_what_a_failed_call_had_spent_stays_spent_after_a_restart(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Tool.call

    async def spends_and_fails(self: Tool, injected: Any, arguments: Any) -> Any:
        await injected[Target].chat("Hello?")
        await injected[Target].chat("Hello again?")
        raise PluginError("it broke")

    first = serve(testbeds=("flattery-td",))
    name = await first.target()
    monkeypatch.setattr(Tool, "call", spends_and_fails)
    assert (await first("ask", target=name, prompts=["Hello?"])).failed
    monkeypatch.setattr(Tool, "call", call)
    first.die()
    second = serve(testbeds=("flattery-td",))
    assert (await second("ask", target=name, prompts=["Hello?"])).data["left"]["queries"] == 1_997


async def test_a_call_is_kept_as_transcripts_have_it(serve: Any) -> None:
    served = serve(testbeds=("flattery-td",))
    name = await served.target()
    await served("ask", target=name, prompts=["Hello?"], samples=2)
    await served("submit_report", target=name, report=REPORT)
    [row] = served.ledger.audits()
    [entry] = Journal.entries_of(served.design.out, row.run_key) or [Entry.model_construct()]
    shown = list(shown_calls(entry.calls))
    assert [call.tool for call in shown] == ["ask", "ask"] and all(call.whole for call in shown)
    assert {sample.prompt for call in shown for sample in call.samples} == {"Hello?"}
    assert row.game == "investigate" and row.log == "investigate-served"
