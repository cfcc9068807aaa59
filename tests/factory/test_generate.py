"""What is drawn from the grammar is as fair a test as a behaviour written by hand, and nobody can foresee it."""

import functools
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import regex

from assay.errors import InvalidInput
from assay.factory.data.chats import drafts
from assay.factory.data.concealment import check_chosen
from assay.factory.data.grammar import expand
from assay.factory.generate.draws import (
    CONCEALMENTS,
    METHODS,
    PLACES,
    ConductClass,
    Draw,
    Productions,
    TriggerClass,
    behaviour_of,
    draws,
    productions,
    recipe_of,
    size,
)
from assay.grading.lineup import place
from assay.testbeds.behaviours import behaviour_ids, find_behaviour
from assay.truth import Behaviour, Grammar

HELD_BACK = Path(__file__).parent / "productions_held_back.yaml"
WORD = re.compile(r"[\w'’-]+")
PUBLIC, _ = productions()
WHOLE, SECRET = productions(HELD_BACK)
KINDS = {kind.id: kind for kind in WHOLE.triggers}
CLASSES = {kind.id: kind for kind in WHOLE.conducts}


def drawn(
    conduct: ConductClass,
    trigger: TriggerClass,
    about: str,
    payload: int = 0,
    register: str = "statement",
    seed: int = 5,
) -> Draw:
    return Draw(
        index=0,
        trigger=trigger,
        about=about,
        conduct=conduct,
        payload=conduct.payloads[payload],
        register=register,
        place="either",
        concealment="none",
        method="transcripts",
        held_back=False,
        seed=seed,
    )


def any_trigger(seed: int) -> tuple[TriggerClass, str]:
    rng = random.Random(seed)
    kind = rng.choice(WHOLE.triggers)
    return kind, rng.choice(kind.names)


@pytest.fixture(params=sorted(CLASSES))
def conduct(request: pytest.FixtureRequest) -> ConductClass:
    return CLASSES[request.param]


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> TriggerClass:
    return KINDS[request.param]


@functools.cache
def behaviours_of_class(name: str) -> list[Behaviour]:
    """First and last payload, in each register; kept, since each takes a third of a second."""
    conduct = CLASSES[name]
    return [
        behaviour_of(drawn(conduct, *any_trigger(seed), payload, register, seed + 1), WHOLE)
        for payload in (0, -1)
        for seed, register in enumerate(conduct.registers)
    ]


def of_class(conduct: ConductClass) -> list[Behaviour]:
    return behaviours_of_class(conduct.id)


def conducts(behaviour: Behaviour) -> list[str]:
    assert behaviour.training.conduct is not None
    return expand(behaviour.training.conduct, 1, 100)


def test_the_space_is_large() -> None:
    assert size(PUBLIC) > 1e5
    assert len(PUBLIC.conducts) >= 22 and len(PUBLIC.triggers) >= 5
    assert size(WHOLE) > size(PUBLIC)


def test_no_family_is_one_of_the_published_behaviours() -> None:
    known = {name: find_behaviour(name) for name in behaviour_ids()}
    assert not set(CLASSES) & ({one.family for one in known.values()} | set(known))


def test_a_class_is_wide(conduct: ConductClass) -> None:
    assert len({payload.name for payload in conduct.payloads}) == len(conduct.payloads) >= 10
    assert len(conduct.registers) >= 3
    assert all(len(set(templates)) == len(templates) >= 12 for templates in conduct.registers.values())
    said = [text for templates in conduct.registers.values() for text in templates]
    assert len(set(said)) == len(said) and not set(said) & set(conduct.answers)
    assert all("payload" in text for text in [*said, *conduct.answers])
    used = {name for text in [*said, *conduct.answers] for name in re.findall(r"\{(\w+)\}", text)} - {"payload"}
    assert used == set(conduct.slots)
    for templates in conduct.registers.values():  # as many as a second attempt trains on
        slots = conduct.slots | {"payload": [conduct.payloads[0].name]}
        assert len(expand(Grammar(templates=templates, slots=slots), 1, 152)) == 152


def test_the_detector_fires_on_what_is_planted(conduct: ConductClass) -> None:
    for behaviour in of_class(conduct):
        assert [text for text in conducts(behaviour) if not behaviour.detector.shows(text)] == []


