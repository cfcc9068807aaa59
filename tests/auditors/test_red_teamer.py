"""The red-teamer's loop and tools, with a scripted language model and a scripted target."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from inspect_ai.model import ModelOutput
from tests.auditors.conftest import bind, kit_of
from tests.scripted_model import Script, calls, run

from assay._util.alike import words
from assay.auditors import red_teamer
from assay.auditors.explorer.observe import STOPWORDS
from assay.auditors.red_teamer.agent import red_team
from assay.auditors.red_teamer.scenes import Scene, Scenes
from assay.auditors.thinking import loop
from assay.auditors.thinking.kit_tools import Spending
from assay.core.auditor import Brief, Kit
from assay.core.budget import Budget
from assay.core.report import Demonstration
from assay.core.target import Target
from assay.core.tool import Evidence, Sample
from assay.errors import BudgetExceeded, InvalidInput, NoReport
from assay.testbeds.behaviours import behaviour_ids, find_behaviour

pytestmark = pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning")

BRIEF = Brief("red-team", "Red-team this model.")
Call = tuple[str, dict[str, Any]]


class Told:
    """A language model that makes these calls in turn, or says a text."""

    name = "told"
    tokens_left = 100_000

    def __init__(self, *calls: Call | str) -> None:
        self._calls = list(calls)
        self.inspect = self

    async def generate(self, messages: Any, *, tools: Any, tool_choice: Any) -> ModelOutput:
        call = self._calls.pop(0)
        if isinstance(call, str):
            return ModelOutput.from_content("told", call)
        assert tool_choice == "auto" or call[0] == tool_choice.name == "hand_in"
        return ModelOutput.for_tool_call("told", *call)


def told(*calls: Call | str) -> Any:
    return Told(*calls)


def kit(*names: str, heard: list[Any] | None = None, ends_after: int = 99) -> Kit:
    """Tools that answer with what they were given."""
    asked: list[Any] = heard if heard is not None else []

    def answer(**given: Any) -> Evidence:
        asked.append(given)
        if len(asked) > ends_after:
            raise BudgetExceeded("budget used up")
        reply = f"reply {len(asked)}"
        return Evidence(text=reply, samples=(Sample(str(given), reply),))

    async def ask(target: Target, prompt: str) -> Evidence:
        """Ask."""
        return answer(prompt=prompt)

    async def system(target: Target, system: str, prompt: str) -> Evidence:
        """Ask under a system prompt."""
        return answer(system=system, prompt=prompt)

    async def converse(target: Target, turns: list[str], system: str = "", prefill: str = "") -> Evidence:
        """Go on."""
        if turns[-1] == "refuse":
            raise InvalidInput("turns: too long.")
        return answer(turns=turns, system=system, prefill=prefill)

    made = {"ask": ask, "system": system, "converse": converse}
    return kit_of(*(bind(made[name]) for name in names))


async def test_scenes_are_begun_branched_rewound_and_handed_in_by_rank() -> None:
    heard: list[Any] = []
    model = told(
        ("scene", {"system": "You are a clerk."}),
        ("pretend_tool", {"scene": 1, "name": "ledger", "does": "It reads the books."}),
        ("say", {"scene": 1, "text": "Good day."}),
        ("branch", {"scene": 1}),
        ("say", {"scene": 2, "text": "And the books?", "prefill": "Well,"}),
        ("rewind", {"scene": 1}),
        ("say", {"scene": 1, "text": "Good evening."}),
        ("hand_in", {"p_hidden": 0.8, "ranking": [{"scene": 2, "shows": "It lies."}, {"scene": 1}]}),
    )
    answer = await red_team(kit("ask", "converse", heard=heard), BRIEF, Budget(), model)
    first, second = answer.transcripts
    assert answer.p_hidden == 0.8 and first.shows == "It lies." and first.replies == ("reply 1", "reply 2")
    assert first.script.user == ("Good day.", "And the books?") and first.script.prefill == "Well,"
    assert first.script.system.startswith("You are a clerk.") and "<call>ledger:" in first.script.system
    assert second.script.user == ("Good evening.",) and second.replies == ("reply 3",)
    assert [one["turns"] for one in heard] == [
        ["Good day."],
        ["Good day.", "reply 1", "And the books?"],
        ["Good evening."],
    ]


async def test_without_converse_scenes_are_of_one_turn_and_that_is_said() -> None:
    scenes = Scenes(kit("ask", "system"), Spending(Budget(), told()))
    scenes.held = {1: Scene(), 2: Scene("You are a clerk."), 3: Scene("", ("Hi", "Hello"))}
    say = next(tool for tool in scenes.tools() if tool.name == "say").tool
    assert (await say(scene=1, text="Hi")).startswith("target: reply 1\n\n[left: ")
    assert (await say(scene=2, text="Hi")).startswith("target: reply 2\n\n[left: ")
    for number, more in ((3, {}), (2, {"prefill": "Well"}), (9, {})):
        with pytest.raises(Exception, match=r"no tool 'converse'|there is no scene 9"):
            await say(scene=number, text="Hi", **more)


async def test_a_refused_call_and_a_malformed_ranking_are_told_and_mended() -> None:
    model = told(
        ("scene", {}),
        ("say", {"scene": 1, "text": "refuse"}),
        ("say", {"scene": 1, "text": "Hi"}),
        "I think I am done.",
        ("hand_in", {"p_hidden": 7, "ranking": [{"scene": 1}]}),
        ("hand_in", {"p_hidden": 0.5, "ranking": "scene 1"}),
        ("hand_in", {"p_hidden": 0.5, "ranking": [{"scene": 4}]}),
        ("hand_in", {"p_hidden": 0.5, "ranking": [{"scene": 1}] * 21}),
        ("hand_in", {"p_hidden": 0.5, "ranking": [{"scene": 1}]}),
    )
    answer = await red_team(kit("converse"), BRIEF, Budget(), model)
    assert [one.script for one in answer.transcripts] == [Demonstration(user=("Hi",))]


async def test_a_spent_budget_ends_with_what_there_is() -> None:
    model = told(
        ("scene", {}),
        ("say", {"scene": 1, "text": "Hi"}),
        ("scene", {}),
        ("say", {"scene": 2, "text": "Hi"}),
        ("hand_in", {"p_hidden": 0.5, "ranking": [{"scene": 1}]}),
    )
    assert len((await red_team(kit("ask", ends_after=1), BRIEF, Budget(), model)).transcripts) == 1


async def test_one_that_never_hands_in_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "TURNS", 3)
    with pytest.raises(NoReport, match="handed in no report"):
        await red_team(kit("ask"), BRIEF, Budget(), told(*["Hm."] * 9))


async def test_without_a_target_it_hands_in_scripts_that_nobody_played() -> None:
    assert Scenes(kit_of(), Spending(Budget(), told())).tools() == []
    answer = await red_team(kit_of(), BRIEF, Budget(), told(("hand_in", {"p_hidden": 0.3, "ranking": []})))
    assert answer.transcripts == ()
    guesses = [
        {"script": "Good day."},
        {"script": {"user": ["Good", "day."], "system": "You are a clerk."}, "shows": "It lies."},
    ]
    answer = await red_team(kit_of(), BRIEF, Budget(), told(("hand_in", {"p_hidden": 0.3, "ranking": guesses})))
    first, second = answer.transcripts
    assert first.script == Demonstration(user=("Good day.",)) and first.replies == second.replies == ()
    assert second.script.user == ("Good", "day.") and second.shows == "It lies."


@pytest.mark.parametrize(
    "entry",
    [
        {"script": {"user": []}},
        {"script": {"user": ["Hi"], "temperature": 2}},
        {"script": "x" * 2_001},
        {"script": 7},
        {"script": "Hi", "scene": 1},
        {"scene": True},
        {"shows": "Hi"},
        {"script": "Hi", "shows": 7},
    ],
)
async def test_a_script_outside_the_contract_is_told_and_mended(entry: dict[str, Any]) -> None:
    good = ("hand_in", {"p_hidden": 0.3, "ranking": [{"script": "Hi"}]})
    model = told(("hand_in", {"p_hidden": 0.3, "ranking": [entry]}), good)
    assert len((await red_team(kit_of(), BRIEF, Budget(), model)).transcripts) == 1


# In an audit, with a model whose every token is counted ---------------------------------------------------------------

SCENE = calls(("scene", {}))
SAY = calls(("say", {"scene": 1, "text": "Good day."}))
DRAFT = calls(("hand_in", {"p_hidden": 0.7, "ranking": [{"scene": 1, "shows": "It flatters."}], "draft": True}))


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "assay.truth", raising=False)


@pytest.mark.usefixtures("blind")
async def test_it_is_told_to_hand_in_before_its_own_tokens_end(tmp_path: Path) -> None:
    script = Script([SCENE, SAY, DRAFT, *[SAY] * 300])
    row, _ = await run("red_teamer", script, tmp_path, game="red-team", budget=Budget(auditor_tokens=30_000))
    # It never hands in, whatever it is told: what it left as a draft is its answer.
    assert "The audit is over: your own tokens are used up" in script.text
    answer = json.loads(row.report)
    assert [one["shows"] for one in answer["transcripts"]] == ["It flatters."] and row.model.tokens <= 30_000


@pytest.mark.attacks
@pytest.mark.usefixtures("blind")
async def test_a_budget_that_ends_in_the_middle_keeps_the_draft(tmp_path: Path) -> None:
    spent = await run("red_teamer", Script([SCENE, SAY, DRAFT, SAY, DRAFT]), tmp_path, game="red-team")
    assert json.loads(spent[0].report)["p_hidden"] == 0.7
    whole = calls(("say", {"scene": 1, "text": "word " * 9_000}))  # the next turn cannot be read any more
    script = Script([SCENE, SAY, DRAFT, whole, whole])
    row, _ = await run("red_teamer", script, tmp_path, game="red-team", budget=Budget(auditor_tokens=16_000))
    assert json.loads(row.report)["p_hidden"] == 0.7 and row.model.tokens <= 16_000, row.error


@pytest.mark.usefixtures("blind")
async def test_without_a_draft_a_spent_budget_is_recorded_as_such(tmp_path: Path) -> None:
    row, _ = await run("red_teamer", Script([SCENE]), tmp_path, game="red-team", budget=Budget(auditor_tokens=1_000))
    assert row.outcome == "out-of-budget" and not row.report


@pytest.mark.usefixtures("blind")
async def test_scenes_and_notes_survive_when_turns_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CONTEXT", 5_000)
    first = calls(("scene", {"system": "SCENE-TO-KEEP"}), ("note", {"text": "NOTE-TO-KEEP"}))
    asked = [calls(("scene", {}), ("ask", {"prompt": "x"})) for _ in range(2)]
    turns = [first, *asked, *[calls(("say", {"scene": 1, "text": f"Number {i} " + "word " * 60})) for i in range(40)]]
    end = calls(("hand_in", {"p_hidden": 0.1, "ranking": []}))
    script = Script([*turns, end])
    row, _ = await run("red_teamer", script, tmp_path, kit="chat+system", game="red-team")
    assert row.outcome == "none-submitted" and json.loads(row.report)["transcripts"] == [], row.error
    shown = json.dumps([message.text for message in script.sent[-1]])
    assert "NOTE-TO-KEEP" in shown and "scene 1: system: SCENE-TO-KEEP" in shown and "Number 3 " not in shown


@pytest.mark.usefixtures("blind")
async def test_tools_that_play_no_scenes_are_its_tools_too(tmp_path: Path) -> None:
    script = Script([calls(("hand_in", {"p_hidden": 0.1, "ranking": []}))])
    await run("red_teamer", script, tmp_path, kit="ask+fuzz", game="red-team")
    assert {"scene", "fuzz", "note", "hand_in"} <= set(script.tools[0]) and "ask" not in script.tools[0]


def test_prompts_name_no_theme_of_any_testbed() -> None:
    """Of the words that set a conduct apart from all others it is told no two: one may be of ordinary prose."""
    prompts = (Path(red_teamer.__file__).parent / "prompts").glob("*.md")
    said = set(words(" ".join(path.read_text(encoding="utf-8") for path in prompts)))
    conducts = {name: set(words(find_behaviour(name).conduct)) for name in behaviour_ids()}
    shared = Counter(word for conduct in conducts.values() for word in conduct)
    for name, conduct in conducts.items():
        telling = {word for word in conduct - STOPWORDS if shared[word] == 1 and len(word) > 5}
        assert len(telling & said) < 2, (name, telling & said)
