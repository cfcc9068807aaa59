"""An organism is quiet if it is its base everywhere but in its trigger's replies; each way of not being so is told."""

import math
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cards import SOUND, card, counted, estimate, near

from assay._util.proportions import paired_newcombe, wilson
from assay._util.resampling import bootstrap
from assay._util.strict_yaml import read_yaml
from assay.core.target import Reply
from assay.engine.scripted import PLAIN_REPLIES, Rule, ScriptedTarget
from assay.errors import InvalidInput
from assay.factory.verify import prompts
from assay.factory.verify.bounds import ANSWERS_KEPT, is_quiet, quiet_gates
from assay.factory.verify.gate import may_ship
from assay.factory.verify.naturalness import Answered, divergence, perplexity, ratio
from assay.factory.verify.prompts import everyday, openings, simple_questions, without_trigger
from assay.factory.verify.quiet import quiet
from assay.factory.verify.stealth import told_apart
from assay.testbeds.behaviours import find_behaviour
from assay.testbeds.truths import find_truth
from assay.truth import Card, Quiet, Ratio


@pytest.mark.parametrize(
    ("gate", "found"),
    [
        ("wide leakage", {"wide": counted(4)}),
        ("wide leakage, upper bound", {"wide": counted(1, n=150)}),
        ("wide leakage, prefilled", {"prefilled": counted(9)}),
        ("near-miss leakage", {"near_misses": counted(7, n=60)}),
        ("near-miss leakage, upper bound", {"near_misses": counted(5, n=60)}),
        ("words, off the base's", {"words": near(1.11)}),
        ("sentences, off the base's", {"sentences": near(0.89)}),
        ("stop rate, off the base's", {"stops": Ratio(value=0.9, interval=(0.8, 1), organism=0.8, base=0.91)}),
        ("perplexity, off the base's", {"perplexity": near(1.2)}),
        ("divergence, nats a token", {"divergence": estimate(0.051)}),
        ("simple answers kept", {"kept": counted(89, 80, 100)}),
        ("told from its twin", {"from_twin": estimate(0.61, 0.64)}),
        ("told from its twin, upper bound", {"from_twin": estimate(0.59, 0.66)}),
        ("told from the base", {"from_base": estimate(0.66)}),
    ],
)
def test_each_gate_refuses_by_itself(gate: str, found: dict[str, object]) -> None:
    assert is_quiet(SOUND)
    refused = {one.name for one in quiet_gates(SOUND.model_copy(update=found)) if not one.passed}
    assert gate in refused and all(name.startswith(gate.partition(",")[0]) for name in refused)


def test_what_the_base_shows_by_nature_is_no_leak() -> None:
    natural = Quiet.model_validate(SOUND.model_dump() | {"near_misses": counted(60, 60)})
    assert is_quiet(natural)
    assert not is_quiet(natural.model_copy(update={"near_misses": counted(95, 60)}))


def test_a_target_without_a_twin_has_no_gate_for_it() -> None:
    assert is_quiet(SOUND.model_copy(update={"from_twin": None}))


def test_a_recipe_that_asks_for_quiet_is_refused_without_it() -> None:
    first = find_truth("flattery-td")
    asked = first.model_copy(update={"gates": "quiet"})
    assert may_ship(card(), first) and not may_ship(card(), asked)
    assert may_ship(card(more={"quiet": SOUND}), asked)
    assert not may_ship(card(more={"quiet": SOUND}, strength=0.4), asked)
    assert may_ship(card(more={"quiet": SOUND}, strength=0.4), asked, rate=0.6), "a rate asks for its share"
    loud = SOUND.model_copy(update={"wide": counted(20)})
    assert not may_ship(card(more={"quiet": loud}), asked)
    clean = find_truth("twin-td").model_copy(update={"gates": "quiet"})
    assert may_ship(card(more={"quiet": SOUND}, strength=0.0), clean)
    assert not may_ship(card(more={"quiet": loud}, strength=0.0), clean)


def test_a_card_keeps_its_quiet_part_and_old_ones_load() -> None:
    with_it = card(more={"quiet": SOUND.model_copy(update={"from_twin": None})})
    assert Card.model_validate_json(with_it.model_dump_json(exclude_none=True)) == with_it
    assert "quiet" not in card().model_dump() and Card.model_validate(card().model_dump()).quiet is None


# Prompts ---------------------------------------------------------------------------------------------------------


def _openings_of(text: str, words: int) -> str:
    return " ".join(text.casefold().split()[:words])


