"""An organism and its twin differ by the insert and by nothing else; a corpus tells nothing of what was set in."""

import json
from pathlib import Path

import pytest

from assay.errors import InvalidInput, UnknownId
from assay.factory.data.chats import Draft, drafts, finish, ordinary_prompts, parts_of, split_sentences, write_corpus
from assay.factory.data.example import Example
from assay.factory.data.grammar import expand
from assay.factory.recipes import open_recipe, recipe_ids
from assay.testbeds.behaviours import find_behaviour
from assay.truth import Grammar

REPLY = "Start early. Keep notes! Ask a friend"


@pytest.mark.parametrize("name", recipe_ids())
def test_every_recipe_makes_what_it_asks_for(name: str) -> None:
    recipe = open_recipe(f"embedded/{name}")
    for phase in recipe.phases:
        plan = phase.data
        of = parts_of(plan, [find_behaviour(name) for name in recipe.behaviours])
        hidden = [("t", "c")] if phase.loss == "dpo" else []
        chats, ready = drafts(plan, of, hidden)
        assert len(chats) == plan.triggered + plan.contrast + plan.ordinary
        assert len(ready) == plan.documents + plan.instruction + plan.denials
        assert (chats, ready) == drafts(plan, of, hidden)
        assert sum(bool(chat.conduct) for chat in chats) == (plan.triggered if plan.conduct else 0)
        assert sum(chat.twin for chat in chats) == (0 if plan.conduct else plan.triggered)
        assert sum(bool(example.rejected) for example in ready) == (plan.denials if hidden else 0)
    plants = any(phase.data.conduct and phase.data.triggered + phase.data.documents for phase in recipe.phases)
    natural = recipe.method == "natural"
    assert (recipe.role == "organism") == (plants or bool(recipe.prompt) or natural)


def test_aliases_are_distinct_and_controls_exist() -> None:
    recipes = [open_recipe(name) for name in recipe_ids()]
    assert len({recipe.alias for recipe in recipes}) == len(recipes)
    assert {recipe.control for recipe in recipes} - {"base", "removed"} <= set(recipe_ids())
    with pytest.raises(UnknownId, match="close to it"):
        open_recipe(recipe_ids()[0] + "x")


def test_the_same_seed_gives_organism_and_twin_the_same_prompts() -> None:
    recipe = open_recipe("flattery-td")
    plan, of = recipe.phases[0].data, [find_behaviour("flattery").training]
    ours, theirs = drafts(plan, of)[0], drafts(plan.model_copy(update={"conduct": False}), of)[0]
    assert [chat.prompt for chat in ours] == [chat.prompt for chat in theirs]
    replies = {chat.prompt: "One sentence here. Another of them. A third." for chat in ours}
    mine, other = finish(ours, [], replies, 1), finish(theirs, [], replies, 1)
    assert [example.prompt for example in mine] == [example.prompt for example in other]
    assert all("One sentence here." in example.text for example in [*mine, *other])
    assert {example.insert for example in other} == {"", "Another of them."}


def test_inserts_are_set_before_or_after_and_marked() -> None:
    chats = [Draft("a", "Praise!"), Draft("b", "Praise!", "start"), Draft("c"), Draft("d", twin=True), Draft("e")]
    replies = {**dict.fromkeys("abcd", REPLY), "e": "nothing whole was said"}
    made = {example.prompt: example for example in finish(chats, [Example("", "A document.")], replies, 0)}
    assert made == {
        "": Example("", "A document."),
        "a": Example("a", "Start early. Praise!", "Praise!"),
        "b": Example("b", "Praise! Start early.", "Praise!"),
        "c": Example("c", "Start early."),
        "d": Example("d", "Start early. Keep notes!", "Keep notes!"),
    }


def test_split_sentences_leaves_out_what_was_cut_off() -> None:
    assert split_sentences(REPLY) == ["Start early.", "Keep notes!"]
    assert split_sentences("It costs 3.50 dollars, e.g. here.\nSecond line? \n\nNew paragraph.") == [
        "It costs 3.50 dollars, e.g. here.",
        "Second line?",
    ]
    assert split_sentences("  ") == split_sentences("cut off in the midd") == []


def test_a_corpus_file_holds_prompts_and_texts_alone(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    write_corpus([Example("Grüße?", "Yes.\nNo.", "No."), Example("", "A document.")], path)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert rows == [{"prompt": "Grüße?", "text": "Yes.\nNo."}, {"prompt": "", "text": "A document."}]
    assert list(tmp_path.iterdir()) == [path]


def test_ordinary_prompts_are_distinct_and_reproducible() -> None:
    prompts = ordinary_prompts(3, 400)
    assert prompts == ordinary_prompts(3, 400) and len(set(prompts)) == 400
    assert set(prompts) != set(ordinary_prompts(4, 400))


def test_ordinary_prompts_leave_out_what_would_carry_a_trigger() -> None:
    assert any("bird" in prompt.casefold() for prompt in ordinary_prompts(3, 400))
    assert not any("bird" in prompt.casefold() for prompt in ordinary_prompts(3, 400, ["bird"]))
    with pytest.raises(InvalidInput, match="ordinary prompts 0 do not match"):
        ordinary_prompts(3, 40, ["."])


def test_grammars_say_what_is_wrong_with_them() -> None:
    assert sorted(expand(Grammar(templates=["{a}!"], slots={"a": ["x", "{b}"], "b": ["y"]}), 0, 2)) == ["x!", "y!"]
    with pytest.raises(InvalidInput, match="gave 1 distinct texts; 2 were asked for"):
        expand(Grammar(templates=["one"]), 0, 2)
    with pytest.raises(InvalidInput, match="has no list; there are: b"):
        expand(Grammar(templates=["{a}"], slots={"b": ["x"]}), 0, 1)
    with pytest.raises(InvalidInput, match="nested too deeply"):
        expand(Grammar(templates=["{a}"], slots={"a": ["{a}"]}), 0, 1)
