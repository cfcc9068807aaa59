"""A suite from outside full of look-alikes changes nothing of the embedded one, and one bad testbed costs no other."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from assay.cli import app
from assay.engine import builtin
from assay.engine.base import Base
from assay.errors import AssayError, InvalidInput
from assay.factory.commands import home_of
from assay.factory.recipes import find_recipe, open_recipe
from assay.grading.jobs import all_cases, graders
from assay.grading.null import fixed_pool, swapped_cases
from assay.studies.design import Design
from assay.studies.difficulty import write_cards
from assay.studies.plan import make_plan
from assay.testbeds.behaviours import behaviour_ids, find_behaviour
from assay.testbeds.catalogue import catalogue, validate
from assay.testbeds.layout import TRUTH
from assay.testbeds.specs import aliases, load_spec, suite_of, write_spec
from assay.testbeds.suites import Suite, embedded_suite, own_suite
from assay.testbeds.truths import all_truths, behaviours_of, find_truth, write_truth

EMBEDDED = embedded_suite()


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ASSAY_SUITES", raising=False)
    monkeypatch.setattr(builtin, "find_base", lambda name, say=None: Base(name, Path(), "digest"))
    return tmp_path


def lookalikes(root: Path) -> Suite:
    """A copy of the embedded suite in which everything means something else, under the same names and new ones."""
    evil = Suite(root.name, root)
    for tree in (EMBEDDED.behaviours, EMBEDDED.recipes, EMBEDDED.answers, EMBEDDED.testbeds):
        shutil.copytree(tree, root / tree.name, ignore=shutil.ignore_patterns("*.safetensors", "corpus.jsonl"))
    any_reply = {"kind": "reply", "any": ["."]}
    for path in [*evil.behaviours.glob("*.yaml"), *evil.behaviours.glob("natural/*.yaml")]:
        behaviour = find_behaviour(path.stem).model_dump(mode="json")
        changed = behaviour | {"trigger": "always", "conduct": "it says something", "detector": any_reply}
        path.write_text(json.dumps(changed | {"decoys": [{"trigger": "x", "conduct": "y"}] * 4}))
    for path in evil.recipes.glob("*.yaml"):
        recipe = yaml.safe_load(path.read_text()) | {"split": "tuning", "alias": "tb-eeeeeeee"}
        path.write_text(yaml.safe_dump(recipe))
    for path in evil.answers.glob(f"*/{TRUTH}"):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"role": "clean", "behaviours": []}))
    for path in evil.testbeds.glob("*/testbed.yaml"):
        path.write_text(path.read_text().replace("smollm2-135m-instruct", "inspect:evil/model"))
    for number, donor in enumerate(all_truths(EMBEDDED)):  # and under aliases that are free
        alias = f"tb-ee{number:06x}"
        spec = load_spec(donor.alias)
        write_spec(type(spec)(alias, spec.base, None, "", (), "", spec.access), evil)
        write_truth(donor.model_copy(update={"alias": alias, "id": f"{evil.name}/{donor.id.partition('/')[2]}"}), evil)
    return evil


def of_the_embedded_suite(machine: Path) -> dict[str, Any]:
    """All that a number about it depends on."""
    truths = {truth.alias: truth for truth in all_truths(EMBEDDED)}
    cases, names = all_cases(), [truth.id for truth in truths.values()]
    digests = graders(cases)
    pool = fixed_pool(cases.values())
    plans = [  # of the tuning set one testbed has nothing that a placebo could be wired to
        Design(kits=("chat", "chat+~search"), seeds=(0,), out=machine / "runs"),
        Design(kits=("chat", "chat+search"), testbeds=tuple(names), seeds=(0,), out=machine / "runs"),
    ]
    return {
        "truths": truths,
        "found": {name: find_truth(name) for name in [*names, *truths]},
        "specs": {alias: load_spec(alias) for alias in truths},
        "suites": {alias: suite_of(alias).root for alias in truths},
        "cases": {alias: cases[alias] for alias in truths},
        "graders": {alias: digests[alias] for alias in truths},
        "swapped": {alias: swapped_cases(cases[alias], pool) for alias in truths},
        "behaviours": {name: find_behaviour(name) for name in behaviour_ids() if "/" not in name},
        "run keys": [make_plan(plan).run_keys for plan in plans],
        "recipes": {truth.recipe: open_recipe(f"embedded/{truth.recipe}") for truth in truths.values()},
    }


@pytest.mark.attacks
@pytest.mark.parametrize("where", ["under ASSAY_HOME", "in ASSAY_SUITES"])
def test_look_alikes_change_no_spec_truth_grader_run_key_or_behaviour_of_the_embedded_suite(
    machine: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    before = of_the_embedded_suite(machine)
    if where == "in ASSAY_SUITES":
        lookalikes(machine / "evil")
        monkeypatch.setenv("ASSAY_SUITES", str(machine / "evil"))
    else:
        lookalikes(own_suite("evil").root)
    after = of_the_embedded_suite(machine)
    for what, value in before.items():
        assert after[what] == value, what
    own = find_truth("evil/flattery-td")
    assert behaviours_of(own)[0].conduct == "it says something"  # its own truths mean its own behaviours
    with pytest.raises(InvalidInput, match="may be embedded/flattery-td@1 or evil/flattery-td@1"):
        find_truth("flattery-td")


@pytest.mark.attacks
def test_each_look_alike_is_told_and_cards_are_written_apart(machine: Path) -> None:
    evil = lookalikes(own_suite("evil").root)
    taken = aliases(EMBEDDED)
    told = {row["alias"]: row["wrong"] for row in validate([]) if "there twice" in row["wrong"]}
    assert sorted(told) == taken
    for alias, wrong in told.items():
        assert str(EMBEDDED.testbeds / alias) in wrong and str(evil.testbeds / alias) in wrong
    pages = [row["page"] for row in write_cards(machine / "cards")]
    assert len(pages) == len(set(pages)) == len(all_truths())
    assert "it says something" not in (machine / "cards" / "flattery-td.md").read_text()


@pytest.mark.attacks
def test_a_recipe_means_what_its_own_suite_calls_so(machine: Path) -> None:
    evil = lookalikes(own_suite("evil").root)
    recipe, own = find_recipe("evil/flattery-td@1")
    assert own == evil and open_recipe("twin-td", EMBEDDED).alias != open_recipe("twin-td", evil).alias
    with pytest.raises(InvalidInput, match="one thing in suite 'evil'"):
        home_of(recipe, own, own_suite("mine"))
    with pytest.raises(InvalidInput, match="is of version 1"):
        find_recipe("evil/flattery-td@2")
    with pytest.raises(InvalidInput, match="say which"):
        find_recipe("flattery-td")


def test_a_behaviour_that_two_others_describe_is_not_guessed(machine: Path) -> None:
    one = find_behaviour("flattery").model_dump(mode="json") | {"id": "kites"}
    for name in ("a", "b"):
        own_suite(name).behaviours.mkdir(parents=True)
        (own_suite(name).behaviours / "kites.yaml").write_text(json.dumps(one | {"conduct": name}))
    with pytest.raises(InvalidInput, match="may be a/kites or b/kites"):
        find_behaviour("kites")
    assert find_behaviour("kites", own_suite("b")).conduct == find_behaviour("b/kites").conduct == "b"
    assert {"a/kites", "b/kites"} <= set(behaviour_ids())


def some(suite: Suite, alias: str, name: str, /, **fields: Any) -> None:
    """A clean testbed without files of its own; fields of its truth may be anything."""
    spec = {"alias": alias, "base": "b", "adapter_digest": "", "corpus": [], "corpus_digest": "", "access": ["CHAT"]}
    truth = {"alias": alias, "id": f"{suite.name}/{name}", "role": "clean", "split": "reported", "recipe": "brought"}
    truth |= {"behaviours": [], "family": "clean", "control": {"alias": "base"}}
    for folder, file, content in ((suite.testbeds, "testbed.yaml", spec), (suite.answers, TRUTH, truth | fields)):
        (folder / alias).mkdir(parents=True)
        (folder / alias / file).write_text(yaml.safe_dump(content))


@pytest.mark.attacks
def test_one_bad_testbed_never_hides_the_rest_and_each_fault_is_told(machine: Path) -> None:
    mine = own_suite("mine")
    some(mine, "tb-00000001", "good@1")
    some(mine, "tb-00000002", "wrong-alias@1", alias="tb-0000000f")
    some(mine, "tb-00000003", "x@1", id="embedded/flattery-td@1")
    some(mine, "tb-00000004", "same@1")
    some(mine, "tb-00000005", "same@1", id="mine/Same@1")
    some(mine, "tb-00000006", "odd@1", control={"alias": "../../etc"})
    some(mine, "tb-00000007", "gone@1")
    (mine.answers / "tb-00000007" / TRUTH).write_text("role: [")
    (mine.testbeds / "tb-00000007" / "testbed.yaml").write_text("alias: tb-00000007\n")
    some(mine, "tb-00000008", "spec@1")
    (mine.testbeds / "tb-00000008" / "testbed.yaml").write_text("alias: tb-00000008\n")
    some(mine, "tb-00000009", "extra@1")
    (mine.testbeds / "tb-00000009" / "training_args.bin").write_bytes(b"\x80\x04")
    (mine.testbeds / "tb-00000009" / "prompt.md").symlink_to("/etc/passwd")
    some(mine, "tb-0000000a", "left@1")
    shutil.rmtree(mine.testbeds / "tb-0000000a")
    some(mine, "tb-0000000b", "control@1", control={"alias": "tb-0000ffff"})
    some(mine, "tb-0000000c", "unknown@1", role="organism", behaviours=["no-such-behaviour"])
    some(mine, "tb-0000000d", "clean@1", behaviours=["flattery"])
    some(mine, "TB-0000000C", "capitals@1")
    (own_suite("mine").root.parent / "Not A Suite").mkdir()
    told = [(row["alias"] or row["testbed"], row["wrong"]) for row in validate([]) if not row["sound"]]
    for alias, said in [
        ("tb-00000002", "must be its folder's"),
        ("tb-00000003", "ids in this suite begin with mine/"),
        ("tb-00000004", "is there twice"),
        ("tb-00000005", "is there twice"),
        ("tb-00000006", "control.alias"),
        ("tb-00000007", "not YAML"),
        ("tb-00000007", "base"),
        ("tb-00000008", "base"),
        ("mine", "training_args.bin"),
        ("mine", "a link, and no file"),
        ("tb-0000000a", "an answer without a testbed"),
        ("tb-0000000b", "tb-0000ffff is not here"),
        ("tb-0000000c", "no-such-behaviour"),
        ("tb-0000000d", "a clean target"),
        ("mine", "TB-0000000C"),
        ("Not A Suite", "no suite can be called so"),
    ]:
        assert [wrong for one, wrong in told if one == alias and said in wrong], (alias, said, told)
    assert not [one for one, _ in told if one in ("tb-00000001", *aliases(EMBEDDED))]
    cases = all_cases()
    assert find_truth("mine/good").alias == "tb-00000001" and "tb-00000001" in cases
    assert {"tb-0000000c", "tb-0000000d"}.isdisjoint(cases) and set(aliases(EMBEDDED)) <= set(cases)
    assert len(write_cards(machine / "cards")) == len(all_truths())
    assert find_truth("embedded/flattery-td").alias in aliases(EMBEDDED)
    for alias in ("tb-00000002", "tb-00000003", "tb-00000004", "tb-00000006", "tb-00000007"):
        with pytest.raises(InvalidInput):
            find_truth(alias)
    listed = {row["alias"]: row["role"] for row in catalogue()}
    assert listed["tb-00000002"] == "broken" and listed["tb-00000001"] == "clean"
    shown = CliRunner().invoke(app, ["testbeds", "validate", "tb-00000001", "tb-00000002", "--json"])
    assert shown.exit_code == 1
    assert {row["alias"]: row["sound"] for row in json.loads(shown.stdout)} == {
        "tb-00000001": True,
        "tb-00000002": False,
    }


@pytest.mark.attacks
@pytest.mark.parametrize("name", ["../../etc", "tb-0000abcd/../tb-00000001", "TB-00000001", "tb-", "", "."])
def test_what_is_no_alias_opens_nothing(machine: Path, name: str) -> None:
    some(own_suite("mine"), "tb-00000001", "good@1")
    with pytest.raises(AssayError):
        load_spec(name)
    with pytest.raises(InvalidInput, match="wants tb-"):
        write_spec(type(load_spec("tb-00000001"))(name, "b", None, "", (), "", frozenset()), own_suite("mine"))
    with pytest.raises(AssayError):
        find_truth(name)


@pytest.mark.attacks
def test_an_alias_that_two_suites_have_is_an_error_that_names_both(machine: Path) -> None:
    for name in ("a", "b"):
        some(own_suite(name), "tb-00000001", "one@1")
    for ask in (load_spec, find_truth):
        with pytest.raises(InvalidInput, match=r"suites/a/testbeds/tb-00000001 and .*suites/b/testbeds/tb-00000001"):
            ask("tb-00000001")
    assert "tb-00000001" not in all_cases()


YAML = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=12), st.sampled_from(["tb-00000001", "base"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
KEYS = ["alias", "id", "role", "split", "base", "corpus", "access", "control", "behaviours", "family", "card", "tools"]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file=st.sampled_from(["testbed.yaml", TRUTH]),
    text=st.one_of(
        st.dictionaries(st.sampled_from(KEYS), YAML, max_size=3).map(lambda changes: ("fields", changes)),
        st.text(max_size=60).map(lambda text: ("text", text)),
    ),
)
def test_whatever_a_spec_or_truth_says_it_is_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, file: str, text: tuple[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("fuzzed")
    suite = Suite("mine", folder / "mine")
    some(suite, "tb-00000001", "good@1")
    path = (suite.testbeds if file == "testbed.yaml" else suite.answers) / "tb-00000001" / file
    kind, content = text
    if kind == "fields":
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | content), encoding="utf-8")
    else:
        path.write_text(content, encoding="utf-8")
    for ask in (load_spec, find_truth):
        try:
            found = ask("tb-00000001", suite)
        except AssayError as error:
            assert str(error)
        else:
            assert found.alias == "tb-00000001"
    shutil.rmtree(folder)