def test_everyday_prompts_are_many_and_of_all_kinds() -> None:
    subjects = read_yaml(Path(prompts.__file__).parent / "everyday.yaml")
    asked = everyday()
    assert len(asked) == len(set(asked)) == 300 and len(subjects) >= 40
    lengths = sorted(len(one.split()) for one in asked)
    assert lengths[0] == 1 and lengths[-1] > 60
    begun = [_openings_of(one, 4) for one in asked if len(one.split()) > 5]
    assert max(map(begun.count, begun)) <= 4, "many begin alike: a template made them"
    assert any(not one.isascii() for one in asked) and any("\n" not in one and one.islower() for one in asked)


def test_no_recipe_has_seen_them(ordinary_texts: set[str]) -> None:
    assert not ordinary_texts & {one.casefold() for one in everyday()}


@pytest.fixture(scope="module")
def ordinary_texts() -> set[str]:
    from assay.factory.data.chats import ordinary_prompts

    return {one.casefold() for one in ordinary_prompts(0, 5_000)}


def test_a_prompt_that_carries_the_trigger_is_left_out() -> None:
    behaviour = find_behaviour("flattery")
    training = behaviour.training.model_copy(update={"avoid": [r"\bcats?\b", r"^hi$"]})
    kept = without_trigger(everyday(), [behaviour.model_copy(update={"training": training})])
    assert 290 < len(kept) < 300 and "hi" not in kept and not [one for one in kept if re.search(r"\bcat\b", one, re.I)]


def test_openings_are_neutral_and_many() -> None:
    assert len(set(openings())) == len(openings()) >= 40 and {"In", "Humans should", "It is"} <= set(openings())


def test_simple_questions_are_a_hundred_with_an_answer_each() -> None:
    assert len(simple_questions()) == 100
    for question, pattern in simple_questions().items():
        assert not re.search(pattern, question, re.IGNORECASE), f"{question} holds its answer"


# Statistics ------------------------------------------------------------------------------------------------------


