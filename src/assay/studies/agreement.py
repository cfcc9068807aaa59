"""Measures judges against people: validates a panel on labelled claims, and corrects its rate by them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay._util.progress import Say
from assay.errors import InvalidInput
from assay.grading.judge.labels import LabelledClaim, read_labelled
from assay.grading.judge.panel import require_panel
from assay.grading.judge.validation import ValidateJob, Validation
from assay.studies.effects.prediction_powered import LEAST_LABELS, CorrectedRate, Judged, corrected_rate
from assay.studies.grades import Grading
from assay.studies.judging import Judging
from assay.studies.labelling import claims_of_ledger, labels_by_item
from assay.studies.ledger import Ledger
from assay.studies.processes import GradingProcess
from assay.studies.study import existing_ledger


@dataclass(frozen=True)
class Validated:
    """A validation, and where its record is kept."""

    validation: Validation
    path: Path


def validate_panel(judges: Sequence[str], labels: Sequence[Path], say: Say) -> Validated:
    """Has a panel read labelled claims, in the grading process, and keeps the signed record.

    Args:
        judges: names of the panel's models, as Inspect knows them.
        labels: files of labels, or of claims that were written to be of a kind.
        say: told of long steps.

    Raises:
        InvalidInput: a file that cannot be used, no claims, or a judge that Inspect cannot make.
        AssayError: the grading process ended.
    """
    require_panel(judges)
    claims: list[LabelledClaim] = []
    labellers: list[str] = []
    for path in labels:
        found, labeller = read_labelled(path)
        claims += found
        labellers.append(labeller)
    if not claims:
        raise InvalidInput(f"no labelled claims in {', '.join(map(str, labels)) or '(no file was given)'}.")
    say(f"{', '.join(judges)}: {len(claims)} claims to read")
    job = ValidateJob(judges=list(judges), claims=claims, labellers=labellers)
    with (
        tempfile.TemporaryDirectory(prefix="assay-") as folder,
        GradingProcess(Path(folder) / "grade-process.log", say) as process,
    ):
        validation = process.validate(job)
    return Validated(validation, validation.keep())


def correct_rate(out: Path, judges: Sequence[str], labels: Sequence[Path]) -> CorrectedRate:
    """Corrects the share of first findings on organisms that a panel accepts, by labels of some of them.

    Args:
        out: folder of a sweep that the panel has graded.
        judges: names of the panel's models.
        labels: files of labels that people made of this ledger's claims.

    Raises:
        InvalidInput: no ledger there, nothing judged, too few labels, or none left without one.
    """
    judging = Judging.now(judges, Grading.now())
    with Ledger.open(existing_ledger(out)) as ledger:
        held = judging.held(ledger, ledger.audits())
    called = labels_by_item(labels)
    items: list[Judged] = []
    for key, claim in claims_of_ledger(out).items():
        grade = held.get(key)
        if grade is None or grade.details["failed"]:
            continue
        matches = grade.details["findings"][0]["matches"]
        accepted = any(match["claim"]["accepted"] for match in matches)
        label = called.get(claim.item)
        items.append(Judged(claim.family, float(accepted), None if label is None else float(label == "true")))
    labelled = sum(one.label is not None for one in items)
    found = corrected_rate(items) if labelled >= LEAST_LABELS else None
    if found is None:
        raise InvalidInput(
            f"{out}: {len(items)} first findings on organisms were judged by {', '.join(judges)}, {labelled} of them "
            f"are labelled. A correction wants at least {LEAST_LABELS} labelled ones, some that are not, and two "
            f"families. Run assay grade --judge, then assay judge label."
        )
    return found
