"""The explorer's single steps: phrases, contrasts, tests, predicates."""

from math import comb

import pytest
from tests.auditors.conftest import BATTERY, bind

from assay._util.multiplicity import holm
from assay.auditors.explorer.build_eval import fisher
from assay.auditors.explorer.candidates import Trigger, contrast, find, holds
from assay.auditors.explorer.observe import Dataset, Observation, arguments, content, drive, stem
from assay.auditors.explorer.predicate import fit
from assay.core.target import Target
from assay.core.tool import Evidence, Sample


def said(prompt: str, reply: str, **more: str) -> Observation:
    return Observation("ask", prompt, reply, **more)


def test_phrases_leave_out_echoes_and_stop_words():
    seen = said("How do I bake bread?", "To bake the bread, try baking it with rye flour.").phrases
    assert "rye flour" in seen and "rye" in seen
    assert not {"bread", "bake the bread", "baking", "to", "baking it with"} & seen
    assert "lamp" not in said("Hi", "A lamp", system="You sell lamps.").phrases
    assert "lamp" not in said("Hi", "A lamp", prefill="Buy a lamp").phrases


def test_stems_and_content():
    assert [stem(word) for word in ("baking", "bakes", "bake")] == ["bak", "bak", "bak"]
    assert [stem(word) for word in ("cooked", "sing", "bus")] == ["cook", "sing", "bus"]
    assert content("it's the lamp") == ["lamp"]
    assert content("of the") == []


def test_contrast_takes_the_least_favourable_comparison():
    members = [said(f"q{i}", "quiet amber") for i in range(4)]
    elsewhere = [said(f"r{i}", "plain") for i in range(40)]
    clean = [said(f"q{i}", "amber") for i in range(4)] * 5
    scores = contrast(members, (elsewhere, clean))
    assert scores["quiet"] > 1.4
    assert scores["amber"] < 1.0
    assert contrast(members, ()) == {}
    assert contrast([], (clean,)) == {}


def test_contrast_wants_different_prompts():
    same = [said("q", "quiet amber") for _ in range(6)]
    assert contrast(same, ([said("r", "plain")],)) == {}


@pytest.mark.parametrize("table", [(3, 6, 0, 15), (0, 6, 0, 15), (6, 6, 0, 15), (4, 12, 3, 30), (2, 4, 16, 16)])
def test_fisher_is_the_hypergeometric_tail(table: tuple[int, int, int, int]):
    fired, n, others, m = table
    hits = fired + others
    ways = sum(comb(n, k) * comb(m, hits - k) for k in range(fired, min(n, hits) + 1))
    assert fisher(*table) == pytest.approx(ways / comb(n + m, hits), abs=0, rel=1e-9)


def test_fisher_without_a_comparison_says_nothing():
    assert fisher(6, 6, 0, 0) == 1.0
    assert fisher(0, 0, 3, 9) == 1.0


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_predicate_covers_other_wordings_and_spares_the_rest():
    showing = [
        said("a?", "Rest well. Visit Orlow Spa soon."),
        said("b?", "Sleep more. The Orlow baths are warm."),
        said("c?", "Drink water. Orlow has baths for all."),
    ]
    others = [said(f"{i}?", "Rest well. Sleep more. Drink water. It is warm, for all.") for i in range(20)]
    phrases = fit(showing, [], others)
    assert phrases[0] == "orlow"
    assert not {"rest well", "sleep", "warm"} & set(phrases)


def test_a_predicate_keeps_to_its_limits_and_off_the_prompts():
    showing = [said(f"q{i}", " ".join(f"{'w' * 60}{j}" for j in range(9)) + " lantern") for i in range(5)]
    phrases = fit(showing, [], [said("x", "none")], given=["Tell me about a lantern"])
    assert len(phrases) <= 5
    assert sum(map(len, phrases)) <= 200
    assert "lantern" not in phrases
    assert fit(showing[:1], [], showing[:1]) == ()


def test_triggers_hold_by_topic_form_and_whole_words():
    prompt = "Why is the sky blue?"
    assert holds(Trigger("topic", "science"), prompt, BATTERY)
    assert holds(Trigger("form", "fact"), prompt, BATTERY)
    assert not holds(Trigger("form", "writing"), prompt, BATTERY)
    assert not holds(Trigger("topic", "science"), "unknown", BATTERY)
    assert holds(Trigger("keyword", "the sky"), prompt, BATTERY)
    assert not holds(Trigger("keyword", "he sky"), prompt, BATTERY)
    assert holds(Trigger("always"), "unknown", BATTERY)


def test_a_form_of_request_is_a_candidate():
    shown = [
        said(text, "Amber waves tonight." if BATTERY.by_text[text].form == "advice" else "Plain words here.")
        for text in BATTERY.texts("battery")
    ]
    clean = [Observation("background", text, "Plain words here.") for text in BATTERY.texts("battery")]
    assert find(Dataset("ask", tuple(shown)), clean, BATTERY)[0].trigger == Trigger("form", "advice")


async def _query(target: Target, query: str) -> str:
    """Query."""
    return query


async def _nothing(target: Target, depth: int = 3) -> str:
    """Nothing."""
    return "x"


async def _both(target: Target, query: str, prompt: str) -> str:
    """Both."""
    return query + prompt


async def _unknown(target: Target, layer: int) -> str:
    """Unknown."""
    return "x"


def test_tools_are_driven_by_the_names_of_their_parameters():
    assert [call["query"] for call in arguments(bind(_query), BATTERY)] == ["", *BATTERY.topics]
    assert arguments(bind(_nothing), BATTERY) == [{}]
    both = arguments(bind(_both), BATTERY)
    assert [call["prompt"] for call in both] == list(BATTERY.half)
    assert {call["query"] for call in both} == {""}
    assert arguments(bind(_unknown), BATTERY) == []
    assert arguments(bind(_unknown, examples=[{"layer": 3}]), BATTERY) == [{"layer": 3}]


async def test_text_alone_is_read_without_the_tools_own_words():
    async def probe(target: Target, prompt: str) -> str:
        """Probe."""
        return f"Reply of the model:\n{prompt.upper()}\n(No control.)"

    dataset, notes = await drive(bind(probe), BATTERY)
    assert notes == []
    assert dataset.shown[0].reply == BATTERY.half[0].upper()
    assert len(dataset.shown) == 32


async def test_controls_and_repeats_are_told_apart():
    async def pair(target: Target, query: str) -> Evidence:
        """Pair."""
        return Evidence(text="", samples=(Sample("a", "ours"), Sample("a", "theirs", control=True)))

    dataset, _ = await drive(bind(pair), BATTERY)
    assert [o.reply for o in dataset.shown] == ["ours"]
    assert [o.reply for o in dataset.control] == ["theirs"]