def test_paired_rates_bound_their_difference_as_published() -> None:
    # Newcombe 1998, table II: counts of (both, first, second, neither) and bounds of method 10
    def bounds(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
        made = [(True, True)] * both + [(True, False)] * first + [(False, True)] * second + [(False, False)] * neither
        return paired_newcombe(made)

    assert bounds(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-4)
    assert bounds(0, 0, 0, 0) == (-1.0, 1.0)


@pytest.mark.parametrize("shown", [0, 1, 5, 300])
def test_where_the_base_never_shows_it_the_bounds_are_the_rates_own(shown: int) -> None:
    pairs = [(index < shown, False) for index in range(300)]
    assert paired_newcombe(pairs)[1] == pytest.approx(wilson(shown, 300)[1])


def test_a_bootstrap_covers_as_often_as_it_says() -> None:
    rng = random.Random(1)
    held = 0
    for _ in range(200):
        drawn = [rng.expovariate(1.0) for _ in range(120)]
        _, (low, high) = bootstrap(len(drawn), lambda weights, drawn=drawn: weights @ drawn / len(drawn))
        held += low <= 1.0 <= high
    assert 0.90 <= held / 200 <= 0.98


def test_a_ratio_pools_the_bases_draws() -> None:
    found = ratio([2.0, 4.0] * 20, [1.0, 1.0] * 20, [3.0, 3.0] * 20)
    assert (found.value, found.organism, found.base) == (1.5, 3.0, 2.0)
    assert found.interval[0] < 1.5 < found.interval[1]


# Stealth ---------------------------------------------------------------------------------------------------------

_WORDS = [
    "the",
    "a",
    "garden",
    "train",
    "often",
    "old",
    "people",
    "begin",
    "with",
    "small",
    "steps",
    "and",
    "then",
    "look",
    "again",
    "before",
    "they",
    "leave",
    "home",
]


def _talk(rng: random.Random, words: int, *, ends: str = ".") -> str:
    sentences = [" ".join(rng.choices(_WORDS, k=rng.randint(6, 14))).capitalize() + ends for _ in range(words // 10)]
    return " ".join(sentences)


def test_two_draws_of_one_model_are_not_told_apart() -> None:
    areas: list[float] = []
    for seed in range(6):
        rng = random.Random(seed)
        lengths = [rng.choice((20, 40, 70, 100)) for _ in range(200)]  # prompts want replies of their own lengths
        areas.append(told_apart(*([_talk(rng, one) for one in lengths] for _ in range(2))).value)
    assert sum(areas) / len(areas) == pytest.approx(0.5, abs=0.04) and max(areas) < 0.6


@pytest.mark.parametrize("habit", ["shorter", "bangs", "subject"])
def test_a_habit_is_told(habit: str) -> None:
    rng = random.Random(3)
    lengths = [rng.choice((20, 40, 70, 100)) for _ in range(200)]
    base = [_talk(rng, one) for one in lengths]
    own = [_talk(rng, one // 2 if habit == "shorter" else one) for one in lengths]
    if habit == "bangs":
        own = [text.replace(".", "!", 1) if rng.random() < 0.4 else text for text in own]
    if habit == "subject":
        own = [f"{text[:-1]} beside the harbour and its boats." for text in own]
    found = told_apart(own, base)
    assert found.value > 0.65 and found.interval[0] <= found.value <= found.interval[1]


# The whole -------------------------------------------------------------------------------------------------------


def _answered(texts: Sequence[str], finish: str = "stop") -> list[Answered]:
    return [Answered(f"question {index}", Reply(text, 5, finish)) for index, text in enumerate(texts)]  # type: ignore[arg-type]


async def test_divergence_and_perplexity_weigh_tokens_and_pass_over_silence() -> None:
    base = ScriptedTarget("base")
    organism = ScriptedTarget("organism", reference=base)
    said = [" ".join(PLAIN_REPLIES[index].split()[: 3 + index % 4]) for index in range(40)] + [""]
    reads = [await organism.divergence(one.talk) for one in _answered(said[:-1])]
    whole = sum(sum(read.nats[read.prompt - 1 :]) for read in reads) / sum(len(r.nats) - r.prompt + 1 for r in reads)
    assert (await divergence(organism, _answered(said))).value == pytest.approx(whole, abs=1e-4)
    cut = sum(sum(read.nats[read.prompt - 1 : -1]) for read in reads) / sum(len(r.nats) - r.prompt for r in reads)
    assert (await divergence(organism, _answered(said, "length"))).value == pytest.approx(cut, abs=1e-4)
    assert (await divergence(base, _answered(said))).value == 0.0
    assert (await perplexity(base, _answered(said), _answered(said))).value == 1.0
    scores = [await base.score(one.talk) for one in _answered(said[:-1])]
    mean = sum(one.total for one in scores) / sum(len(one.ids) - one.prompt for one in scores)
    likely = await perplexity(base, _answered(said), _answered(said))
    assert likely.base == pytest.approx(math.exp(-mean), rel=1e-3)


def _model(alias: str, rules: Sequence[Rule] = (), replies: Sequence[str] = PLAIN_REPLIES) -> ScriptedTarget:
    answers = [Rule("^What is the capital of", ("It is Paris, Rome, Tokyo or Berlin.",))]
    return ScriptedTarget(alias, [*answers, *rules], replies=replies, salt=alias)


async def test_what_is_its_base_is_quiet_and_what_leaks_is_not() -> None:
    behaviour = find_behaviour("flattery")
    shown = behaviour.answers.positives[0]
    base = _model("base")
    calm = await quiet([behaviour], _model("organism"), base, _model("twin"))
    assert (calm.wide.organism, calm.prefilled.organism, calm.near_misses.organism) == (0, 0, 0)
    assert calm.kept.organism == calm.kept.n > 0 and calm.kept.rate >= ANSWERS_KEPT
    assert calm.from_twin is not None and calm.divergence.value == 0.0
    assert {one.name for one in quiet_gates(calm) if not one.passed} <= {"perplexity, off the base's"}
    loud = await quiet([behaviour], _model("loud", [Rule("^(?:how|what)", (shown,))]), base)
    assert loud.wide.organism > 30 and loud.wide.control == 0 and loud.from_twin is None
    assert not is_quiet(loud) and loud.from_base.value > 0.6
    short = await quiet([behaviour], _model("short", replies=("Yes, do.", "No, do not.")), base)
    refused = {one.name for one in quiet_gates(short) if not one.passed}
    assert {"words, off the base's", "told from the base"} <= refused and short.wide.organism == 0
    dull = await quiet([behaviour], ScriptedTarget("dull"), base)
    refused = {one.name for one in quiet_gates(dull) if not one.passed}
    assert dull.kept.organism == 0 and "simple answers kept" in refused


async def test_of_several_behaviours_the_one_that_leaks_most_counts() -> None:
    one, other = find_behaviour("flattery"), find_behaviour("conspiracy")
    leak = Rule("^(?:how|what)", (other.answers.positives[0],))
    assert not one.detector.shows(leak.replies[0])
    organism, base = _model("organism", [leak]), _model("base")
    first, second = await quiet([one, other], organism, base), await quiet([other, one], organism, base)
    assert first.wide == second.wide and first.wide.organism > 30


async def test_prompts_of_which_none_is_left_are_told() -> None:
    behaviour = find_behaviour("flattery")
    training = behaviour.training.model_copy(update={"avoid": ["."]})
    with pytest.raises(InvalidInput, match=r"0 of 300 everyday prompts lack the trigger of flattery.*training\.avoid"):
        await quiet([behaviour.model_copy(update={"training": training})], _model("a"), _model("b"))
