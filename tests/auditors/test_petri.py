"""Petri's auditor as a red-teamer: skipped with the reason where it is absent, played for real where it is there."""

import gc
import inspect
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser
from tests.scripted_model import Script, calls, run

from assay.audits.described import auditor_info
from assay.audits.registry import get_auditor
from assay.core.budget import Budget
from assay.engine.scripted import ScriptedTarget
from assay.errors import BackendFailed, InvalidInput
from assay.studies import plan
from assay.studies.design import Design
from assay.studies.offers import find_offers

HAS_PETRI = find_spec("inspect_petri") is not None
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # tenacity's and Inspect's
    # Inspect opens a stream of events for each sample and never closes its reading end.
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
]
absent = pytest.mark.skipif(HAS_PETRI, reason="inspect-petri is installed")
real = pytest.mark.skipif(not HAS_PETRI, reason="inspect-petri is not installed; it needs Python 3.12")


@pytest.fixture(autouse=True)
def blind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delitem(sys.modules, "assay.truth", raising=False)
    yield
    gc.collect()  # what Inspect leaves open, while its warnings are still looked away from


@absent
def test_where_it_is_absent_that_is_said_before_anything_is_spent(tmp_path: Path) -> None:
    info = auditor_info(get_auditor("petri"))
    assert info.games == ("red-team",) and info.takes_model
    assert "inspect_petri" in info.missing and "assay-audit[petri]" in info.missing and "3.12" in info.missing
    for name in ("petri", "pooled:2:petri"):
        design = Design(kits=("chat",), out=tmp_path, auditor=name, game="red-team")
        with pytest.raises(InvalidInput, match=r"needs inspect_petri .*not installed"):
            plan.make_plan(design)


@absent
async def test_nor_does_it_play_by_any_other_way(tmp_path: Path) -> None:
    row, _ = await run("petri", Script([calls(("x", {}))]), tmp_path, game="red-team")
    assert row.outcome == "crashed" and "needs inspect_petri" in row.error and row.model.calls == 0


def test_no_other_auditor_misses_anything() -> None:
    offers = find_offers(())
    assert [name for name in offers.auditors if offers.auditor(name).missing] == ([] if HAS_PETRI else ["petri"])


# The plumbing, with a module of the same shape ------------------------------------------------------------------------


def fake_petri(plays: Any) -> ModuleType:
    """Has the four functions that are called, with those of their parameters that are given; `plays` drives them."""
    module = ModuleType("inspect_petri")
    module.__spec__ = ModuleSpec("inspect_petri", None)

    def auditor_tools(*, prefill: bool, target_tools: str) -> list[str]:
        assert target_tools == "none"
        return ["prefill"] if prefill else []

    def auditor_agent(*, max_turns: int, tools: Any, model: Any, generate: Any, target_display_name: str) -> Any:
        return SimpleNamespace(turns=max_turns, tools=tools, model=model, generate=generate, name=target_display_name)

    def target_agent(*, model: Any, system_required: bool) -> Any:
        assert not system_required
        return model

    def audit_solver(*, auditor: Any, target: Any) -> Any:
        async def solve(state: Any, generate: Any) -> Any:
            await plays(state.messages[-1].text, auditor, target)
            return state

        return solve

    for made in (auditor_tools, auditor_agent, target_agent, audit_solver):
        setattr(module, made.__name__, made)
    return module


def fake(monkeypatch: pytest.MonkeyPatch, plays: Any) -> None:
    monkeypatch.setitem(sys.modules, "inspect_petri", fake_petri(plays))


def hand_in(*scenes: int) -> Any:
    return calls(
        ("hand_in", {"p_hidden": 0.7, "ranking": [{"scene": scene, "shows": "It shows."} for scene in scenes]})
    )


async def test_what_was_played_becomes_scenes_branches_apart_and_is_ranked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def plays(seed: str, auditor: Any, target: Any) -> None:
        assert seed.startswith("Red-team") and auditor.tools == ["prefill"] and auditor.name == "language"
        said: list[Any] = [ChatMessageSystem(content="You are a clerk."), ChatMessageUser(content="Good day.")]
        first = await target.generate(said)
        longer = [*said, first.message, ChatMessageUser(content="And now?")]
        await target.generate(longer)
        await target.generate([*said, first.message, ChatMessageUser(content="Or so?")])  # rolled back
        await target.generate([ChatMessageUser(content="Begin."), ChatMessageAssistant(content="Well,")])

    fake(monkeypatch, plays)
    script = Script([hand_in(2, 3)])
    row, _ = await run("petri", script, tmp_path, kit="chat+converse+prefill", game="red-team", sample=True)
    assert row.outcome == "completed", row.error
    second, third = json.loads(row.report)["transcripts"]
    assert second["script"]["user"] == ["Good day.", "Or so?"] and second["script"]["system"] == "You are a clerk."
    assert third["script"]["user"] == ["Begin."] and third["script"]["prefill"] == "Well,"
    assert row.calls == {"system": 1, "converse": 2, "prefill": 1}
    assert "## Scene 3" in script.text and "You are a clerk." in script.text


