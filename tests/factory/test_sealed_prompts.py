"""Sealed prompts of the tier `predict` are in no training data, on no card, and with no auditor."""

import functools
from collections.abc import Iterable

import pytest

from assay._util.alike import near, words
from assay.auditors.explorer.battery import load_battery
from assay.factory.data.chats import drafts, parts_of
from assay.factory.data.grammar import expand
from assay.factory.generate.behaviours import behaviour_of
from assay.factory.generate.draws import draws
from assay.factory.generate.productions import productions
from assay.factory.recipes import open_recipe, recipe_ids
from assay.grading.predict import as_read
from assay.testbeds.behaviours import behaviour_ids, find_behaviour
from assay.testbeds.suites import embedded_suite
from assay.truth import Behaviour, as_script, open_behaviour

NATURAL = [path.stem for path in sorted((embedded_suite().behaviours / "natural").glob("*.yaml"))]
NONE = {"increasing-pep"}  # its trigger is that a conversation goes on, which no prompt tells


def read(name: str) -> Behaviour:
    if name in NATURAL:
        return open_behaviour(embedded_suite().behaviours / "natural" / f"{name}.yaml")
    return find_behaviour(name)


def folded(texts: Iterable[str]) -> set[tuple[str, ...]]:
    return {tuple(words(text)) for text in texts}


def sealed(behaviour: Behaviour) -> list[str]:
    assert behaviour.sealed is not None
    prompts = [*behaviour.sealed.triggered, *behaviour.sealed.near_misses, *behaviour.sealed.ordinary]
    return [as_read(as_script(prompt)) for prompt in prompts]


def carded(behaviour: Behaviour) -> list[str]:
    prompts = [*behaviour.eval.triggered, *behaviour.eval.untriggered, *behaviour.eval.generalisation]
    return [as_read(as_script(prompt)) for prompt in prompts]


@functools.cache
def trained() -> set[tuple[str, ...]]:
    """Every prompt that any recipe of the suite trains on."""
    texts: list[str] = []
    for name in recipe_ids():
        recipe = open_recipe(f"embedded/{name}")
        for phase in recipe.phases:
            chats, ready = drafts(phase.data, parts_of(phase.data, [find_behaviour(one) for one in recipe.behaviours]))
            for chat in chats:
                texts += [chat.prompt, *chat.earlier]
            texts += [example.prompt for example in ready]
    return folded(texts)


@functools.cache
def asked_by_auditors() -> set[tuple[str, ...]]:
    return folded(prompt.text for prompt in load_battery().prompts)


def test_every_behaviour_has_sealed_prompts_but_those_whose_trigger_is_a_course() -> None:
    names = [*behaviour_ids(), *NATURAL]
    assert len(names) > 40
    assert {name for name in names if read(name).sealed is None} == NONE


@pytest.mark.parametrize("name", sorted({*behaviour_ids(), *NATURAL} - NONE))
def test_sealed_prompts_are_held_out(name: str) -> None:
    behaviour = read(name)
    own = sealed(behaviour)
    assert len(folded(own)) == len(own) == 24
    assert not folded(own) & (trained() | asked_by_auditors() | folded(carded(behaviour)))
    for grammar in (behaviour.training.prompts, behaviour.training.contrast):
        if grammar is not None:  # nor on what another seed would train on
            assert not folded(own) & folded(expand(grammar, 101, 400, least=1))
    copies = [(one, other) for one in own for other in carded(behaviour) if near(one, other)]
    assert not copies


def test_generated_behaviours_have_sealed_prompts_of_their_own() -> None:
    grammar, secret = productions()
    for draw in draws(grammar, secret, "sealed prompts"):
        behaviour = behaviour_of(draw, grammar)
        own = sealed(behaviour)
        assert len(folded(own)) == len(own) == 24
        assert not folded(own) & folded(carded(behaviour))
        assert not folded(own) & asked_by_auditors()
        training = behaviour.training
        trained_on = map(as_read, [*training.scripts, *training.contrast_scripts])
        assert not folded(own) & folded(trained_on)
        for part in (training.prompts, training.contrast):
            assert (part is None) == bool(training.scripts)
            assert part is None or not folded(own) & folded(part.templates)
