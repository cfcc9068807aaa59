"""Suites are folders that anybody offers; an installed one is never written to, and a name is one suite's."""

import os
import shutil
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from assay.errors import InvalidInput, UnknownId
from assay.factory.commands import home_of
from assay.factory.recipes import find_recipe, open_recipe
from assay.testbeds import suites as module
from assay.testbeds.aliases import guessable_alias
from assay.testbeds.behaviours import behaviour_ids, find_behaviour
from assay.testbeds.layout import SPEC
from assay.testbeds.specs import aliases, load_spec, suite_of, write_spec
from assay.testbeds.suites import (
    EMBEDDED_SUITE,
    Suite,
    embedded_suite,
    find_suite,
    installed_suites,
    open_suite,
    own_suite,
    suites,
)
from assay.testbeds.truths import all_truths, answers_absent, find_alias, find_truth, keep_measured, write_truth


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `ASSAY_HOME`."""
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ASSAY_SUITES", raising=False)
    return tmp_path


def copied(suite: Suite, root: Path, alias: str) -> Suite:
    """A suite of one testbed of another, with its answer and the ordinary data around it."""
    made = Suite(root.name, root)
    shutil.copytree(suite.testbeds / alias, made.testbeds / alias)
    shutil.copytree(suite.answers / alias, made.answers / alias)
    for path in suite.testbeds.glob("*.jsonl"):
        shutil.copy(path, made.testbeds)
    return made


def offered(monkeypatch: pytest.MonkeyPatch, folder: Path, *names: str) -> None:
    """A package on the path that offers suites under some names."""
    info = folder / "other-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[assay.suites]\n" + "".join(f"{name} = other_suite\n" for name in names))
    monkeypatch.syspath_prepend(str(folder))
    installed_suites.cache_clear()


@pytest.fixture(autouse=True)
def forgotten() -> object:
    yield
    installed_suites.cache_clear()


def test_a_package_offers_a_suite_and_its_code_is_never_run(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alias = find_truth("flattery-td").alias
    root = copied(embedded_suite(), machine / "site" / "other_suite", alias).root
    suite = Suite("other", root)
    (suite.root / "__init__.py").write_text("raise SystemExit('a suite is data')")
    renamed = "tb-0123abcd"
    for tree in (suite.testbeds, suite.answers):
        (tree / alias).rename(tree / renamed)
    truth = find_truth("flattery-td").model_copy(update={"alias": renamed, "id": "other/flattery-td@1"})
    write_truth(truth, suite)
    spec = suite.testbeds / renamed / SPEC
    spec.write_text(spec.read_text().replace(alias, renamed))
    offered(monkeypatch, machine / "site", "other")
    assert [one.name for one in installed_suites()] == [EMBEDDED_SUITE, "other"]
    assert find_truth("other/flattery-td").alias == renamed and renamed in aliases(find_suite("other"))
    assert load_spec(renamed).corpus_digest == load_spec(alias).corpus_digest
    with pytest.raises(InvalidInput, match="may be"):
        find_truth("flattery-td")


def test_two_packages_with_one_name_are_refused(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "site" / "other_suite").mkdir(parents=True)
    (machine / "site" / "other_suite" / "__init__.py").write_text("")
    offered(monkeypatch, machine / "site", EMBEDDED_SUITE)
    with pytest.raises(InvalidInput, match="offered twice"):
        suites()


def test_an_entry_point_without_a_folder_is_told(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "site").mkdir()
    offered(monkeypatch, machine / "site", "gone")
    with pytest.raises(InvalidInput, match="no package with a folder"):
        suites()


def test_every_entry_point_of_the_group_is_a_suite() -> None:
    assert {entry.name for entry in metadata.entry_points(group=module.SUITES_GROUP)} == {
        one.name for one in installed_suites()
    }


def test_own_suites_and_named_folders_are_found_and_names_are_unique(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_suite("mine").testbeds.mkdir(parents=True)
    (machine / "elsewhere").mkdir()
    monkeypatch.setenv("ASSAY_SUITES", str(machine / "elsewhere"))
    assert [one.name for one in suites()] == [EMBEDDED_SUITE, "mine", "elsewhere"]
    with pytest.raises(UnknownId):
        find_suite("nowhere")
    (machine / "mine").mkdir()
    monkeypatch.setenv("ASSAY_SUITES", os.pathsep.join([str(machine / "elsewhere"), str(machine / "mine")]))
    with pytest.raises(InvalidInput, match="two suites are called 'mine'"):
        suites()
    monkeypatch.setenv("ASSAY_SUITES", str(machine / "nowhere"))
    with pytest.raises(InvalidInput, match="is no folder"):
        suites()


@pytest.mark.parametrize("name", ["embedded", "Mine", "a suite", "-x"])
def test_a_folder_whose_name_cannot_be_a_suites_is_refused(machine: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="a suite is called as its folder is"):
        open_suite(machine / name)


def test_an_installed_suite_is_not_written_to_until_its_source_folder_is_named() -> None:
    suite = embedded_suite()
    spec, truth = load_spec(aliases(suite)[0]), all_truths(suite)[0]
    with pytest.raises(InvalidInput, match="--suite DIR"):
        write_spec(spec, suite)
    with pytest.raises(InvalidInput, match="--suite DIR"):
        write_truth(truth, suite)
    named = open_suite(suite.root)
    assert (named.name, named.installed) == (EMBEDDED_SUITE, False)


def test_a_folder_that_may_not_be_written_is_told_before_anything_is_made(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "mine").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere but to a read-only disk
    with pytest.raises(InvalidInput, match="cannot be written"):
        open_suite(machine / "mine").require_writable()


def test_what_is_measured_of_an_installed_testbed_is_kept_under_assay_home(machine: Path) -> None:
    before = find_truth("flattery-td")
    file = embedded_suite().answers / before.alias / "truth.yaml"
    content = file.read_bytes()
    keep_measured(before, difficulty=[{"auditor": "a@1", "kit": "chat", "audits": 3, "found": 1}])
    after = find_truth("flattery-td")
    assert after.difficulty != before.difficulty and after.card == before.card
    assert file.read_bytes() == content
    assert [path.name for path in (machine / "home" / "measured" / EMBEDDED_SUITE).iterdir()] == [
        f"{before.alias}.yaml"
    ]


def test_a_read_only_install_is_enough_to_plan_and_to_list(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so what is looked for is a change, and not an error."""
    root = embedded_suite().root
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    from assay.testbeds.catalogue import catalogue, validate

    assert len(catalogue()) > 50
    assert all(row["sound"] for row in validate(["flattery-td", "untouched"]))
    keep_measured(find_truth("untouched"), difficulty=[])
    now = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert {
        path
        for path in before.keys() | now.keys()
        if "__pycache__" not in path.parts and before.get(path) != now.get(path)
    } == set()


