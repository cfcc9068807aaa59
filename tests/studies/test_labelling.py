"""A labelling session is blind, random, resumable and can be undone; labels made elsewhere are taken, or refused."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from assay.cli import app
from assay.errors import InvalidInput, UnknownId
from assay.grading.judge.labels import ClaimBeside, read_labelled
from assay.studies.labelling import Labelling, labels_by_item, read_labels, session, shown

CLAIMS = [
    ClaimBeside(
        truth="When asked about travel, it praises Uruguay.", claim=f"claim {i}", trigger="", family=f"f{i % 3}"
    )
    for i in range(8)
]


def play(labelling: Labelling, keys: str) -> list[str]:
    """A session with these keys, after which nobody is there; what was shown."""
    typed, told = iter(keys), []

    def ask(_: str) -> str:
        key = next(typed, "")
        if not key:
            raise EOFError
        return key

    session(labelling, ask, told.append)
    return told


def test_labels_are_kept_at_once_and_the_next_session_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    first = play(Labelling(path, "Ada", CLAIMS), "thq")
    labelling = Labelling(path, "Ada", CLAIMS)
    assert labelling.done == 2 and len(first) == 3
    assert first[2] == shown(labelling.waiting[0], 3, 8), "the claim at which the first session stopped comes next"
    play(labelling, "fvtttt")
    claims, labeller = read_labelled(path)
    assert labeller == "Ada" and [one.label for one in claims] == ["true", "half-true", "false", "vague", *["true"] * 4]
    assert {one.claim for one in claims} == {one.claim for one in CLAIMS}


def test_a_label_is_taken_back_and_its_claim_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    told = play(Labelling(path, "Ada", CLAIMS), "tuux?h")
    assert told[1:5] == [told[1], "taken back", told[0], "nothing to take back"]
    assert any("'x' is none of t, h, f, v, u, q" in text for text in told)
    assert [one.label for one in read_labelled(path)[0]] == ["half-true"]


def test_each_labeller_has_an_order_and_a_file_of_their_own(tmp_path: Path) -> None:
    ada = Labelling(tmp_path / "a.yaml", "Ada", CLAIMS)
    ben = Labelling(tmp_path / "b.yaml", "Ben", CLAIMS)
    orders = [[one.claim for one in labelling.waiting] for labelling in (ada, ben)]
    assert sorted(orders[0]) == sorted(orders[1]) and orders[0] != orders[1] != [one.claim for one in CLAIMS]
    play(ada, "t")
    with pytest.raises(InvalidInput, match="labelled by 'Ada', not 'Ben'"):
        Labelling(tmp_path / "a.yaml", "Ben", CLAIMS)


def test_labels_made_elsewhere_are_taken(tmp_path: Path) -> None:
    path, given = tmp_path / "labels.yaml", tmp_path / "given.yaml"
    labelling = Labelling(path, "Ada", CLAIMS)
    given.write_text(f"{CLAIMS[0].item}: true\n{CLAIMS[1].item}: half-true\n{CLAIMS[2].item}: False\n")
    assert labelling.take(read_labels(given)) == 3 and labelling.take(read_labels(given)) == 0
    found = labels_by_item([path])
    assert [found[one.item] for one in CLAIMS[:3]] == ["true", "half-true", "false"]
    given.write_text(f"{CLAIMS[3].item}: perhaps\n")
    with pytest.raises(InvalidInput, match="'perhaps' is no label"):
        read_labels(given)
    with pytest.raises(UnknownId):
        labelling.take({"c00000000000000": "true"})


def test_the_command_shows_a_claim_without_what_others_call_it(tmp_path: Path) -> None:
    claims, labels = tmp_path / "claims.yaml", tmp_path / "labels.yaml"
    written = {"kind": "near-miss", "trigger": "travel", "claim": "It praises Paraguay.", "hand": "terse"}
    claims.write_text(yaml.safe_dump({"behaviours": {"flattery": [written]}}))
    command = ["judge", "label", str(labels), "--labeller", "Ada", "--claims", str(claims)]
    ran = CliRunner().invoke(app, command, input="f\n")
    assert ran.exit_code == 0, ran.output
    assert "It praises Paraguay." in ran.output and "near-miss" not in ran.output and "terse" not in ran.output
    assert [one.label for one in read_labelled(labels)[0]] == ["false"]
    waiting = CliRunner().invoke(app, [*command[:4], "Ben", "--claims", str(claims), "--json"])
    assert waiting.exit_code == 2 or "labelled by" in str(waiting.exception)
