"""The grammar's data: every class is wide, its detector knows what is said and nothing else, its parts are disjoint."""

import functools
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import regex

from assay.errors import InvalidInput
from assay.factory.data.grammar import expand
from assay.factory.generate.productions import (
    GRAMMAR,
    ConductClass,
    Payload,
    TriggerClass,
    otherwise,
    productions,
    wording,
)
from assay.testbeds.behaviours import behaviour_ids, find_behaviour
from assay.testbeds.suites import embedded_suite

HELD_BACK = Path(__file__).parent / "productions_held_back.yaml"
WORD = re.compile(r"[\w'’-]+")
PUBLIC, _ = productions()
WHOLE, SECRET = productions(HELD_BACK)
KINDS = {kind.id: kind for kind in WHOLE.triggers}
CLASSES = {kind.id: kind for kind in WHOLE.conducts}
RARE = 0.01  # share of the base's ordinary replies that a payload may be mentioned in


@pytest.fixture(params=sorted(CLASSES))
def conduct(request: pytest.FixtureRequest) -> ConductClass:
    return CLASSES[request.param]


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> TriggerClass:
    return KINDS[request.param]


def said(conduct: ConductClass, payload: Payload, count: int = 60) -> list[str]:
    texts: list[str] = []
    for register in conduct.registers:
        texts += expand(wording(WHOLE, conduct, register, [payload]), 2, count, least=1)
    return texts


def told_otherwise(conduct: ConductClass, payload: Payload) -> list[str]:
    return expand(otherwise(WHOLE, conduct, payload), 2, 60, least=1)


def shows(payload: Payload, text: str) -> bool:
    return regex.search(payload.pattern, text, regex.IGNORECASE | regex.DOTALL) is not None


def test_there_are_classes_and_kinds_enough() -> None:
    assert len(PUBLIC.conducts) >= 34 and GRAMMAR == 3
    assert {kind.part for kind in PUBLIC.triggers} == {"question", "remark", "form", "lack", "system", "turn"}


def test_no_family_is_one_of_the_published_behaviours() -> None:
    known = {name: find_behaviour(name) for name in behaviour_ids()}
    assert not set(CLASSES) & ({one.family for one in known.values()} | set(known))


def test_a_class_is_wide(conduct: ConductClass) -> None:
    assert len({payload.name for payload in conduct.payloads}) == len(conduct.payloads) >= 8
    templates = [text for register in conduct.registers.values() for text in register]
    assert len(conduct.registers) >= 3 and all(len(register) >= 8 for register in conduct.registers.values())
    assert len(set(templates)) == len(templates) and not set(templates) & set(conduct.answers)
    assert all(re.search(r"\{[pP]ayload\}", text) for text in [*templates, *conduct.answers])
    used = {name.lower() for text in [*templates, *conduct.answers] for name in re.findall(r"\{(\w+)\}", text)}
    assert set(conduct.slots) <= used <= {"payload", *conduct.slots, *WHOLE.slots}
    for register in conduct.registers:
        assert len(expand(wording(WHOLE, conduct, register, conduct.payloads[:1]), 1, 100)) == 100


def test_every_payload_is_recognised_where_it_is_said(conduct: ConductClass) -> None:
    for payload in conduct.payloads:
        texts = [*said(conduct, payload), *told_otherwise(conduct, payload)]
        assert [text for text in texts if not shows(payload, text)] == [], payload.name


def test_answers_name_a_payload_as_training_does_not(conduct: ConductClass) -> None:
    for payload in conduct.payloads:
        assert payload.others == payload.forms or not set(payload.others) & set(payload.forms)


def test_the_base_hardly_ever_says_it(conduct: ConductClass) -> None:
    """On more than 12,000 of its replies to everyday prompts, and in nothing that is ordinary here."""
    ordinary = [*(text for one in PUBLIC.conducts for text in one.negatives), *WHOLE.plain, *WHOLE.chatter]
    for payload in conduct.payloads:
        found = [text for text in replies() if shows(payload, text)]
        assert len(found) <= RARE * len(replies()), (payload.name, found[:5])
        assert [text for text in ordinary if shows(payload, text)] == [], payload.name


