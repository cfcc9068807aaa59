"""The grader's key is one, its own, and whole; what it signs holds for one audit, report, tier and nonce alone."""

import stat
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from assay.core.record import GradeRow
from assay.core.report import Report
from assay.errors import InvalidInput, NotWritten
from assay.grading.constant import BestConstant, SignedConstant, read_constant
from assay.grading.signing import (
    KnownGraders,
    Signer,
    new_nonce,
    public_keys_folder,
    report_digest,
    signing_key_path,
)

ROW = GradeRow("key", "grader", "hit", 1.0, 0.125, "organism", "flattery", {"findings": [{"mcc": 0.8}]}, new_nonce())
CONSTANT = SignedConstant(
    "plan", "grader", "reports", new_nonce(), BestConstant("key", 0.5, (("family", 1.0, 0.5, 8),))
)
REPORT = report_digest(Report(p_hidden=0.9))


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of keys."""
    monkeypatch.setenv("ASSAY_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys"


def test_the_key_is_made_once_and_is_its_owners_alone(keys: Path) -> None:
    signed = Signer.here().grade(ROW, "alias", REPORT)
    path = signing_key_path()
    made = path.read_bytes()
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent, keys)] == [0o600, 0o700, 0o700]
    assert Signer.here().grade(ROW, "alias", REPORT) == signed and path.read_bytes() == made
    assert KnownGraders.here().made_grade(signed, "alias", REPORT)
    assert {one.name for one in keys.rglob("*") if one.is_file()} == {
        path.name,
        next(public_keys_folder().iterdir()).name,
    }


def test_graders_that_come_at_once_end_with_one_key(keys: Path) -> None:
    code = "import sys; from assay.grading.signing import Signer; sys.stdin.read(); Signer.here()"
    graders = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) for _ in range(6)]
    for grader in graders:  # all have loaded what they need by the time the last of them is started
        assert grader.stdin is not None
        grader.stdin.close()
    assert [grader.wait() for grader in graders] == [0] * 6
    assert len(list(public_keys_folder().iterdir())) == 1
    assert [one.name for one in signing_key_path().parent.iterdir()] == [signing_key_path().name]


@pytest.mark.parametrize("broken", [b"", b"00", b"\xff" * 64, b"0" * 63 + b"g"])
def test_a_broken_key_is_told_and_stays(keys: Path, broken: bytes) -> None:
    Signer.here()
    signing_key_path().write_bytes(broken)
    with pytest.raises(InvalidInput, match=r"signing\.key: not a key"):
        Signer.here()
    assert signing_key_path().read_bytes() == broken


def test_a_key_that_cannot_be_read_or_written_is_told(keys: Path) -> None:
    signing_key_path().mkdir(parents=True)
    with pytest.raises(InvalidInput, match=r"signing\.key cannot be read: .*by you alone"):
        Signer.here()
    signing_key_path().rmdir()
    signing_key_path().parent.rmdir()
    signing_key_path().parent.write_text("a file")
    with pytest.raises(NotWritten, match="cannot be made"):
        Signer.here()


def test_whoever_reads_grades_opens_no_private_key(keys: Path) -> None:
    signed = Signer.here().grade(ROW, "alias", REPORT)
    signing_key_path().unlink()
    assert KnownGraders.here().made_grade(signed, "alias", REPORT)
    assert not signing_key_path().exists()


def test_a_grader_elsewhere_is_believed_where_a_person_put_its_public_key(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = Signer.here().grade(ROW, "alias", REPORT)
    [public] = public_keys_folder().iterdir()
    monkeypatch.setenv("ASSAY_KEYS", str(tmp_path / "other"))
    assert not KnownGraders.here().made_grade(signed, "alias", REPORT)  # nobody is known yet
    own = Signer.here().grade(ROW, "alias", REPORT)
    assert not KnownGraders.here().made_grade(signed, "alias", REPORT)
    (public_keys_folder() / "the-big-machine.pub").write_bytes(public.read_bytes())
    assert all(KnownGraders.here().made_grade(row, "alias", REPORT) for row in (signed, own))
    public_keys_folder().joinpath("broken.pub").write_text("no key")
    with pytest.raises(InvalidInput, match=r"broken\.pub: not a grader's public key"):
        KnownGraders.here()


OTHER: dict[str, Any] = {
    "run_key": "another",
    "grader": "another",
    "tier": "lineup",
    "raw": 0.0,
    "null": 0.0,
    "role": "clean",
    "cluster": "another",
    "details": {"findings": [{"mcc": 0.9}]},
    "nonce": new_nonce(),
    "signature": "00" * 64,
}


@pytest.mark.attacks
def test_a_signature_holds_for_nothing_else(keys: Path) -> None:
    signed = Signer.here().grade(ROW, "alias", REPORT)
    known = KnownGraders.here()
    assert known.made_grade(signed, "alias", REPORT)
    assert OTHER.keys() == {field.name for field in fields(GradeRow)}
    for name, value in OTHER.items():
        assert not known.made_grade(replace(signed, **{name: value}), "alias", REPORT), name
    assert not known.made_grade(signed, "another", REPORT)
    assert not known.made_grade(signed, "alias", report_digest(Report(p_hidden=0.8)))
    for signature in ("", "xyz", signed.signature[:-2], signed.signature + "00", b"\0" * 64, None, 7):
        assert not known.made_grade(replace(signed, signature=signature), "alias", REPORT)
    assert not known.made_grade(replace(signed, raw=b"1"), "alias", REPORT)  # a database takes any type
    assert not KnownGraders(()).made_grade(signed, "alias", REPORT)


@pytest.mark.attacks
def test_a_best_constant_holds_for_its_plan_graders_and_reports_alone(keys: Path) -> None:
    signed = Signer.here().constant(CONSTANT)
    known = KnownGraders.here()
    assert known.made_constant(signed) and read_constant(asdict(signed)) == signed
    richer = BestConstant("key", 0.0, (("family", 0.0, 0.0, 8),))
    for name, value in (
        ("plan", "other"),
        ("grader", "other"),
        ("reports", "other"),
        ("nonce", new_nonce()),
        ("best", richer),
        ("best", None),
        ("signature", Signer.here().grade(ROW, "alias", REPORT).signature),
    ):
        assert not known.made_constant(replace(signed, **{name: value})), name