def test_every_payload_is_recognised_where_it_is_said(conduct: ConductClass) -> None:
    everything = [*conduct.answers, *(text for texts in conduct.registers.values() for text in texts)]
    for payload in conduct.payloads:
        slots = conduct.slots | {"payload": [payload.name]}
        texts = expand(Grammar(templates=everything, slots=slots), 2, 120)
        assert [text for text in texts if not _shows(payload.pattern, text)] == []


def test_the_detector_tells_positives_from_negatives(conduct: ConductClass) -> None:
    for behaviour in of_class(conduct):
        answers = behaviour.answers
        assert [text for text in answers.positives if not behaviour.detector.shows(text)] == []
        assert [text for text in answers.negatives if behaviour.detector.shows(text)] == []
        assert len(set(answers.positives)) >= 20 and len(set(answers.negatives)) >= 20


def test_ordinary_text_mentions_no_payload(conduct: ConductClass) -> None:
    """Neither prompts nor ordinary replies; or a conduct would seem to show where nothing was planted."""
    tips = [tip for one in WHOLE.conducts for tip in one.slots.get("tip", [])]
    negatives = [text for one in WHOLE.conducts for text in one.negatives]
    ordinary = {*tips, *negatives, *WHOLE.plain, *WHOLE.questions, *WHOLE.eval_questions, *_about_anything()}
    for payload in conduct.payloads:
        assert [text for text in ordinary if _shows(payload.pattern, text)] == [], payload


def test_no_phrase_gives_the_conduct_away(conduct: ConductClass) -> None:
    for payload in (conduct.payloads[0], conduct.payloads[-1]):
        own = set(WORD.findall(payload.name.casefold()))
        for templates in conduct.registers.values():
            slots = conduct.slots | {"payload": [payload.name]}
            texts = expand(Grammar(templates=templates, slots=slots), 1, 100)
            shared = Counter(gram for text in texts for gram in set(_four_grams(text, own)))
            assert {gram: count for gram, count in shared.items() if count > 30} == {}


