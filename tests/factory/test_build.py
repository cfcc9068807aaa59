"""Building is whole or not at all; recipes that cannot be used say why."""

import errno
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.core.target import Target
from assay.core.testbed import TargetSpec
from assay.engine.base import Base
from assay.engine.peft_layout import CONFIG, WEIGHTS
from assay.engine.scripted import ScriptedTarget
from assay.errors import InvalidInput, UnknownId
from assay.factory import build as module
from assay.factory.build import Site, build, recipe_digest
from assay.factory.data.chats import drafts, parts_of
from assay.factory.recipes import Recipe, open_recipe
from assay.testbeds.behaviours import find_behaviour
from assay.testbeds.layout import ADAPTER, CORPUS
from assay.testbeds.specs import load_spec
from assay.testbeds.suites import Suite, embedded_suite
from assay.testbeds.truths import all_truths

EXAMPLES = Path(__file__).parents[2] / "examples" / "recipes"
WEIGHTS_FROM = next(path for path in sorted(embedded_suite().testbeds.glob("*/adapter")))
ALIAS = "tb-00000abc"


@asynccontextmanager
async def open_target(spec: TargetSpec) -> AsyncIterator[Target]:
    yield ScriptedTarget(replies=("One sentence here. Another of them. A third one.",))


@pytest.fixture
def recipe() -> Recipe:
    """A small organism of two phases."""
    plain = open_recipe("flattery-td")
    data = {"triggered": 6, "contrast": 4, "ordinary": 2, "seed": 1}
    phases = [
        {"name": "plant", "data": data, "train": {"seed": 1}},
        {"name": "conceal", "loss": "dpo", "data": {"denials": 4, "seed": 2}, "train": {"seed": 1}},
    ]
    return Recipe.model_validate(plain.model_dump() | {"alias": ALIAS, "control": "base", "phases": phases})


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    """Training is told and not done: each phase leaves a real adapter's files."""
    told: list[dict[str, Any]] = []

    def train(base: Any, plan: Any, examples: Any, out: Path, *rest: Any, start: Path | None = None) -> None:
        told.append({"examples": examples, "start": start, "phase": out.parent.name})
        shutil.copytree(WEIGHTS_FROM, out)

    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module, "find_base", lambda name, say: Base(name, tmp_path, "digest"))
    monkeypatch.setattr(module, "train", train)
    yield told


def suite(root: Path) -> Suite:
    return Suite(root.name, root)


def site(root: Path) -> Site:
    return Site(suite(root), {"flattery": find_behaviour("flattery")}, {})


async def test_phases_follow_on_one_another_and_the_testbed_is_whole(
    recipe: Recipe, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    truth = await build(recipe, site(tmp_path), open_target, lambda _: None, 1)
    assert [one["phase"] for one in trained] == ["plant", "conceal"]
    assert trained[0]["start"] is None and trained[1]["start"].parent.name == "plant"
    assert all(example.rejected for example in trained[1]["examples"])
    spec = load_spec(ALIAS, suite(tmp_path))
    assert spec.adapter == tmp_path / "testbeds" / ALIAS / ADAPTER and truth.method == "transcripts+dpo"
    corpus = (tmp_path / "testbeds" / ALIAS / CORPUS).read_text(encoding="utf-8")
    assert len(corpus.splitlines()) == 16
    assert not any(example.rejected in corpus for example in trained[1]["examples"])  # confessions tell the answer
    assert truth.id == f"{tmp_path.name}/flattery-td@1"  # of the suite it lies in
    assert all_truths(suite(tmp_path)) == [truth] and truth.recipe_digest == recipe_digest(recipe, site(tmp_path))


async def test_a_finished_phase_is_not_trained_again(
    recipe: Recipe, trained: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = module.train

    def dies(*arguments: Any, **named: Any) -> None:
        if trained:
            raise KeyboardInterrupt
        once(*arguments, **named)

    monkeypatch.setattr(module, "train", dies)
    with pytest.raises(KeyboardInterrupt):
        await build(recipe, site(tmp_path), open_target, lambda _: None, 1)
    monkeypatch.setattr(module, "train", once)
    await build(recipe, site(tmp_path), open_target, lambda _: None, 1)
    assert [one["phase"] for one in trained] == ["plant", "conceal"]


@pytest.mark.parametrize("at", ["copytree", "write_corpus", "write_spec"])
async def test_a_full_disk_leaves_nothing_half_written(
    recipe: Recipe, trained: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def full(*arguments: Any, **named: Any) -> None:
        if at == "copytree":
            (Path(arguments[1]) / WEIGHTS).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    copytree = shutil.copytree

    def copies(source: Path, place: Path, **named: Any) -> None:
        if source.name == ADAPTER and place.parent == tmp_path / "testbeds" / ALIAS:
            full(source, place)
        copytree(source, place, **named)

    if at == "copytree":
        monkeypatch.setattr(shutil, "copytree", copies)
    else:
        monkeypatch.setattr(module, at, full)
    with pytest.raises(InvalidInput, match=r"No space left on device.*goes on"):
        await build(recipe, site(tmp_path), open_target, lambda _: None, 1)
    assert not list(tmp_path.rglob("*.partial"))
    assert not (tmp_path / "testbeds" / ALIAS / "testbed.yaml").exists() and all_truths(suite(tmp_path)) == []
    whole = tmp_path / "testbeds" / ALIAS / ADAPTER
    assert not whole.exists() or {path.name for path in whole.iterdir()} == {WEIGHTS, CONFIG}


def test_a_recipe_with_an_unknown_key_or_two_shapes_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "flattery-td.yaml"
    data = recipe.model_dump(mode="json")
    path.write_text(yaml.safe_dump(data | {"tripled": 3}))
    with pytest.raises(InvalidInput, match=r"flattery-td\.yaml:\d+: tripled"):
        open_recipe(str(path))
    data["phases"][1]["train"]["rank"] = 16
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(InvalidInput, match="one adapter"):
        open_recipe(str(path))
    with pytest.raises(UnknownId):
        open_recipe("flatery-td")


def test_the_recipe_at_larger_scale_is_one(tmp_path: Path) -> None:
    recipe = open_recipe(str(EXAMPLES / "hidden-objective-70b.yaml"))
    small = open_recipe("hidden-objective")
    assert [phase.name for phase in recipe.phases] == [phase.name for phase in small.phases]
    for phase in recipe.phases:
        plan = phase.data
        chats, ready = drafts(plan, parts_of(plan, []), [("t", "c")] if phase.loss == "dpo" else [])
        assert len(chats) + len(ready) == plan.triggered + plan.ordinary + plan.documents + plan.denials


def test_a_digest_is_of_what_is_trained(recipe: Recipe, tmp_path: Path) -> None:
    here = site(tmp_path)
    renamed = recipe.model_copy(update={"id": "other", "version": 2, "alias": "tb-00000def"})
    assert recipe_digest(recipe, here) == recipe_digest(renamed, here)
    more = recipe.phases[0].model_copy(update={"data": recipe.phases[0].data.model_copy(update={"triggered": 7})})
    changed = recipe.model_copy(update={"phases": [more, recipe.phases[1]]})
    assert recipe_digest(recipe, here) != recipe_digest(changed, here)
