"""What `assay judge validate` and `correct` print, and what their status says."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assay.cli import app
from assay.grading.judge.agreement import KindRate
from assay.grading.judge.validation import Validation
from assay.studies import agreement
from assay.studies.agreement import Validated
from assay.studies.effects.prediction_powered import CorrectedRate

RECORD = Validation(
    panel=["a/b"], rubric="claim@1", digest="d", labels="l", labellers=["Ada"], made="2030-01-01", claims=40,
    rates=[KindRate(kind="true", claims=40, accepted=0.9, interval=(0.8, 0.95), bar="≥ 95%", met=False)],
    undecided=2, kappa=0.8, kappas={"a/b": 0.75}, split=0, meets=False, calls=40, tokens=900,
)  # fmt: skip


@pytest.mark.parametrize("meets", [False, True])
def test_a_validation_is_printed_and_its_status_says_whether_it_holds(
    meets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = RECORD.model_copy(update={"meets": meets})
    monkeypatch.setattr(agreement, "validate_panel", lambda *_: Validated(record, Path("kept.yaml")))
    command = ["judge", "validate", "--judge", "a/b", "--labels", "labels.yaml"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == (0 if meets else 1)
    for part in ("true", "90.0%", "80.0% to 95.0%", "≥ 95%", "kappa with the labels: 0.80", "a/b 0.75", "40 calls"):
        assert part in ran.output
    told = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(told.stdout)["meets"] is meets


def test_a_corrected_rate_is_printed_beside_what_it_corrects(monkeypatch: pytest.MonkeyPatch) -> None:
    found = CorrectedRate(0.5, (0.4, 0.6), 0.7, 0.45, 0.8, 30, 90)
    monkeypatch.setattr(agreement, "correct_rate", lambda *_: found)
    command = ["judge", "correct", "--judge", "a/b", "--labels", "labels.yaml"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0
    for part in ("50.0%", "40.0% to 60.0%", "70.0% of 90", "30 labels alone 45.0%", "weight of the judges: 0.80"):
        assert part in ran.output
    assert json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["interval"] == [0.4, 0.6]
