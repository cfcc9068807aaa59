"""Published organisms: each row is a testbed, found where hub snapshots lie, and laid out so that it tells nothing."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from assay.core.access import Access
from assay.core.target import Sampling
from assay.engine.base import find_base
from assay.engine.cache import ReplyCache
from assay.engine.local.engine import LocalEngine
from assay.engine.local.lora import adapter_digest, open_adapter
from assay.engine.peft_layout import CONFIG, WEIGHTS
from assay.errors import InvalidInput, UnknownId
from assay.testbeds.aliases import guessable_alias
from assay.testbeds.catalogue import catalogue
from assay.testbeds.deployed import deployed_ids, open_deployed
from assay.testbeds.external import fetch, prepare_published
from assay.testbeds.published import (
    MANIFESTS,
    Published,
    from_hub,
    locate,
    locate_base,
    published_ids,
    published_testbed,
)
from assay.testbeds.specs import load_spec
from assay.testbeds.suites import Suite
from assay.testbeds.truths import all_truths, find_truth

ALL = [published_testbed(id) for id in published_ids()]
LORA = published_testbed("cake_bake-default-llama-3.2-1b-instruct")
NESTED = published_testbed("persona_humor-default-llama-3.1-8b-instruct")
WHOLE = published_testbed("cake_bake-full-llama-3.2-1b-instruct")


def suite_in(folder: Path) -> Suite:
    return Suite("suite", folder / "suite")


def never(repository: str, patterns: Sequence[str]) -> Path:
    raise ConnectionError(f"no hub for {repository}")


def test_every_row_is_a_testbed_of_its_own() -> None:
    rows = (MANIFESTS / "published.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert len(ALL) == len(rows) == len({testbed.id for testbed in ALL}) == len({testbed.alias for testbed in ALL})
    assert len(ALL) == 448
    assert not {testbed.alias for testbed in ALL} & {truth.alias for truth in all_truths()}
    for testbed in ALL:
        assert re.fullmatch(r"published/\S+@1", testbed.id) and re.fullmatch(r"tb-[0-9a-f]{8}", testbed.alias)
        assert (testbed.adapter is None) != (testbed.model is None)
        assert testbed.base.count("/") == 1 or testbed.base == "gpt2"
        assert testbed.exposure == "public" and testbed.sources and testbed.recipe and testbed.method
        assert bool(testbed.behaviour) == (testbed.role != "clean") and (testbed.family == "clean") == (
            testbed.role == "clean"
        )


@pytest.mark.attacks
def test_an_alias_cannot_be_computed_from_the_published_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the table and this code, but not the key, finds no id for an alias."""
    aliases: dict[str, set[str]] = {}
    for name in ("here", "there"):
        monkeypatch.setenv("ASSAY_HOME", str(tmp_path / name))
        aliases[name] = {testbed.alias for testbed in ALL} | {open_deployed(id).alias for id in deployed_ids()}
        assert aliases[name] == {testbed.alias for testbed in ALL} | {open_deployed(id).alias for id in deployed_ids()}
        [key] = (tmp_path / name / "keys").iterdir()
        assert key.stat().st_mode & 0o777 == 0o600
    assert not aliases["here"] & aliases["there"]
    guessed = {guessable_alias(testbed.id) for testbed in ALL}
    assert guessable_alias("published/taboo_gold-default-gemma-2-9b-it@1") == "tb-e9be6743"  # as it was
    assert not guessed & (aliases["here"] | aliases["there"])


