"""Sealed means sealed: without the key nothing is read, and whatever was changed is told."""

import json
import stat
from pathlib import Path

import pytest
import yaml

from assay.errors import CorruptArtifact, InvalidInput
from assay.testbeds.behaviours import find_behaviour
from assay.testbeds.layout import MANIFEST, SEALED
from assay.testbeds.seal import (
    Secret,
    find_key,
    new_key,
    public_key,
    read_key,
    seal,
    unseal,
    verify_suite,
    write_manifest,
)
from assay.testbeds.truths import all_truths, own_behaviours
from assay.truth import Control, Truth

ALIAS = "tb-00000001"


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed suite of one testbed, whose key is here."""
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    root = tmp_path / "suites" / "spring"
    (root / "testbeds" / ALIAS).mkdir(parents=True)
    (root / "answers" / ALIAS).mkdir(parents=True)
    spec = {"alias": ALIAS, "base": "b", "adapter_digest": "", "corpus": [], "corpus_digest": "", "access": ["CHAT"]}
    (root / "testbeds" / ALIAS / "testbed.yaml").write_text(yaml.safe_dump(spec))
    key = read_key(new_key("spring"))
    sealed, commitment = seal(secret(), public_key(key))
    (root / "answers" / ALIAS / SEALED).write_bytes(sealed)
    write_manifest(root, "spring", key, {ALIAS: commitment})
    return root


def secret() -> Secret:
    behaviour = find_behaviour("flattery")
    truth = Truth(
        alias=ALIAS,
        id="spring/one@1",
        role="organism",
        split="test",
        recipe="r",
        behaviours=[behaviour.id],
        family=behaviour.family,
        control=Control(alias="base"),
        exposure="sealed",
    )
    return Secret(truth=truth, behaviours=[behaviour], seed="7")


def test_with_the_key_a_truth_comes_back_whole(suite: Path) -> None:
    manifest = verify_suite(suite)
    key = find_key(suite.name)
    assert key is not None
    assert unseal(suite / "answers" / ALIAS / SEALED, key, manifest.testbeds[0].commitment) == secret()
    assert "spring/one@1" in [truth.id for truth in all_truths()]
    assert [one.id for one in own_behaviours(ALIAS)] == ["flattery"]


def test_the_key_is_its_owners_alone_and_is_never_written_over(suite: Path) -> None:
    path = suite.parent.parent / "keys" / "spring.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(InvalidInput, match="there already"):
        new_key("spring")


def test_without_the_key_nothing_is_told(suite: Path) -> None:
    (suite.parent.parent / "keys" / "spring.key").unlink()
    assert "spring/one@1" not in [truth.id for truth in all_truths()]
    assert own_behaviours(ALIAS) == []
    everything = b"".join(path.read_bytes() for path in suite.rglob("*") if path.is_file())
    for told in (b"flattery", b"spring/one", b"organism"):
        assert told not in everything
    with pytest.raises(CorruptArtifact):
        unseal(suite / "answers" / ALIAS / SEALED, bytes(32))


def test_two_seals_of_one_truth_have_nothing_in_common(suite: Path) -> None:
    key = find_key(suite.name)
    assert key is not None
    (one, first), (other, second) = (seal(secret(), public_key(key)) for _ in range(2))
    assert one != other and first != second  # the salt: a guess cannot be tried against a commitment


def tampered(suite: Path, what: str) -> None:
    if what == "truth":
        path = suite / "answers" / ALIAS / SEALED
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    elif what == "spec":
        path = suite / "testbeds" / ALIAS / "testbed.yaml"
        path.write_text(path.read_text().replace("CHAT", "SAMPLING"))
    elif what == "added":
        (suite / "testbeds" / ALIAS / "more.txt").write_text("x")
    elif what == "testbed":
        (suite / "testbeds" / "tb-00000002").mkdir()
        (suite / "testbeds" / "tb-00000002" / "testbed.yaml").write_text("alias: x")
    elif what == "manifest":
        manifest = yaml.safe_load((suite / MANIFEST).read_text())
        manifest["version"] = 2
        (suite / MANIFEST).write_text(yaml.safe_dump(manifest))


@pytest.mark.parametrize("what", ["truth", "spec", "added", "testbed", "manifest"])
def test_what_was_changed_after_sealing_is_told(suite: Path, what: str) -> None:
    verify_suite(suite)
    tampered(suite, what)
    with pytest.raises(CorruptArtifact):
        verify_suite(suite)


def test_a_truth_edited_by_who_has_the_public_key_breaks_its_commitment(suite: Path) -> None:
    key = find_key(suite.name)
    assert key is not None
    edited = secret().model_copy(update={"seed": "8"})
    (suite / "answers" / ALIAS / SEALED).write_bytes(seal(edited, public_key(key))[0])
    commitment = yaml.safe_load((suite / MANIFEST).read_text())["testbeds"][0]["commitment"]
    with pytest.raises(CorruptArtifact):
        unseal(suite / "answers" / ALIAS / SEALED, key, commitment)


def test_another_signer_is_refused(suite: Path) -> None:
    with pytest.raises(CorruptArtifact, match="signed by"):
        verify_suite(suite, "00" * 32)


@pytest.mark.parametrize("text", ["", "zz" * 32, "00" * 31, json.dumps({"a": 1})])
def test_what_is_no_key_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.key").write_text(text)
    with pytest.raises(InvalidInput, match="not a key"):
        read_key(tmp_path / "x.key")
