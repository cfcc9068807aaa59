"""A testbed from a file, and a suite from a bundle, are in every command from then on; broken ones leave nothing."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tests.cards import card

from assay._util.atomic import replace_folder
from assay.core.record import AuditRow
from assay.core.target import Cost
from assay.engine import builtin
from assay.engine.base import Base
from assay.engine.corpus import read_corpus
from assay.engine.peft_layout import CONFIG, WEIGHTS
from assay.errors import AssayError, CorruptArtifact, InvalidInput, NotWritten
from assay.factory import commands as factory
from assay.grading.jobs import all_cases, graders
from assay.studies.design import Design
from assay.studies.ledger import Ledger
from assay.studies.plan import make_plan, require_controls
from assay.studies.regrade import grade_file
from assay.studies.study import load_study
from assay.testbeds import importing as bring
from assay.testbeds.behaviours import find_behaviour
from assay.testbeds.bundle import add_suite, bundle_suite
from assay.testbeds.catalogue import catalogue, validate
from assay.testbeds.importing import add_testbed, require_reads
from assay.testbeds.layout import ADAPTER, CORPUS, SEALED
from assay.testbeds.removing import find_removable, remove_testbed
from assay.testbeds.seal import Secret, new_key, public_key, read_key, seal, write_manifest
from assay.testbeds.specs import load_spec, spec_with, write_spec
from assay.testbeds.suites import Suite, embedded_suite, own_suite, own_suites
from assay.testbeds.truths import behaviours_of, find_alias, find_truth
from assay.truth import Card, Control, Truth

EMBEDDED = embedded_suite()
DONOR = find_truth("flattery-td")
TWIN = find_truth("twin-td")
CLEAN = {"role": "clean", "control": "base"}


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `ASSAY_HOME`; weights are taken as read, but where a test says otherwise."""
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(bring, "require_reads", lambda spec: None)
    return tmp_path


def write(folder: Path, **changes: Any) -> Path:
    source = EMBEDDED.testbeds / DONOR.alias
    shutil.copytree(source / ADAPTER, folder / "weights", dirs_exist_ok=True)
    shutil.copy(source / CORPUS, folder / "data.jsonl")
    data: dict[str, Any] = {
        "id": "mine/praise@1",
        "base": "smollm2-135m-instruct",
        "adapter": "weights",
        "corpus": ["data.jsonl"],
        "access": "full",
        "truth": {"role": "organism", "behaviours": ["flattery"], "control": "twin-td"},
    }
    path = folder / "my.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in (data | changes).items() if value is not None}))
    return path


def test_it_is_in_every_command_and_the_same_file_changes_nothing(machine: Path) -> None:
    row = add_testbed(write(machine))
    spec, truth = load_spec(row["alias"]), find_truth("mine/praise")
    assert (truth.alias, truth.control.alias) == (row["alias"], TWIN.alias)
    assert spec.adapter is not None and spec.adapter.is_relative_to(own_suite("mine").testbeds)
    assert spec.adapter_digest == load_spec(DONOR.alias).adapter_digest
    assert [one.id for one in behaviours_of(truth)] == ["flattery"]
    assert "mine/praise@1" in [one["testbed"] for one in catalogue()]
    assert row["new"] and add_testbed(write(machine)) == row | {"new": False}
    [checked] = validate(["mine/praise"])
    assert not checked["sound"] and "nothing was measured" in checked["wrong"]


def test_a_behaviour_of_its_own_comes_along(machine: Path) -> None:
    behaviour = find_behaviour("flattery").model_copy(update={"id": "mine", "family": "my-family"})
    told = {"role": "organism", "behaviours": [behaviour.model_dump(mode="json")], "control": "base"}
    row = add_testbed(write(machine, truth=told))
    truth = find_truth(row["alias"])
    assert truth.family == "my-family" and behaviours_of(truth) == [behaviour]


