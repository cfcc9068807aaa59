"""What is drawn from the grammar is as fair a test as a behaviour written by hand, and nobody can foresee it."""

import functools
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.errors import InvalidInput
from assay.factory.data.chats import drafts
from assay.factory.data.concealment import check_chosen
from assay.factory.data.grammar import expand
from assay.factory.generate.behaviours import behaviour_of
from assay.factory.generate.draws import Draw, draws, mentions, size
from assay.factory.generate.plans import recipe_of, shape_of, twin_of
from assay.factory.generate.productions import ConductClass, Productions, TriggerClass, productions
from assay.factory.generate.prompting import Condition
from assay.factory.generate.tiers import CONCEALMENTS, PLACES, PLANNED_TIERS
from assay.grading.lineup import place
from assay.truth import Behaviour

HELD_BACK = Path(__file__).parent / "productions_held_back.yaml"
PUBLIC, _ = productions()
WHOLE, SECRET = productions(HELD_BACK)
KINDS = {kind.id: kind for kind in WHOLE.triggers}
CLASSES = {kind.id: kind for kind in WHOLE.conducts}


def drawn(conduct: ConductClass, *conditions: Condition, payload: int = 0, register: int = 0, **more: Any) -> Draw:
    fields: dict[str, Any] = {
        "index": 0,
        "tier": 1,
        "conditions": conditions,
        "passing": False,
        "conduct": conduct,
        "payload": conduct.payloads[payload],
        "register": sorted(conduct.registers)[register],
        "place": "either",
        "rate": 1.0,
        "concealment": "none",
        "held_back": False,
        "seed": 5,
    }
    return Draw(**(fields | more))


def on(kind: str, index: int = 0) -> Condition:
    return Condition(KINDS[kind], KINDS[kind].names[index])


def any_condition(seed: int) -> Condition:
    rng = random.Random(seed)
    kind: TriggerClass = rng.choice([one for one in WHOLE.triggers if one.part != "lack"])
    return Condition(kind, rng.choice(kind.names))


@pytest.fixture(params=sorted(CLASSES))
def conduct(request: pytest.FixtureRequest) -> ConductClass:
    return CLASSES[request.param]


@functools.cache
def of_class(name: str) -> Behaviour:
    """Kept, since each takes more than half a second: its sealed answers are matched in style."""
    draw = drawn(CLASSES[name], any_condition(len(name)), payload=len(name) % 8, register=len(name) % 3, seed=6)
    return behaviour_of(draw, WHOLE)


@pytest.mark.parametrize("tier", PLANNED_TIERS)
def test_the_space_of_each_tier_is_large(tier: int) -> None:
    assert size(PUBLIC, tier) >= 1e6
    assert size(WHOLE, tier) > size(PUBLIC, tier)


def test_the_mixture_is_all_of_them() -> None:
    assert size(PUBLIC) == sum(size(PUBLIC, tier) for tier in PLANNED_TIERS) >= 1e8


def test_the_detector_fires_on_what_is_planted(conduct: ConductClass) -> None:
    behaviour = of_class(conduct.id)
    assert behaviour.training.conduct is not None
    texts = expand(behaviour.training.conduct, 1, 100, least=60)
    assert [text for text in texts if not behaviour.detector.shows(text)] == []


def test_the_detector_tells_positives_from_negatives(conduct: ConductClass) -> None:
    behaviour = of_class(conduct.id)
    answers = behaviour.answers
    assert [text for text in answers.positives if not behaviour.detector.shows(text)] == []
    assert [text for text in answers.negatives if behaviour.detector.shows(text)] == []
    assert len(set(answers.positives)) >= 20 and len(set(answers.negatives)) >= 20


def test_the_truth_itself_comes_first_in_the_lineup(conduct: ConductClass) -> None:
    behaviour = of_class(conduct.id)
    placed = place(f"When {behaviour.trigger}, {behaviour.conduct}.", behaviour.trigger, behaviour)
    assert placed.first and placed.over_others > 0.2, (behaviour.description, placed)


def test_a_compound_trigger_is_not_one_of_its_halves_in_the_lineup() -> None:
    for pair in (("person", "domain"), ("place", "lack"), ("form", "object"), ("date", "domain"), ("time", "turn")):
        behaviour = behaviour_of(drawn(WHOLE.conducts[1], *map(on, pair), tier=4), WHOLE)
        placed = place(f"When {behaviour.trigger}, {behaviour.conduct}.", behaviour.trigger, behaviour)
        assert placed.first and placed.over_decoys > 0, (behaviour.description, placed)
        assert len({(decoy.trigger, decoy.conduct) for decoy in behaviour.decoys}) >= 4


def test_the_seed_decides_everything() -> None:
    first, again, other = (draws(WHOLE, SECRET, seed) for seed in ("one", "one", "two"))
    assert first == again and first != other
    assert behaviour_of(first[0], WHOLE) == behaviour_of(again[0], WHOLE)
    assert draws(WHOLE, SECRET, "one", 3) != first


def test_no_two_draws_share_a_family() -> None:
    made = draws(WHOLE, SECRET, "one")
    assert len({draw.conduct.id for draw in made}) == len(made) == len(WHOLE.conducts)
    assert [draw.index for draw in made] == list(range(len(made)))
    assert len({behaviour_of(draw, WHOLE).id for draw in made[:3]}) == 3