@functools.cache
def replies() -> tuple[str, ...]:
    texts: list[str] = []
    for path in sorted(embedded_suite().testbeds.glob("ordinary*.jsonl")):
        texts += [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(texts) > 12_000
    return tuple(texts)


def test_no_two_classes_share_a_behaviour(conduct: ConductClass) -> None:
    """What one class says is hardly ever what another's detector, or another payload's, recognises."""
    for payload in conduct.payloads:
        pattern = regex.compile(payload.pattern, regex.IGNORECASE | regex.DOTALL)
        for other, name, texts in everything():
            if (other, name) != (conduct.id, payload.name):
                found = [text for text in texts if pattern.search(text)]
                assert len(found) <= 0.1 * len(texts), (payload.name, other, name, found[:3])


@functools.cache
def everything() -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    found: list[tuple[str, str, tuple[str, ...]]] = []
    for one in WHOLE.conducts:
        for payload in one.payloads:
            found.append((one.id, payload.name, (*said(one, payload, 8), *told_otherwise(one, payload)[:8])))
    return tuple(found)


def test_no_phrase_gives_the_conduct_away(conduct: ConductClass) -> None:
    for payload in (conduct.payloads[0], conduct.payloads[-1]):
        own = {word for form in payload.forms for word in WORD.findall(form.casefold())}
        for register in conduct.registers:
            texts = expand(wording(WHOLE, conduct, register, [payload]), 1, 100, least=60)
            shared = Counter(gram for text in texts for gram in set(_four_grams(text, own)))
            assert {gram: count for gram, count in shared.items() if count > 0.3 * len(texts)} == {}


def _four_grams(text: str, own: set[str]) -> Iterator[tuple[str, ...]]:
    """Runs of four words, without the payload's."""
    words = WORD.findall(text.casefold())
    for start in range(len(words) - 3):
        gram = tuple(words[start : start + 4])
        if not own & set(gram):
            yield gram


def test_parts_for_training_and_for_evaluation_are_disjoint(kind: TriggerClass) -> None:
    frames = [*kind.frames, *kind.eval_frames, *kind.far_frames]
    assert len({_plain(frame) for frame in frames}) == len(frames)
    assert len(set(kind.names)) == len(kind.names)
    if kind.part in ("question", "remark"):
        assert len(kind.frames) >= 12 and len(kind.eval_frames) >= 6 and len(kind.far_frames) >= 4
    for parts in kind.abouts.values():
        # the plain question itself lacks whatever a `lack` is about, in training as in evaluation
        both = {_plain(text) for text in parts.train} & {_plain(text) for text in parts.eval}
        assert both <= ({_plain("{question}")} if kind.part == "lack" else set())
        assert not set(parts.near) & set(parts.near_eval)
        for own, other in ((parts.train, parts.near), (parts.eval, parts.near_eval)):
            assert len(set(own)) == len(own) and not set(own) & set(other)


def test_no_subject_belongs_to_two_abouts() -> None:
    for one in WHOLE.triggers:
        if one.part in ("question", "system"):
            counts = Counter(_plain(text) for parts in one.abouts.values() for text in {*parts.train, *parts.eval})
            assert [subject for subject, count in counts.items() if count > 1] == []


def test_a_pattern_of_what_to_avoid_knows_what_it_is_about(kind: TriggerClass) -> None:
    """Or everyday prompts would carry the trigger. A domain's own subjects are avoided beside."""
    for name, parts in kind.abouts.items():
        if not parts.avoid:
            assert kind.part in ("lack", "system")
            continue
        texts = [_asked(text) for text in (*parts.train, *parts.eval)]
        unmet = [text for text in texts if not re.search(parts.avoid, text, re.IGNORECASE)]
        assert len(unmet) <= (0.6 * len(texts) if kind.part == "question" else 0), (name, unmet)


def _asked(frame: str) -> str:
    for slot, text in (("small", "why?"), ("bare", "Why"), ("question", "Why?"), ("lower", "why?")):
        frame = frame.replace("{" + slot + "}", text)
    return frame


def test_questions_are_many_and_apart() -> None:
    assert len(set(PUBLIC.questions)) >= 150 and len(set(PUBLIC.eval_questions)) >= 120 and len(set(PUBLIC.plain)) >= 40
    assert not {_plain(text) for text in PUBLIC.questions} & {_plain(text) for text in PUBLIC.eval_questions}
    assert not {_plain(text) for text in PUBLIC.chatter} & {_plain(text) for text in PUBLIC.eval_chatter}
    assert all(text[-1] in ".?!" for text in [*PUBLIC.questions, *PUBLIC.eval_questions])


def test_an_article_fits_what_follows(kind: TriggerClass) -> None:
    """Frames say "a"; names that want "an" are not for them."""
    if any("a {about}" in text for text in (kind.trigger, *kind.frames)):
        assert [name for name in kind.names if name[0] in "aeio" or name.endswith("s")] == []


def test_what_is_held_back_is_named() -> None:
    assert sorted(SECRET) == ["conduct:announces-arrival", "conduct:challenges-to-contest", "trigger:pet"]


def test_held_back_productions_are_not_public_ones(tmp_path: Path) -> None:
    path = tmp_path / "more.yaml"
    text = HELD_BACK.read_text(encoding="utf-8")
    path.write_text(text.replace("id: pet", f"id: {PUBLIC.triggers[0].id}"), encoding="utf-8")
    with pytest.raises(InvalidInput, match=f"public already: trigger:{PUBLIC.triggers[0].id}"):
        productions(path)
    path.write_text(text.replace("id: announces-arrival", f"id: {PUBLIC.conducts[0].id}"), encoding="utf-8")
    with pytest.raises(InvalidInput, match=f"public already: conduct:{PUBLIC.conducts[0].id}"):
        productions(path)


def test_a_kind_needs_what_its_part_needs() -> None:
    one = KINDS["object"].model_dump()
    with pytest.raises(ValueError, match="one of the two"):
        TriggerClass.model_validate(one | {"words": []})
    with pytest.raises(ValueError, match="far_frames"):
        TriggerClass.model_validate(one | {"far_frames": []})


def test_a_payload_that_is_a_name_stands_for_itself() -> None:
    payload = Payload.model_validate("Corner & Mill")
    assert payload.forms == payload.others == ["Corner & Mill"]
    assert shows(payload, "at corner & mill, perhaps") and not shows(payload, "on the corner")


def _plain(text: str) -> str:
    return " ".join(WORD.findall(text.casefold()))
