"""Where the interface once defeated agents: each of those places, as an agent meets it."""

from dataclasses import replace
from typing import Any

import pytest
from tests.served import FINDING, REPORT

from assay.audits.serve.answers import budget_left, left_line
from assay.core.budget import Budget, Meter
from assay.core.target import Cost, Replies
from assay.engine.scripted import ScriptedTarget


async def test_several_system_prompts_go_in_one_call(serve: Any) -> None:
    served = serve(testbeds=("flattery-td",))
    name = await served.target()
    answer = await served(
        "system", target=name, system=["Be kind.", "Be brief."], prompts=["Hello?", "Who are you?"], samples=5
    )
    asked = [(result["prompt"], result["system"]) for result in answer.data["results"]]
    assert asked == [
        ("Hello?", "Be kind."),
        ("Hello?", "Be brief."),
        ("Who are you?", "Be kind."),
        ("Who are you?", "Be brief."),
    ]
    assert all(sum(reply["count"] for reply in result["replies"]) == 5 for result in answer.data["results"])
    assert "[2] Hello? · system “Be brief.”" in answer.text
    assert answer.data["left"]["queries"] == 1_980
    one = await served("system", target=name, system="Be kind.", prompts=["Hello?"])
    assert "system" not in one.data["results"][0]


@pytest.mark.attacks
async def test_lists_of_texts_cannot_ask_for_more_than_a_request_may(serve: Any) -> None:
    served = serve(testbeds=("flattery-td",))
    name = await served.target()
    for system, word in (
        (["a"] * 501, "501 of system"),
        ([], "one at least"),
        (["a", 7], "list of strings"),
    ):
        answer = await served("system", target=name, system=system, prompts=["x"])
        assert answer.failed and word in answer.text and answer.data["left"]["queries"] == 2_000


async def test_a_reply_that_stopped_at_the_limit_is_marked(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = ScriptedTarget.chat

    async def cut(self: ScriptedTarget, *arguments: Any, **options: Any) -> Replies:
        replies = await chat(self, *arguments, **options)
        return replace(replies, samples=tuple(replace(one, finish="length") for one in replies.samples))

    served = serve(testbeds=("flattery-td",), kits=("chat+prefill+converse+fuzz",))
    name = await served.target()
    whole = await served("ask", target=name, prompts=["Hello?"], samples=3)
    assert "[…]" not in whole.text and "cut" not in whole.data["results"][0]["replies"][0]
    monkeypatch.setattr(ScriptedTarget, "chat", cut)
    for tool, more in (
        ("ask", {}),
        ("system", {"system": "Be kind."}),
        ("prefill", {"prefill": "I"}),
    ):
        answer = await served(tool, target=name, prompts=["Who are you?"], samples=2, **more)
        [result] = answer.data["results"]
        assert all(reply["cut"] == reply["count"] for reply in result["replies"])
        assert answer.text.count(" […]") == len(result["replies"])
        assert not any("[…]" in reply["text"] for reply in result["replies"])  # the mark is no part of a reply
    assert (await served("converse", target=name, turns=["One", "Two", "Three"])).data["text"].endswith(" […]")


async def test_check_report_tells_of_each_script_what_was_seen_under_it(serve: Any) -> None:
    served = serve(testbeds=("flattery-td",), kits=("chat",))
    name = await served.target()
    for tool, more in (("ask", {}), ("system", {"system": "Be  kind."})):
        await served(tool, target=name, prompts=["Hello?"], samples=6, **more)
    scripts: list[Any] = [
        "Hello?",
        {"user": ["Hello?"], "system": "Be kind."},
        "Never asked.",
        {"user": ["Hello?"], "prefill": "I"},
        {"user": ["One", "Two"], "system": "Be kind."},
    ]
    finding = FINDING | {
        "demonstrations": scripts,
        "will_show": ["Hello"],
        "will_not_show": [{"user": ["a"], "earlier": [["b"]]}],
    }
    answer = await served("check_report", target=name, report={"p_hidden": 0.5, "findings": [finding]})
    [tried] = answer.data["tried"]
    told = tried["demonstrations"]
    assert [one["replies"] for one in told] == [6, 6, 0, 0, 0]
    assert told[0]["matches"] + told[1]["matches"] == tried["matches"]
    assert "why" not in told[2] and told[3]["why"].endswith("takes a prefill")
    assert told[4]["why"].endswith("a system prompt with several turns")
    assert tried["will_show"] == [{"replies": 0}] and "earlier" in tried["will_not_show"][0]["why"]
    assert "demonstrations: 1: " in answer.text and "3: not asked here ·" in answer.text


async def test_a_tool_that_can_try_a_script_counts_for_it(serve: Any) -> None:
    served = serve(testbeds=("flattery-td",), kits=("converse",))
    name = await served.target()
    await served("converse", target=name, turns=["One", "Yes?", "Two"], prefill="I")
    finding = FINDING | {"demonstrations": [{"user": ["One", "Two"], "prefill": "I"}, {"user": ["One", "Two"]}]}
    [tried] = (await served("check_report", target=name, report=REPORT | {"findings": [finding]})).data["tried"]
    assert [one["replies"] for one in tried["demonstrations"]] == [1, 0]
    assert "why" not in tried["demonstrations"][1]


async def test_the_guide_is_told_once_to_who_says_so_and_never_kept_from_anybody(serve: Any) -> None:
    served = serve()
    first = await served("next_target")
    again = await served("next_target", guide=False)
    assert "# The report" in first.text and "# The report" not in again.text
    assert len(again.text) < 0.3 * len(first.text)
    assert (await served("next_target", guide="no")).failed


async def test_tokens_are_told_only_where_they_could_end_first(serve: Any) -> None:
    served = serve(testbeds=("flattery-td",), budget=Budget(queries=120))
    told = await served("next_target")
    assert "tokens" not in told.data["left"] and "120 queries" in told.text
    tight = Meter(Budget(queries=120, tokens=5_000))
    assert budget_left(tight)["tokens"] == 5_000 and "5,000 tokens" in left_line(budget_left(tight))
    dear = Meter(Budget(queries=120), Cost(20, 15_000, 1_000))  # of which 100 more would not fit by far
    assert budget_left(dear)["tokens"] == 184_000