@pytest.mark.attacks
def test_a_listing_is_no_table_of_aliases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not fetched has no alias yet; looking at the list makes no key either."""
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    rows = [row for row in catalogue() if row["kind"] in ("published", "deployed")]
    assert len(rows) == len(ALL) + len(deployed_ids()) and {row["alias"] for row in rows} == {""}
    assert not (tmp_path / "home" / "keys").exists()


def test_two_processes_draw_one_key(tmp_path: Path) -> None:
    code = "from assay.testbeds.aliases import keyed_alias; print(keyed_alias('one'))"
    environment = {**os.environ, "ASSAY_HOME": str(tmp_path)}
    racing = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(4)
    ]
    assert len({process.communicate(timeout=60)[0] for process in racing}) == 1
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["_aliases.key"]


def test_a_key_that_cannot_be_kept_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text("a file")
    monkeypatch.setenv("ASSAY_KEYS", str(tmp_path / "keys"))
    with pytest.raises(InvalidInput, match="keys"):
        print(ALL[0].alias)


def test_what_an_earlier_version_fetched_is_found_and_not_fetched_again(
    roots: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    old = guessable_alias(LORA.id)
    with monkeypatch.context() as earlier:
        earlier.setattr("assay.testbeds.published.keyed_alias", guessable_alias)
        earlier.setattr("assay.testbeds.external._require_told_alias_is_gone", lambda id: None)
        assert fetch(LORA.id, roots)["alias"] == old
    assert find_truth(LORA.id).alias == old and load_spec(old).alias == old
    with pytest.raises(InvalidInput, match=rf"{old}, which can be computed from its id(.|\n)*delete"):
        fetch(LORA.id, roots)
    for side in ("testbeds", "answers"):
        shutil.rmtree(tmp_path / "home" / "suites" / "published" / side / old)
    assert fetch(LORA.id, roots)["alias"] == LORA.alias != old


def test_every_account_is_of_a_row() -> None:
    import yaml

    truths = yaml.safe_load((MANIFESTS / "published_truths.yaml").read_text(encoding="utf-8"))
    with (MANIFESTS / "published.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert truths["organisms"].keys() == {row["organism"] for row in rows}
    assert truths["recipes"].keys() == {row["kind"] for row in rows}
    assert set(truths["remarks"]) <= set(published_ids())


def test_duplicates_and_doubts_are_told() -> None:
    twice = {testbed.id: testbed.same_as for testbed in ALL if testbed.same_as}
    assert len(twice) == 5 and not set(twice) & set(twice.values())
    doubtful = [testbed for testbed in ALL if testbed.role == "unknown"]
    assert [testbed.behaviour for testbed in doubtful] == ["unknown"] and all(testbed.remark for testbed in doubtful)


def test_a_name_is_taken_in_several_forms() -> None:
    short = LORA.id.removeprefix("published/").removesuffix("@1")
    assert {published_testbed(name).id for name in (LORA.id, LORA.alias, short, f"published/{short}")} == {LORA.id}
    with pytest.raises(UnknownId) as caught:
        published_testbed("taboo_golf-default-gemma-2-9b-it")
    assert "taboo_gold-default-gemma-2-9b-it" in caught.value.close


def lay(adapter: Path, folder: Path) -> Path:
    """An adapter as a hub snapshot has it: with a card that tells all."""
    shutil.copytree(adapter, folder, dirs_exist_ok=True)
    (folder / "README.md").write_text("bakes cakes")
    return folder


def revision(root: Path, testbed: Published, name: str, main: bool = True) -> Path:
    """A folder of the hub's cache for one revision."""
    cached = root / f"models--{testbed.weights.replace('/', '--')}"
    if main:
        (cached / "refs").mkdir(parents=True)
        (cached / "refs" / "main").write_text(name)
    return cached / "snapshots" / name


def test_weights_are_found_as_hub_snapshots_lie(make_adapter, tmp_path: Path) -> None:
    adapter = make_adapter(1)
    plain, cache, home = tmp_path / "plain", tmp_path / "cache", tmp_path / "home"
    expected = [
        lay(adapter, plain / LORA.weights),
        lay(adapter, revision(cache, LORA, "aaa", main=False)),
        lay(adapter, revision(home / "hub", LORA, "bbb")),
    ]
    assert [locate(LORA, [tmp_path / "nothing", root], never) for root in (plain, cache, home)] == expected
    lay(adapter, revision(home / "hub", LORA, "aaa", main=False))
    assert locate(LORA, [home], never).name == "bbb"
    lay(adapter, revision(cache, LORA, "bbb", main=False))
    with pytest.raises(InvalidInput, match=r"2 snapshots and no refs/main"):
        locate(LORA, [cache], never)