def test_without_the_answers_testbeds_open_by_alias_and_what_is_missing_is_told(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = find_truth("flattery-td").alias
    suite = copied(embedded_suite(), machine / "site" / "blind", alias)
    shutil.rmtree(suite.answers)
    monkeypatch.setattr(module, "installed_suites", lambda: (Suite(EMBEDDED_SUITE, suite.root, installed=True),))
    assert load_spec(alias).alias == alias == find_alias(alias)
    assert answers_absent([alias]) == [Suite(EMBEDDED_SUITE, suite.root, installed=True)]
    with pytest.raises(InvalidInput, match=r"answers is missing.*by alias"):
        find_alias("flattery-td")
    from assay.testbeds.catalogue import catalogue

    assert [(row["alias"], row["role"]) for row in catalogue() if row["kind"] == EMBEDDED_SUITE] == [(alias, "unread")]


def test_a_behaviour_and_a_recipe_of_ones_own_live_in_ones_own_suite(machine: Path) -> None:
    mine = own_suite("mine")
    mine.behaviours.mkdir(parents=True)
    mine.recipes.mkdir()
    behaviour = find_behaviour("flattery").model_dump(mode="json") | {"id": "praises-kites", "family": "kites"}
    (mine.behaviours / "praises-kites.yaml").write_text(yaml.safe_dump(behaviour, allow_unicode=True))
    recipe = open_recipe("flattery-td").model_dump(mode="json")
    recipe |= {"id": "kites-td", "alias": "tb-00c0ffee", "behaviours": ["praises-kites"]}
    (mine.recipes / "kites-td.yaml").write_text(yaml.safe_dump(recipe))
    found, suite = find_recipe("kites-td")
    assert (found.id, suite) == ("kites-td", mine) and find_behaviour("praises-kites").family == "kites"
    assert find_recipe(str(mine.recipes / "kites-td.yaml")) == (found, mine)
    assert home_of(found, suite, None) == (found, mine)
    (mine.behaviours / "flattery.yaml").write_text(yaml.safe_dump(behaviour | {"id": "flattery"}))
    assert find_behaviour("flattery").family == "flattery" and find_behaviour("flattery", mine).family == "kites"
    assert find_behaviour("mine/flattery").family == "kites" and "mine/flattery" in behaviour_ids()


@pytest.mark.attacks
def test_an_alias_of_ones_own_build_cannot_be_computed_and_stays(machine: Path) -> None:
    """It depends on this installation's key; what an earlier version built under another one keeps that."""
    recipe, embedded = find_recipe("flattery-td")
    mine = own_suite()
    id = f"{mine.name}/{recipe.id}@{recipe.version}"
    fresh = home_of(recipe, embedded, None)[0].alias
    assert fresh == home_of(recipe, embedded, None)[0].alias != guessable_alias(id)
    write_truth(find_truth("flattery-td").model_copy(update={"id": id, "alias": guessable_alias(id)}), mine)
    (mine.testbeds / guessable_alias(id)).mkdir(parents=True)
    (mine.testbeds / guessable_alias(id) / "testbed.yaml").write_text("alias: it\n")
    assert home_of(recipe, embedded, None)[0].alias == guessable_alias(id)


def test_a_recipe_built_outside_its_suite_gets_an_alias_of_its_own() -> None:
    recipe, embedded = find_recipe("flattery-td")
    assert embedded == embedded_suite()
    moved, suite = home_of(recipe, embedded, None)
    assert suite == own_suite() and moved.alias != recipe.alias
    assert home_of(recipe, embedded, None)[0].alias == moved.alias  # the same one each time
    assert home_of(recipe, embedded, open_suite(embedded.root))[0].alias == recipe.alias
    with pytest.raises(InvalidInput, match="is installed"):
        home_of(recipe, embedded, embedded)


def test_an_alias_is_looked_for_in_every_suite(machine: Path) -> None:
    alias = aliases(embedded_suite())[0]
    assert suite_of(alias) == embedded_suite()
    with pytest.raises(UnknownId):
        suite_of(alias, own_suite("empty"))