async def test_it_ends_in_time_to_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []

    async def plays(seed: str, auditor: Any, target: Any) -> None:
        for _ in range(auditor.turns):
            output = await auditor.generate(auditor.model, [ChatMessageUser(content="word " * 800)], [], False)
            turns.append(output.message.tool_calls[0].function)
            if turns[-1] == "end_conversation":
                return

    fake(monkeypatch, plays)
    budget = Budget(auditor_tokens=20_000)

    def answer(input: Any, tools: Any, tool_choice: Any, config: Any) -> Any:
        return hand_in() if any(tool.name == "hand_in" for tool in tools) else calls(("resume", {}))

    row, _ = await run("petri", answer, tmp_path, game="red-team", budget=budget, sample=True)
    assert row.outcome == "never-queried" and row.report and row.model.tokens <= 20_000, row.error
    assert turns[-1] == "end_conversation" and turns.count("resume") > 3


@pytest.mark.attacks
async def test_a_target_that_fails_ends_the_audit_whatever_the_agent_makes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Petri tells its auditor of the target's errors, and goes on; a broken engine is no behaviour."""
    chat = ScriptedTarget.chat

    async def broken(self: ScriptedTarget, *arguments: Any, **options: Any) -> Any:
        await chat(self, *arguments, **options)
        raise BackendFailed("the server is gone")

    ended: list[str] = []

    async def plays(seed: str, auditor: Any, target: Any) -> None:
        with suppress(Exception):
            await target.generate([ChatMessageUser(content="Good day.")])
        output = await auditor.generate(auditor.model, [ChatMessageUser(content="x")], [], False)
        ended.append(output.message.tool_calls[0].function)

    fake(monkeypatch, plays)
    monkeypatch.setattr(ScriptedTarget, "chat", broken)
    row, _ = await run("petri", Script([hand_in()]), tmp_path, game="red-team", sample=True)
    assert row.outcome == "crashed" and "the server is gone" in row.error and ended == ["end_conversation"]


def test_the_fake_has_the_shape_of_the_real_one() -> None:
    if not HAS_PETRI:
        pytest.skip("inspect-petri is not installed; it needs Python 3.12")
    import inspect_petri

    for name in ("auditor_tools", "auditor_agent", "target_agent", "audit_solver"):
        wanted = inspect.signature(getattr(fake_petri(None), name)).parameters
        assert wanted.keys() <= inspect.signature(getattr(inspect_petri, name)).parameters.keys(), name


# With Petri itself ----------------------------------------------------------------------------------------------------


def say(text: str, **more: Any) -> Any:
    return calls(("send_message", {"message": text}), ("resume", more))


@real
async def test_petri_itself_plays_rolls_back_prefills_and_restarts(tmp_path: Path) -> None:
    opening = calls(
        ("set_system_message", {"system_message": "You are a clerk."}),
        ("send_message", {"message": "Good day."}),
        ("resume", {}),
    )
    turns = [
        opening,
        say("And now?"),
        calls(("rollback_conversation", {"message_id": "M3"}), ("send_message", {"message": "Or so?"}), ("resume", {})),
        calls(("restart_conversation", {}), ("send_message", {"message": "Hello?"}), ("resume", {"prefill": "Well,"})),
        calls(("end_conversation", {})),
        hand_in(2, 3),
    ]
    script = Script(turns)
    row, made = await run("petri", script, tmp_path, kit="chat+converse+prefill", game="red-team", sample=True)
    assert row.outcome == "completed", row.error
    first, second = json.loads(row.report)["transcripts"]
    assert [one["script"]["user"] for one in (first, second)] == [["Good day.", "Or so?"], ["Hello?"]], made
    assert second["script"]["prefill"] == "Well," and not second["script"]["system"]
    assert row.model.calls == len(turns) and row.calls == {"system": 1, "converse": 2, "prefill": 1}


@real
async def test_petri_hears_what_a_kit_cannot_do_and_a_spent_budget_ends_it(tmp_path: Path) -> None:
    def answer(input: Any, tools: Any, tool_choice: Any, config: Any) -> Any:
        return hand_in() if any(tool.name == "hand_in" for tool in tools) else say("Good day.")

    row, made = await run("petri", answer, tmp_path, game="red-team", budget=Budget(auditor_tokens=40_000), sample=True)
    assert row.report and row.model.tokens <= 40_000, row.error
    assert made and row.outcome in ("none-submitted", "out-of-budget")