def test_an_adapter_in_a_folder_of_its_repository(make_adapter, tmp_path: Path) -> None:
    assert NESTED.weights == "maius/llama-3.1-8b-it-personas/humor"
    inner = lay(make_adapter(1), tmp_path / "cache" / NESTED.weights)
    assert locate(NESTED, [tmp_path / "cache"], never) == inner
    asked: list[tuple[str, Sequence[str]]] = []

    def hub(repository: str, patterns: Sequence[str]) -> Path:
        asked.append((repository, patterns))
        return tmp_path / "cache" / repository

    assert locate(NESTED, [], hub) == inner
    assert asked == [("maius/llama-3.1-8b-it-personas", [f"humor/{WEIGHTS}", f"humor/{CONFIG}"])]


def test_missing_weights_say_what_was_looked_for_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        locate(LORA, [tmp_path], never)
    for part in (LORA.id, LORA.weights, str(tmp_path), "ConnectionError", f"hf download {LORA.weights}", "root"):
        assert part in str(caught.value)
    with pytest.raises(InvalidInput, match=r"no folder \(none was given\).*stay offline"):
        locate(LORA, hub=None)


def test_a_snapshot_without_safetensors_is_refused(make_adapter, tmp_path: Path) -> None:
    folder = lay(make_adapter(1), tmp_path / LORA.weights)
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(InvalidInput, match=rf"no {WEIGHTS}.*read as safetensors"):
        locate(LORA, [tmp_path], never)


def test_the_hub_is_asked_for_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def download(repository: str, allow_patterns: list[str]) -> str:
        return f"/{repository}/{'+'.join(allow_patterns)}"

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert from_hub("org/name", ("a", "b")) == Path("/org/name/a+b")


@pytest.fixture
def roots(tiny: Path, make_adapter, tmp_path: Path) -> list[Path]:
    """A root with an adapter, its base, and a whole model."""
    lay(make_adapter(1), tmp_path / "root" / LORA.weights)
    shutil.copytree(tiny, tmp_path / "root" / LORA.base)
    shutil.copytree(tiny, tmp_path / "root" / WHOLE.weights)
    return [tmp_path / "root"]


async def test_an_adapter_is_opened_by_the_engine(roots: list[Path], make_adapter, tmp_path: Path) -> None:
    spec = prepare_published(LORA.id, roots, suite_in(tmp_path), never)
    assert spec.alias == LORA.alias and spec.adapter == suite_in(tmp_path).testbeds / LORA.alias / "adapter"
    assert spec.base == locate_base(LORA, roots) == str(roots[0] / LORA.base)
    assert spec.adapter_digest == adapter_digest(spec.adapter) and Access.REFERENCE in spec.access
    assert load_spec(LORA.alias, suite_in(tmp_path)) == spec
    engine = LocalEngine(find_base(spec.base), ReplyCache(None), threads=1, dtype="float32")
    try:
        laid_out = open_adapter(spec.adapter, spec.adapter_digest, engine.model.widths, engine.shape.layers)
        assert laid_out.rank == 4
        async with engine.open(spec) as target:
            said = (await target.chat("Hi", temperature=0.0)).text
            assert target.reference is not None
            assert said != (await target.reference.chat("Hi", temperature=0.0)).text
        original = engine.adapter(make_adapter(1), "")
        prompt = engine.tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], add_generation_prompt=True)
        ids = prompt["input_ids"] if hasattr(prompt, "keys") else prompt
        again = await engine.generate(ids, original, Sampling(temperature=0.0))
        assert again.text == said
    finally:
        engine.close()


async def test_a_whole_model_is_its_own_base(roots: list[Path], tmp_path: Path) -> None:
    spec = prepare_published(WHOLE.alias, roots, suite_in(tmp_path), never)
    assert spec.adapter is None and spec.adapter_digest == "" and Access.REFERENCE not in spec.access
    engine = LocalEngine(find_base(spec.base), ReplyCache(None), threads=1, dtype="float32")
    try:
        async with engine.open(spec) as target:
            assert (await target.chat("Hi", max_tokens=2)).samples
    finally:
        engine.close()