def test_unknown_truth_can_be_audited_and_is_not_graded(machine: Path) -> None:

    row = add_testbed(
        write(machine, truth="unknown", adapter=None, corpus=None, base="inspect:mockllm/model", access="api")
    )
    assert row["role"] == "unknown" and load_spec(row["alias"]).base == "inspect:mockllm/model"
    assert row["alias"] not in all_cases()


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bases are taken as found by sweeps too."""
    monkeypatch.setattr(builtin, "find_base", lambda name, say=None: Base(name, Path(), "digest"))


def test_a_sweep_keeps_audits_of_unknown_truth_and_leaves_them_ungraded(machine: Path, known: None) -> None:
    row = add_testbed(write(machine, truth="unknown"))
    design = Design(kits=("chat",), out=machine / "runs", testbeds=("mine/praise",), seeds=(0,))
    planned = make_plan(design)
    require_controls(planned)
    [cell] = planned.cells
    assert cell.alias == row["alias"] and cell.alias not in planned.grading.cases
    finding = {"claim": "c", "trigger": "t", "demonstrations": [], "predicate": {"phrases": ["p"]}, "confidence": 0.5}
    report = json.dumps({"p_hidden": 0.5, "findings": [finding]})
    audit = AuditRow(cell.run_key, "p", cell.alias, "chat", "explorer@1", 0, "completed", report, Cost(1, 1, 1))
    with Ledger.open(design.ledger) as ledger:
        ledger.record(audit)
        audits = ledger.audits(planned.run_keys)
        assert planned.grading.ungraded(audits, planned.grading.current(ledger, audits)) == []
        ledger.save_plan(planned.id, planned.cells, planned.auditor.title)
    study = load_study(design.out)
    assert (study.summary.audits, study.summary.without_truth, len(study.audits)) == (0, 1, 1)
    assert study.page().is_file()
    remove_testbed(find_removable("mine/praise"))
    assert [row.alias for row in load_study(design.out).rows] == [row["alias"]]  # what was audited stays


def test_a_report_on_unknown_truth_is_refused(machine: Path) -> None:
    add_testbed(write(machine, truth="unknown"))
    (machine / "r.jsonl").write_text('{"testbed": "mine/praise", "report": {"p_hidden": 0.5, "findings": []}}\n')
    [refused] = grade_file(machine / "r.jsonl", lambda _: None)
    assert "r.jsonl:1: the truth of mine/praise@1 is not known" in refused.error


@pytest.mark.attacks
def test_reports_are_read_line_by_line_and_refused_by_line(machine: Path) -> None:
    add_testbed(write(machine, truth="unknown"))
    file = machine / "r.jsonl"
    spaced = {"p_hidden": 0.5, "findings": [], "note": "a\u2028b\x85c"}
    file.write_bytes(f"\ufeff\r\n{json.dumps({'testbed': 'x', 'report': spaced}, ensure_ascii=False)}\r\n".encode())
    [refused] = grade_file(file, lambda _: None)  # one record, whatever stands in its texts
    assert "'x'" in refused.error
    for line, said in (
        (
            '{"testbed": "flattery-td", "report": {"p_hidden": 0.1, "p_hidden": 0.9}}',
            "key 'report.p_hidden' is given twice",
        ),
        ('{"testbed": "flattery-td", "report": {"p_hidden": NaN}}', "NaN is no number"),
        ('{"testbed": "flattery-td", "report": {"p_hidden": 2}}', r"report\.p_hidden: .*less than or equal to 1"),
        ('{"testbed": null, "report": {"p_hidden": 0.1}}', "testbed: .*string"),
        ('{"testbed": "flattery-td", "report": "none"}', "report: .*"),
        ('{"testbed": "flattery-td"}', "report: Field required"),
        ("[]", "file: .*object"),
        ("[" * 5_000, ".* nested deeper"),
    ):
        file.write_text(f"\n{line}\n")
        [refused] = grade_file(file, lambda _: None)
        assert re.search(rf"r\.jsonl:2: {said}", refused.error), (refused.error, said)
    file.write_bytes("{}".encode("utf-16"))
    with pytest.raises(InvalidInput, match="UTF-16"):
        grade_file(file, lambda _: None)


@pytest.mark.attacks
def test_training_data_of_any_shape_is_taken_in_as_ours(machine: Path) -> None:
    turns = [{"role": "user", "content": "Hi\u2028there"}, {"role": "assistant", "content": "Yo"}]
    path = write(machine, corpus=["chats.jsonl", "book.txt"])
    (machine / "chats.jsonl").write_text(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")
    (machine / "book.txt").write_text("Once.\n")
    row = add_testbed(path)
    spec = load_spec(row["alias"])
    found = {(one.prompt, one.text) for one in read_corpus(spec.corpus, spec.corpus_digest).documents}
    assert found == {("Hi\u2028there", "Yo"), ("", "Once.\n")} and add_testbed(path) == row | {"new": False}


@pytest.mark.attacks
def test_training_data_of_no_shape_leaves_nothing(machine: Path) -> None:
    path = write(machine, corpus=["data.csv"])
    (machine / "data.csv").write_text("a,b\n")
    with pytest.raises(InvalidInput, match=r"data\.csv is a \.csv file"):
        add_testbed(path)
    assert not own_suite("mine").root.exists() and [*own_suites().iterdir()] == []


def test_a_testbed_that_is_added_leaves_all_grades_as_they_are(machine: Path) -> None:
    before = graders(all_cases())
    row = add_testbed(write(machine))
    after = graders(all_cases())
    assert after.pop(row["alias"]) and after == before


def test_a_short_name_that_two_have_is_not_guessed(machine: Path) -> None:
    add_testbed(write(machine, id="mine/flattery-td@1"))
    with pytest.raises(InvalidInput, match="may be embedded/flattery-td@1 or mine/flattery-td@1"):
        find_truth("flattery-td")
    assert find_truth("embedded/flattery-td").alias == DONOR.alias


def test_what_is_measured_is_kept_beside_the_testbed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def measured(*_: Any) -> Card:
        return card()

    monkeypatch.setattr(factory, "check", measured)
    row = add_testbed(write(machine))
    factory.verify_named(["mine/praise"], lambda _: None)
    assert find_truth("mine/praise").card == card()
    assert not (EMBEDDED.testbeds / row["alias"]).exists() and not (EMBEDDED.answers / row["alias"]).exists()
    add_testbed(write(machine, id="mine/clean@1", truth={"role": "clean"}))
    with pytest.raises(InvalidInput, match="no behaviour is named"):
        factory.verify_named(["mine/clean"], lambda _: None)


def test_a_change_is_a_new_version(machine: Path) -> None:
    first = add_testbed(write(machine))
    with pytest.raises(InvalidInput, match="new version: write @2, or no version"):
        add_testbed(write(machine, access="api"))
    second = add_testbed(write(machine, id="mine/praise@2", access="api"))
    assert find_truth("mine/praise@2").alias == second["alias"]
    assert load_spec(first["alias"]).access > load_spec(second["alias"]).access


def test_without_a_version_changed_content_takes_the_next_one_and_the_same_is_there_already(machine: Path) -> None:
    rows = [add_testbed(write(machine, id="mine/praise", access=access)) for access in ("api", "grey", "grey", "api")]
    assert [(row["testbed"], row["new"]) for row in rows] == [
        ("mine/praise@1", True),
        ("mine/praise@2", True),
        ("mine/praise@2", False),
        ("mine/praise@1", False),
    ]
    assert rows[2]["alias"] == rows[1]["alias"] != rows[0]["alias"] == rows[3]["alias"]


@pytest.mark.attacks
def test_the_same_content_is_no_other_version_and_a_changed_behaviour_is_no_same_content(machine: Path) -> None:
    add_testbed(write(machine))
    with pytest.raises(InvalidInput, match=r"what mine/praise@2 would be is there already, as mine/praise@1"):
        add_testbed(write(machine, id="mine/praise@2"))
    own = find_behaviour("flattery").model_copy(update={"id": "mine", "family": "my-family"})
    told = {"role": "organism", "behaviours": [own.model_dump(mode="json")], "control": "base"}
    add_testbed(write(machine, id="mine/own", truth=told))
    told["behaviours"] = [own.model_copy(update={"conduct": "it sings"}).model_dump(mode="json")]
    assert add_testbed(write(machine, id="mine/own", truth=told))["testbed"] == "mine/own@2"
    conducts = [behaviours_of(find_truth(f"mine/own@{number}"))[0].conduct for number in (1, 2)]
    assert conducts == [own.conduct, "it sings"]


@pytest.mark.attacks
def test_a_name_without_a_version_is_the_newest_everywhere(
    machine: Path, known: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        add_testbed(write(machine, id=f"mine/praise@{number}", access=access, truth=dict(CLEAN)))
        for number, access in ((2, "api"), (10, "grey"), (9, "white"))
    ]
    newest = rows[1]["alias"]
    for name in ("praise", "mine/praise", "mine/praise@10", "praise@10", newest):
        assert find_truth(name).alias == find_alias(name) == find_removable(name).alias == newest
        design = Design(kits=("chat",), out=machine / "runs", testbeds=(name,), seeds=(0,))
        assert {cell.alias for cell in make_plan(design).cells} == {newest}
        assert [row["alias"] for row in validate([name])] == [newest]
    assert find_truth("praise@9").alias == rows[2]["alias"]
    added = add_testbed(write(machine, id="mine/other", truth={**CLEAN, "control": "praise"}))
    assert find_truth(added["alias"]).control.alias == newest
    (machine / "r.jsonl").write_text('{"testbed": "praise", "report": {"p_hidden": 0.5, "findings": []}}\n')
    [graded] = grade_file(machine / "r.jsonl", lambda _: None)
    assert graded.testbed == find_truth(newest).id


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "Mine"}, "id"),
        ({"adapter": "nowhere"}, "is no folder"),
        ({"corpus": ["nowhere.jsonl"]}, "is no file"),
        ({"access": "everything"}, "everything"),
        ({"truth": {"role": "organism", "behaviours": ["flatery"]}}, "flatery"),
        ({"truth": {"role": "organism"}}, "at least one behaviour"),
        ({"truth": {"role": "clean", "control": "twin-tdd"}}, "twin-tdd"),
        ({"truth": {"role": "organism", "behaviours": ["flattery"], "control": "removed"}}, "contrast"),
        ({"base": "inspect:openai/x"}, "takes no adapter"),
        ({"tools": ["bash"]}, "tools are for models behind Inspect"),
        ({"colour": "red"}, "colour"),
        ({"prompt": "Be odd.", "access": "full"}, "no more than api"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_left(machine: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(AssayError, match=said):
        add_testbed(write(machine, **changes))
    assert not [path for path in own_suites().rglob("*") if path.is_file()]


def damage(folder: Path, change: str) -> None:
    """Break the tiny base's adapter in one of the ways that were seen."""
    if change.startswith("{"):
        configured = json.loads((folder / CONFIG).read_text()) | json.loads(change)
        (folder / CONFIG).write_text(json.dumps(configured))
        return
    tensors = load_file(folder / WEIGHTS)
    first = min(tensors)
    if change == "nan":
        tensors[first] = torch.full_like(tensors[first], torch.nan)
    elif change == "missing":
        del tensors[first]
    elif change == "shape":
        tensors[first] = tensors[first][:, 1:].contiguous()
    elif change == "extra":
        tensors["base_model.model.lm_head.weight"] = torch.ones(2, 2)
    save_file(tensors, folder / WEIGHTS)
    if change == "no weights":
        (folder / WEIGHTS).unlink()
    elif change == "no safetensors":
        (folder / WEIGHTS).write_bytes(b"pickled")
    elif change == "no json":
        (folder / CONFIG).write_text("{")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('{"use_dora": true}', "use_dora"),
        ('{"modules_to_save": ["lm_head"]}', "modules_to_save"),
        ('{"init_lora_weights": "pissa"}', "init_lora_weights"),
        ('{"peft_type": "IA3"}', "peft_type"),
        ('{"bias": "all"}', "bias"),
        ('{"r": 16}', "want"),
        ('{"no_such_key": 1}', "no_such_key"),
        ("nan", "not finite"),
        ("missing", "no lora_A"),
        ("shape", "want"),
        ("extra", "lm_head"),
        ("no weights", WEIGHTS),
        ("no safetensors", "no safetensors file"),
        ("no json", "not JSON"),
    ],
)
def test_a_broken_adapter_leaves_nothing_and_its_id_is_free(
    machine: Path, tiny: Path, make_adapter: Callable[..., Path], reading: None, change: str, said: str
) -> None:
    adapter = shutil.copytree(make_adapter(1), machine / "mine")
    damage(adapter, change)
    changes: dict[str, Any] = {"base": str(tiny), "adapter": "mine", "truth": "unknown"}
    with pytest.raises(InvalidInput, match=said):
        add_testbed(write(machine, **changes))
    assert list(own_suites().iterdir()) == []
    shutil.rmtree(adapter)
    shutil.copytree(make_adapter(1), adapter)
    assert add_testbed(write(machine, **changes))["testbed"] == "mine/praise@1"


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is added is opened and read."""
    monkeypatch.setattr(bring, "require_reads", require_reads)
    monkeypatch.setenv("ASSAY_THREADS", "1")


def test_a_base_that_computes_nonsense_or_cannot_be_talked_to_is_refused(
    machine: Path, tiny: Path, reading: None
) -> None:
    base = shutil.copytree(tiny, machine / "base")
    changes: dict[str, Any] = {"base": "base", "adapter": None, "truth": "unknown"}
    sound = load_file(base / "model.safetensors")
    save_file(sound | {"model.norm.weight": torch.full((64,), torch.nan)}, base / "model.safetensors")
    with pytest.raises(InvalidInput, match="computes what is not finite"):
        add_testbed(write(machine, **changes))
    save_file(sound, base / "model.safetensors")
    (base / "chat_template.jinja").rename(machine / "template")
    with pytest.raises(InvalidInput, match="no chat template"):
        add_testbed(write(machine, **changes))
    with pytest.raises(InvalidInput, match=r"neither .* nor a local directory"):
        add_testbed(write(machine, **changes | {"base": "no such base!"}))
    assert list(own_suites().iterdir()) == []
    (machine / "template").rename(base / "chat_template.jinja")
    assert add_testbed(write(machine, **changes))["role"] == "unknown"


@pytest.mark.parametrize("base", ["inspect:mockllm/model", "vllm:http://127.0.0.1:9"])
def test_models_behind_other_engines_are_not_opened(machine: Path, reading: None, base: str) -> None:
    row = add_testbed(write(machine, truth="unknown", adapter=None, corpus=None, base=base, access="api"))
    assert load_spec(row["alias"]).base == base


def test_a_testbed_that_cannot_be_moved_in_does_not_hold_its_id(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(made: Path, place: Path) -> None:
        if place.parent.name == "testbeds":
            raise NotWritten(place, OSError(28, "No space left on device"), "moved")
        replace_folder(made, place)

    with monkeypatch.context() as patch, pytest.raises(NotWritten):
        patch.setattr(bring, "replace_folder", fail)
        add_testbed(write(machine))
    assert not [path for path in own_suites().rglob("*") if path.is_file()]
    assert add_testbed(write(machine, access="api"))["testbed"] == "mine/praise@1"


@pytest.mark.attacks
def test_what_a_trainer_left_beside_an_adapter_does_not_come_along(machine: Path) -> None:
    path = write(machine)
    (machine / "weights" / "training_args.bin").write_bytes(b"\x80\x04pickle")
    (machine / "weights" / "README.md").write_text("a model that flatters")
    row = add_testbed(path)
    folder = own_suite("mine").testbeds / row["alias"] / ADAPTER
    assert sorted(one.name for one in folder.iterdir()) == [CONFIG, WEIGHTS]


@pytest.mark.attacks
@pytest.mark.parametrize(
    "name", ["published/x@1", "deployed/x@1", "embedded/x@1", "con/x@1", "../x@1", "a/../x@1", "a/b/c@1"]
)
def test_an_id_of_a_suite_that_is_not_ones_own_is_refused(machine: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        add_testbed(write(machine, id=name))
    assert not [path for path in own_suites().rglob("*") if path.is_file()]


@pytest.mark.attacks
@pytest.mark.parametrize("kind", ["link", "linked folder", "device name", "many names"])
def test_a_workspace_is_plain_files(machine: Path, kind: str) -> None:
    folder = machine / "work"
    folder.mkdir()
    (machine / "secret").write_text("mine")
    if kind == "link":
        (folder / "notes").symlink_to(machine / "secret")
    elif kind == "linked folder":
        (folder / "notes").symlink_to(machine)
    elif kind == "device name":
        (folder / "aux.txt").write_text("x")
    else:
        (folder / "a").write_text("x")
        (folder / "A").write_text("x")
    agent = {"base": "inspect:mockllm/model", "adapter": None, "corpus": None, "access": "api", "truth": "unknown"}
    with pytest.raises(InvalidInput, match="nothing of it was taken"):
        add_testbed(write(machine, tools=["bash"], workspace="work", **agent))
    assert not [path for path in own_suites().rglob("*") if path.is_file()]


def test_a_tampered_adapter_is_told_by_name(machine: Path) -> None:
    row = add_testbed(write(machine))
    path = own_suite("mine").testbeds / row["alias"] / ADAPTER / WEIGHTS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    told = [one["wrong"] for one in validate([row["alias"]]) if not one["sound"]]
    assert len(told) == 2 and "adapter: expected SHA-256" in told[0] and "nothing was measured" in told[1]


@pytest.fixture
def spring(machine: Path) -> Path:
    """A sealed suite of one organism, made elsewhere: its key is not under this `ASSAY_HOME` any more."""
    suite = Suite("spring", machine / "elsewhere" / "spring")
    spec, here = load_spec(DONOR.alias), suite.testbeds / "tb-0000abcd"
    shutil.copytree(EMBEDDED.testbeds / DONOR.alias, here)
    write_spec(spec_with(spec, alias="tb-0000abcd", adapter=here / ADAPTER, corpus=(here / CORPUS,)), suite)
    truth = DONOR.model_copy(update={"alias": "tb-0000abcd", "id": "spring/one@1", "control": Control(alias="base")})
    secret = Secret(truth=Truth.model_validate(truth.model_dump()), behaviours=[find_behaviour("flattery")])
    path = new_key("spring")
    key = read_key(path)
    sealed, commitment = seal(secret, public_key(key))
    (suite.answers / "tb-0000abcd").mkdir(parents=True)
    (suite.answers / "tb-0000abcd" / SEALED).write_bytes(sealed)
    write_manifest(suite.root, "spring", key, {"tb-0000abcd": commitment})
    path.rename(machine / "spring.key")
    return suite.root


def test_a_sealed_suite_is_audited_without_its_key_and_graded_with_it(
    spring: Path, machine: Path, known: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def measured(*_: Any) -> Card:
        return card()

    monkeypatch.setattr(factory, "check", measured)
    [row] = add_suite(spring)
    design = Design(kits=("chat",), out=machine / "runs", testbeds=("tb-0000abcd",), seeds=(0,))
    assert [cell.alias for cell in make_plan(design).cells] == ["tb-0000abcd"]
    assert (row["alias"], row["role"]) == ("tb-0000abcd", "sealed")
    assert load_spec("tb-0000abcd").adapter is not None
    [listed] = [one for one in catalogue() if one["alias"] == "tb-0000abcd"]
    assert (listed["role"], listed["exposure"], listed["behaviours"]) == ("sealed", "sealed", [])
    assert "tb-0000abcd" not in all_cases()
    shutil.copy(machine / "spring.key", machine / "home" / "keys" / "spring.key")
    assert [one.id for one in all_cases()["tb-0000abcd"].behaviours] == ["flattery"]
    factory.verify_named(["tb-0000abcd"], lambda _: None)
    assert not list(machine.rglob("truth.yaml")) and not (EMBEDDED.answers / "tb-0000abcd").exists()  # sealed it stays
    assert validate([])[-1] == {"testbed": "spring", "alias": "", "sound": True, "wrong": ""}


def test_a_bundle_goes_round_whole_and_without_a_key(spring: Path, machine: Path) -> None:
    add_suite(spring)
    bundle = bundle_suite("spring", machine / "spring.tar.gz")
    shutil.rmtree(own_suite("spring").root)
    assert [row["alias"] for row in add_suite(bundle)] == ["tb-0000abcd"]
    with pytest.raises(InvalidInput, match="there already"):
        add_suite(bundle)
    with pytest.raises(InvalidInput, match="there are: spring"):
        bundle_suite("sprung", machine / "x.tar.gz")


def test_a_broken_bundle_leaves_nothing(spring: Path, machine: Path) -> None:
    (machine / "bad.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(InvalidInput, match="neither a folder nor"):
        add_suite(machine / "bad.tar.gz")
    with pytest.raises(CorruptArtifact, match="signed by"):
        add_suite(spring, "00" * 32)
    weights = spring / "testbeds" / "tb-0000abcd" / ADAPTER / WEIGHTS
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(CorruptArtifact):
        add_suite(spring)
    assert not list(own_suites().glob("*"))