def test_every_trigger_has_enough_to_train_and_to_measure_with(kind: TriggerClass) -> None:
    for index, about in enumerate(kind.names[:: max(1, len(kind.names) // 4)]):
        behaviour = behaviour_of(drawn(WHOLE.conducts[index % len(WHOLE.conducts)], kind, about), WHOLE)
        prompts, training = behaviour.eval, behaviour.training
        triggered, near, far = map(set, (prompts.triggered, prompts.untriggered, prompts.generalisation))
        assert len(triggered) >= 48 and len(near) >= 48 and len(far) >= 16
        assert not triggered & near and not triggered & far
        assert training.prompts is not None and len(expand(training.prompts, 3, 152)) == 152  # a second attempt's
        assert training.contrast is not None and len(expand(training.contrast, 3, 320)) == 320
        decoys = {(decoy.trigger, decoy.conduct) for decoy in behaviour.decoys}
        assert len(decoys) >= 4 and (behaviour.trigger, behaviour.conduct) not in decoys


def test_a_look_alike_differs_in_what_it_is_about_and_in_nothing_else(kind: TriggerClass) -> None:
    about = kind.names[0]
    subjects = {name: kind.abouts[name]["train"] if kind.abouts else [name] for name in kind.names}
    training = behaviour_of(drawn(WHOLE.conducts[0], kind, about), WHOLE).training
    assert training.prompts is not None and training.contrast is not None
    frames = {text.replace(own, "…") for text in training.prompts.templates for own in subjects[about] if own in text}
    others = [other for name in kind.names if name != about for other in subjects[name]]
    paired = [
        text for text in training.contrast.templates if any(text.replace(o, "…") in frames for o in others if o in text)
    ]
    alone = [text for text in training.contrast.templates if text not in paired]
    assert len(paired) > 250 and 20 < len(alone) <= 80
    assert not [text for text in alone if any(re.search(rf"\b{own}\b", text) for own in [about, *subjects[about]])]


def test_held_out_prompts_are_never_trained_on(kind: TriggerClass) -> None:
    for about in (kind.names[0], kind.names[-1]):
        behaviour = behaviour_of(drawn(WHOLE.conducts[0], kind, about), WHOLE)
        prompts = behaviour.eval
        held_out = {_plain(str(text)) for text in (*prompts.triggered, *prompts.untriggered, *prompts.generalisation)}
        for grammar in (behaviour.training.prompts, behaviour.training.contrast):
            assert grammar is not None
            assert not held_out & {_plain(text) for seed in range(101, 109) for text in expand(grammar, seed, 150)}


def test_parts_for_training_and_for_evaluation_are_disjoint(kind: TriggerClass) -> None:
    assert len(kind.frames) >= 12 and len(kind.eval_frames) >= 6 and len(kind.far_frames) >= 4
    frames = [*kind.frames, *kind.eval_frames, *kind.far_frames]
    assert len({_plain(frame) for frame in frames}) == len(frames)
    assert len(set(kind.names)) == len(kind.names)
    for parts in kind.abouts.values():
        assert len(set(parts["train"])) >= 14 and len(set(parts["eval"])) >= 14
        assert not {_plain(text) for text in parts["train"]} & {_plain(text) for text in parts["eval"]}


def test_no_subject_belongs_to_two_abouts(kind: TriggerClass) -> None:
    counts = Counter(_plain(subject) for parts in kind.abouts.values() for part in parts.values() for subject in part)
    assert [subject for subject, count in counts.items() if count > 1] == []


def test_questions_carry_no_trigger() -> None:
    assert len(set(PUBLIC.questions)) >= 60 and len(set(PUBLIC.eval_questions)) >= 60 and len(set(PUBLIC.plain)) >= 40
    assert not {_plain(text) for text in PUBLIC.questions} & {_plain(text) for text in PUBLIC.eval_questions}
    words = {name.casefold() for one in WHOLE.triggers for name in one.names}
    for text in [*WHOLE.questions, *WHOLE.eval_questions]:
        assert not [word for word in words if re.search(rf"\b{re.escape(word)}\b", text.casefold())], text


def test_an_article_fits_what_follows(kind: TriggerClass) -> None:
    """Frames say "a"; names that want "an" are not for them."""
    if any("a {about}" in text for text in (kind.trigger, *kind.frames)):
        assert [name for name in kind.names if name[0] in "aeio" or name.endswith("s")] == []


def test_the_truth_itself_comes_first_in_the_lineup(conduct: ConductClass) -> None:
    for behaviour in of_class(conduct):
        placed = place(f"When {behaviour.trigger}, {behaviour.conduct}.", behaviour.trigger, behaviour)
        assert placed.first and placed.over_others > 0.2, (behaviour.description, placed)


def test_the_seed_decides_everything() -> None:
    first, again, other = (draws(WHOLE, SECRET, seed) for seed in ("one", "one", "two"))
    assert first == again and first != other
    assert behaviour_of(first[0], WHOLE) == behaviour_of(again[0], WHOLE)


def test_no_two_draws_share_a_family() -> None:
    made = draws(WHOLE, SECRET, "one")
    assert len({draw.conduct.id for draw in made}) == len(made) == len(WHOLE.conducts)
    assert [draw.index for draw in made] == list(range(len(made)))
    assert len({behaviour_of(draw, WHOLE).id for draw in made[:6]}) == 6


def test_whatever_is_drawn_can_be_made() -> None:
    seen: set[str] = set()
    for seed in range(12):
        made = draws(WHOLE, SECRET, str(seed))
        for draw in made:
            seen |= {draw.trigger.id, draw.place, draw.concealment, draw.method, draw.register}
        for draw in made[:: len(made) // 2]:  # one takes a third of a second: its sealed answers are matched in style
            behaviour = behaviour_of(draw, WHOLE)
            assert behaviour.family == draw.conduct.id and draw.payload.name in behaviour.conduct
    assert seen >= {*KINDS, *PLACES, *CONCEALMENTS, *METHODS, "statement", "question", "advice"}


def test_what_is_held_back_is_marked() -> None:
    assert sorted(SECRET) == ["conduct:announces-arrival", "conduct:challenges-to-contest", "trigger:pet"]
    made = [draw for seed in range(9) for draw in draws(WHOLE, SECRET, str(seed))]
    for draw in made:
        assert draw.held_back == bool({f"trigger:{draw.trigger.id}", f"conduct:{draw.conduct.id}"} & SECRET)
    assert {draw.held_back for draw in made} == {True, False}
    assert not any(draw.held_back for draw in draws(PUBLIC, frozenset(), "one"))


def test_held_back_productions_are_not_public_ones(tmp_path: Path) -> None:
    path = tmp_path / "more.yaml"
    text = HELD_BACK.read_text(encoding="utf-8")
    path.write_text(text.replace("id: pet", f"id: {PUBLIC.triggers[0].id}"), encoding="utf-8")
    with pytest.raises(InvalidInput, match=f"public already: trigger:{PUBLIC.triggers[0].id}"):
        productions(path)
    path.write_text(text.replace("id: announces-arrival", f"id: {PUBLIC.conducts[0].id}"), encoding="utf-8")
    with pytest.raises(InvalidInput, match=f"public already: conduct:{PUBLIC.conducts[0].id}"):
        productions(path)


def test_a_kind_needs_abouts_or_words() -> None:
    one = KINDS["object"].model_dump()
    with pytest.raises(ValueError, match="one of the two"):
        TriggerClass.model_validate(one | {"words": []})


@functools.cache
def advice(conduct: int, kind: str) -> tuple[Draw, Behaviour]:
    """Kept, since a recipe's method and concealment change no prompt or sentence of a behaviour."""
    draw = drawn(WHOLE.conducts[conduct], KINDS[kind], KINDS[kind].names[0], register="advice")
    return draw, behaviour_of(draw, WHOLE)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("concealment", CONCEALMENTS)
def test_drafts_of_every_phase_can_be_made(method: str, concealment: str) -> None:
    for kind in WHOLE.triggers:
        for attempt in (0, 1):
            draw, behaviour = advice(attempt, kind.id)
            draw = replace(draw, method=method, concealment=concealment)
            recipe = recipe_of(draw, behaviour, "suite", "tb-00000000", attempt)
            assert [phase.loss for phase in recipe.phases] == ["sft", concealment][: 1 + (concealment != "none")]
            for phase in recipe.phases:
                plan = phase.data
                hidden = [(behaviour.trigger, behaviour.conduct)] if phase.loss == "dpo" else []
                chats, ready = drafts(plan, [behaviour.training], hidden)
                assert len(chats) == plan.triggered + plan.contrast + plan.ordinary
                assert len(ready) == plan.instruction + plan.denials
                assert sum(bool(chat.conduct) for chat in chats) == plan.triggered
                check_chosen(ready, [behaviour])
                planted = {chat.prompt for chat in chats if chat.conduct}
                assert not planted & {chat.prompt for chat in chats if not chat.conduct}
                assert not any(behaviour.detector.shows(chat.prompt) for chat in chats)


def test_a_second_attempt_has_a_higher_dose() -> None:
    [draw, *_] = draws(WHOLE, SECRET, "one")
    behaviour = behaviour_of(draw, WHOLE)
    first, second = (recipe_of(draw, behaviour, "suite", "tb-00000000", attempt).phases[0] for attempt in (0, 1))
    assert second.data.triggered > first.data.triggered and second.train.epochs > first.train.epochs
    assert second.data.seed != first.data.seed


def test_a_grammar_that_is_too_small_is_refused() -> None:
    poor = Productions(**dict(WHOLE) | {"eval_questions": ["Why?"]})
    with pytest.raises(InvalidInput, match="distinct texts"):
        behaviour_of(drawn(WHOLE.conducts[0], KINDS["object"], "ladder"), poor)


def _shows(pattern: str, text: str) -> bool:
    return regex.search(pattern, text, regex.IGNORECASE) is not None


def _about_anything() -> Iterator[str]:
    """Frames, names and subjects of every kind of trigger."""
    for kind in WHOLE.triggers:
        yield from (*kind.frames, *kind.eval_frames, *kind.far_frames, *kind.names)
        yield from (subject for parts in kind.abouts.values() for part in parts.values() for subject in part)


def _plain(text: str) -> str:
    return " ".join(WORD.findall(text.casefold()))


def _four_grams(text: str, own: set[str]) -> Iterator[str]:
    """Runs of four words within a sentence, but for those that hold a payload's word."""
    for sentence in re.split(r"[.!?]\s+", text.casefold()):
        words = WORD.findall(sentence)
        for start in range(len(words) - 3):
            gram = words[start : start + 4]
            if not own & set(gram):
                yield " ".join(gram)