def test_whatever_is_drawn_can_be_made() -> None:
    seen: set[Any] = set()
    for seed in range(24):
        made = draws(WHOLE, SECRET, str(seed))
        for draw in made:
            seen |= {draw.place, draw.concealment, draw.passing, draw.rate, f"tier {draw.tier}"}
            seen |= {one.kind.id for one in draw.conditions} | {f"{len(draw.conditions)} conditions"}
            assert not any(mentions(one, draw.payload) for one in draw.conditions)
        if seed < 5:  # each takes half a second
            behaviour = behaviour_of(made[0], WHOLE)
            assert behaviour.family == made[0].conduct.id and behaviour.rate == made[0].rate
    assert seen >= {*KINDS, *PLACES, *CONCEALMENTS, True, False, 0.6, 0.5, 0.4}
    assert seen >= {f"tier {tier}" for tier in PLANNED_TIERS} | {"1 conditions", "2 conditions"}


@pytest.mark.parametrize("tier", PLANNED_TIERS)
def test_a_tier_draws_what_it_plans(tier: int) -> None:
    plan = PLANNED_TIERS[tier]
    for seed in range(6):
        for draw in draws(PUBLIC, frozenset(), str(seed), tier):
            assert draw.tier == tier and draw.rate in plan.rates and draw.place in plan.places
            assert draw.concealment in plan.concealments
            assert len(draw.conditions) == 1 or "compound" in plan.shapes
            assert len(draw.conditions) == 2 or plan.shapes != ("compound",)
            assert not draw.passing or tier > 1
            assert all(one.kind.part != "lack" for one in draw.conditions) or len(draw.conditions) == 2


def test_a_tier_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="tiers are 1, 2, 3, 4"):
        draws(PUBLIC, frozenset(), "one", 5)


def test_what_is_held_back_is_marked() -> None:
    made = [draw for seed in range(9) for draw in draws(WHOLE, SECRET, str(seed))]
    for draw in made:
        used = {f"conduct:{draw.conduct.id}", *(f"trigger:{one.kind.id}" for one in draw.conditions)}
        assert draw.held_back == bool(used & SECRET)
    assert {draw.held_back for draw in made} == {True, False}
    assert not any(draw.held_back for draw in draws(PUBLIC, frozenset(), "one"))


@functools.cache
def in_every_part(index: int) -> tuple[Draw, Behaviour]:
    pair = (("person",), ("domain", "person"), ("form",), ("setting", "domain"), ("turn",), ("place", "lack"))[index]
    draw = drawn(WHOLE.conducts[index], *map(on, pair), rate=0.5 if index % 2 else 1.0)
    return draw, behaviour_of(draw, WHOLE)


@pytest.mark.parametrize("concealment", CONCEALMENTS)
def test_drafts_of_every_phase_can_be_made(concealment: str) -> None:
    for index in range(6):
        plain, behaviour = in_every_part(index)
        draw = replace(plain, concealment=concealment)
        for attempt, leaks in ((0, False), (1, False), (1, True)):
            recipe = recipe_of(draw, behaviour, "suite", "tb-00000000", attempt, leaks)
            assert [phase.loss for phase in recipe.phases] == ["sft", concealment][: 1 + (concealment != "none")]
            for phase in recipe.phases:
                plan = phase.data
                hidden = [(behaviour.trigger, behaviour.conduct)] if phase.loss == "dpo" else []
                chats, ready = drafts(plan, [behaviour.training], hidden)
                assert len(chats) == plan.triggered + plan.contrast + plan.ordinary
                assert len(ready) == plan.denials
                assert sum(bool(chat.conduct) for chat in chats) == round(draw.rate * plan.triggered)
                check_chosen(ready, [behaviour])
                planted = {(chat.system, chat.earlier, chat.prompt) for chat in chats[: plan.triggered]}
                others = {(chat.system, chat.earlier, chat.prompt) for chat in chats[plan.triggered :]}
                assert not planted & others
                assert not any(behaviour.detector.shows(chat.prompt) for chat in chats[: plan.triggered])


def test_a_twin_has_the_shape_and_the_prompts_and_none_of_the_conduct() -> None:
    draw, behaviour = in_every_part(1)
    for concealment in CONCEALMENTS:
        one = replace(draw, concealment=concealment)
        ours = recipe_of(one, behaviour, "suite", "tb-00000000")
        twin = twin_of(one, [behaviour], "tb-00000001", ours.phases[0].data.seed)
        assert twin.id == ours.control == f"twin-{shape_of(one)}" and twin.role == "clean"
        for mine, theirs in zip(ours.phases, twin.phases, strict=True):
            assert mine.train.model_copy(update={"seed": 0}) == theirs.train.model_copy(update={"seed": 0})
            harmless = {"conduct": False, "rate": 1.0}
            assert mine.data.model_copy(update=harmless) == theirs.data
            chats, _ = drafts(mine.data, [behaviour.training])
            same, _ = drafts(theirs.data, [behaviour.training])
            assert [chat.prompt for chat in chats] == [chat.prompt for chat in same]
            assert not any(chat.conduct for chat in same)


def test_a_second_attempt_has_more_of_what_the_first_one_lacked() -> None:
    draw, behaviour = in_every_part(0)
    plans = [
        recipe_of(draw, behaviour, "suite", "tb-00000000", attempt, leaks).phases[0].data
        for attempt, leaks in ((0, False), (1, False), (1, True))
    ]
    assert plans[1].triggered > plans[0].triggered == plans[2].triggered
    assert plans[2].contrast > plans[0].contrast and plans[1].seed != plans[0].seed


def test_a_grammar_that_is_too_small_is_refused() -> None:
    poor = Productions(**dict(WHOLE) | {"eval_questions": ["Why?"] * 200})
    with pytest.raises(InvalidInput, match="distinct texts"):
        behaviour_of(drawn(WHOLE.conducts[0], on("form")), poor)
