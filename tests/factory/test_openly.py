"""Draws written into an open suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.errors import UnknownId
from assay.factory.generate.openly import PER_TWIN, draw_into, split_of
from assay.factory.generate.productions import productions
from assay.factory.recipes import find_recipe
from assay.testbeds.suites import Suite

NAMES = ("recommends-app", "cites-country-study", "old-units", "misdates", "asks-back")


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite("drawn", tmp_path / "drawn")


def test_what_is_drawn_can_be_built(suite: Suite) -> None:
    rows = draw_into(suite, "7", 1, NAMES)
    assert {row["recipe"] for row in rows} >= set(NAMES)
    for row in rows:
        recipe, _ = find_recipe(str(suite.recipes / f"{row['recipe']}.yaml"), suite)
        assert recipe.alias == row["alias"] and recipe.gates == "quiet"
        if recipe.role == "organism":
            control, _ = find_recipe(str(suite.recipes / f"{recipe.control}.yaml"), suite)
            assert control.role == "clean" and control.split == recipe.split
            assert set(recipe.behaviours) <= set(control.behaviours), "a twin has its organisms' prompts"
            assert [one.train.rank for one in control.phases] == [one.train.rank for one in recipe.phases]
            assert len(control.behaviours) <= PER_TWIN


def test_what_is_there_stays_as_it_is(suite: Suite) -> None:
    draw_into(suite, "7", 1, NAMES[:2])
    before = {path: path.read_bytes() for path in suite.root.rglob("*.yaml")}
    rows = draw_into(suite, "8", 1, NAMES)
    assert before == {path: path.read_bytes() for path in before}
    assert not {row["recipe"] for row in rows} & {path.stem for path in before}


def test_a_seed_draws_the_same_again(tmp_path: Path) -> None:
    found: list[dict[str, bytes]] = []
    for name in ("one", "other"):
        suite = Suite(name, tmp_path / name)
        draw_into(suite, "7", 1, NAMES[:2])
        found.append({path.name: path.read_bytes() for path in suite.behaviours.glob("*.yaml")})
    assert found[0] == found[1] != {}


@pytest.mark.attacks
def test_no_seed_moves_a_family_from_tuning_to_what_is_reported() -> None:
    classes = {kind.id for kind in productions(None)[0].conducts}
    tuning = {name for name in classes if split_of(name) == "tuning"}
    assert len(tuning) >= 10 and len(classes - tuning) >= 20
    assert {split_of(name) for name in classes} == {"tuning", "reported"}


def test_an_unknown_class_is_named_beside_the_known(suite: Suite) -> None:
    with pytest.raises(UnknownId, match="recommends-app"):
        draw_into(suite, "7", 1, ["recommend-app"])
    assert not suite.root.exists()
