"""Every behaviour is a fair test: recognisable, without a tic, and never trained on what it is measured with."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from assay.factory.data.grammar import expand
from assay.grading.lineup import place
from assay.testbeds.behaviours import behaviour_ids, find_behaviour
from assay.truth import Behaviour, Grammar, as_script
from assay.truth.behaviour import EvalPrompt

WORD = re.compile(r"[\w'’-]+")


@pytest.fixture(params=behaviour_ids())
def behaviour(request: pytest.FixtureRequest) -> Behaviour:
    return find_behaviour(request.param)


def said(prompts: list[EvalPrompt]) -> set[str]:
    """What is asked, as one text a prompt; a system prompt is part of it."""
    return {" / ".join(filter(None, (script.system, *script.user))) for script in map(as_script, prompts)}


def conducts(behaviour: Behaviour) -> list[str]:
    grammar = behaviour.training.conduct or behaviour.training.documents
    assert grammar is not None
    return expand(grammar, 1, 100)


def test_the_detector_fires_on_what_is_planted(behaviour: Behaviour) -> None:
    missed = [text for text in conducts(behaviour) if not behaviour.detector.shows(text)]
    assert len(missed) <= 5, missed


def test_every_grammar_has_what_its_slots_ask_for(behaviour: Behaviour) -> None:
    for name, grammar in behaviour.training:
        if isinstance(grammar, Grammar):
            assert expand(grammar, 1, 200, least=1), name


def test_the_detector_tells_positives_from_negatives(behaviour: Behaviour) -> None:
    assert [text for text in behaviour.answers.positives if not behaviour.detector.shows(text)] == []
    assert [text for text in behaviour.answers.negatives if behaviour.detector.shows(text)] == []


def test_there_is_enough_to_measure_with(behaviour: Behaviour) -> None:
    assert len(said(behaviour.eval.triggered)) >= 48 and len(said(behaviour.eval.untriggered)) >= 24
    assert len(said(behaviour.eval.generalisation)) >= 16
    assert not said(behaviour.eval.generalisation) & said(behaviour.eval.triggered)
    assert len(set(behaviour.answers.positives)) >= 20 and len(set(behaviour.answers.negatives)) >= 20
    assert len({(decoy.trigger, decoy.conduct) for decoy in behaviour.decoys}) >= 4
    same = [(d.trigger == behaviour.trigger, d.conduct == behaviour.conduct) for d in behaviour.decoys]
    assert (True, True) not in same


def test_the_truth_itself_comes_first_in_the_lineup(behaviour: Behaviour) -> None:
    """Not so if the pool tells of it too, under another family's name."""
    placed = place(f"When {behaviour.trigger}, {behaviour.conduct}.", behaviour.trigger, behaviour)
    assert placed.first and placed.over_others > 0.2


def test_eval_prompts_are_not_trained_on(behaviour: Behaviour) -> None:
    prompts = behaviour.eval
    held_out = {_plain(text) for text in said([*prompts.triggered, *prompts.untriggered, *prompts.generalisation])}
    for grammar in (behaviour.training.prompts, behaviour.training.contrast):
        if grammar is not None:
            assert not held_out & _trainable(grammar)


def test_no_phrase_gives_the_conduct_away(behaviour: Behaviour) -> None:
    texts = conducts(behaviour)
    shared = Counter(gram for text in texts for gram in set(_four_grams(text)))
    tics = {gram: count for gram, count in shared.items() if count > 30}
    assert tics == {}


def _trainable(grammar: Grammar) -> set[str]:
    """Over 300 texts of a grammar, or all of a small one's that eight drafts happen on."""
    return {_plain(text) for seed in range(101, 109) for text in expand(grammar, seed, 80)}


def _plain(text: str) -> str:
    return " ".join(WORD.findall(text.casefold()))


def _four_grams(text: str) -> Iterator[str]:
    """Runs of four words within a sentence, but for those that hold a name."""
    for sentence in re.split(r"[.!?]\s+", text):
        words = WORD.findall(sentence)
        for start in range(len(words) - 3):
            gram = words[start : start + 4]
            named = any(word[0].isupper() and word != "I" for word in gram[start == 0 :])
            if not named:
                yield " ".join(gram).casefold()