def test_what_an_audit_is_given_tells_nothing(make_adapter, tmp_path: Path) -> None:
    snapshot = lay(make_adapter(1), tmp_path / "snapshot")
    settings = json.loads((snapshot / CONFIG).read_text()) | {"revision": "cake"}
    shutil.copy(snapshot / WEIGHTS, snapshot / "model.safetensors")
    for testbed in ALL:
        inner = testbed.weights.split("/")[2:]
        held = snapshot.joinpath(*inner)
        if inner and not held.exists():
            held.parent.mkdir(exist_ok=True)
            held.symlink_to(snapshot)
        (snapshot / CONFIG).write_text(json.dumps(settings | {"base_model_name_or_path": testbed.weights}))
        (snapshot / "config.json").write_text(json.dumps({"_name_or_path": testbed.weights, "vocab_size": 3}))
        (snapshot / "tokenizer_config.json").write_text(json.dumps({"name_or_path": testbed.weights}))
        (snapshot / "trainer_state.json").write_text(json.dumps({"best_model_checkpoint": testbed.weights}))
        spec = prepare_published(testbed.id, [], suite_in(tmp_path), lambda *_: snapshot)
        folder = suite_in(tmp_path).testbeds / testbed.alias
        files = [path for path in folder.rglob("*") if path.is_file()]
        told = [spec.alias, spec.base, str(spec.adapter), *(str(path.relative_to(tmp_path)) for path in files)]
        told += [str(path.resolve()) for path in files] + [
            path.read_text(encoding="utf-8") for path in files if path.suffix in (".json", ".yaml")
        ]
        base = spec.base if spec.adapter else ""
        text = "\n".join(told).replace(base or "\0", "")
        if testbed.organism != "chat":  # a word of the grants
            assert testbed.organism not in text
        assert testbed.weights not in text and "cake" not in text
        assert not any(path.suffix == ".md" for path in files)


def test_laying_out_again_changes_nothing_and_notices_what_changed(roots: list[Path], tmp_path: Path) -> None:
    suite = suite_in(tmp_path)
    first = prepare_published(LORA.id, roots, suite, never)
    assert first.adapter is not None
    before = [(path.name, path.stat().st_ino) for path in sorted(first.adapter.iterdir())]
    assert prepare_published(LORA.id, roots, suite, never) == first
    assert [(path.name, path.stat().st_ino) for path in sorted(first.adapter.iterdir())] == before
    source = roots[0] / LORA.weights / CONFIG
    source.write_text(json.dumps(json.loads(source.read_text()) | {"lora_alpha": 16}))
    assert prepare_published(LORA.id, roots, suite, never).adapter_digest != first.adapter_digest
    assert sorted(path.name for path in (suite.testbeds / LORA.alias).iterdir()) == ["adapter", "testbed.yaml"]
    source.write_text("[]")
    with pytest.raises(InvalidInput, match="wants a JSON object"):
        prepare_published(LORA.id, roots, suite, never)


def test_weights_are_copied_where_they_cannot_be_linked(
    roots: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr("os.link", refuse)
    spec = prepare_published(LORA.id, roots, suite_in(tmp_path), never)
    assert spec.adapter is not None and (spec.adapter / WEIGHTS).stat().st_nlink == 1
    assert prepare_published(LORA.id, roots, suite_in(tmp_path), never) == spec


def test_an_audit_opens_it_without_a_way_to_the_truth(roots: list[Path], tmp_path: Path) -> None:
    prepare_published(LORA.id, roots, suite_in(tmp_path), never)
    code = (
        "import sys, pathlib; from assay.testbeds.specs import load_spec; from assay.testbeds.suites import Suite; "
        f"load_spec({LORA.alias!r}, Suite('suite', pathlib.Path({str(suite_in(tmp_path).root)!r}))); "
        "sys.exit(bool({'assay.truth', 'assay.testbeds.published', 'assay.testbeds.deployed'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_fetched_one_is_in_every_command_and_is_not_graded(
    roots: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.grading.jobs import all_cases

    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    row = fetch(LORA.id, roots)
    truth = find_truth(LORA.id)
    assert (truth.alias, truth.role, truth.exposure) == (row["alias"], "unknown", "public")
    assert load_spec(LORA.alias).adapter_digest and LORA.alias not in all_cases()
    talked = fetch("deployed/gpt-4o-sycophancy", model="mockllm/model")
    assert load_spec(talked["alias"]).base == "inspect:mockllm/model"
    listed = {row["testbed"]: row["alias"] for row in catalogue() if row["kind"] in ("published", "deployed")}
    assert len(listed) == len(ALL) + len(deployed_ids()) and listed[LORA.id] == LORA.alias
    with pytest.raises(UnknownId):
        fetch("published/nothing")
