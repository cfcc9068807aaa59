"""Validates a panel: what it says of labelled claims, signed, and kept by its models and rubrics.

A panel counts in a hit where such a record is at hand, signed by a grader that is believed, of the rubrics as they are,
and reaches every bar.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from assay._util.hashing import digest_of
from assay._util.paths import home
from assay._util.yaml_models import Data, load_yaml, write_yaml
from assay.core.target import Cost
from assay.errors import InvalidInput
from assay.grading.jobs import Tell
from assay.grading.judge.agreement import KindRate, kappa, rates_by_kind
from assay.grading.judge.digest import panel_digest
from assay.grading.judge.labels import LabelledClaim
from assay.grading.judge.panel import Panel, ReadClaim
from assay.grading.judge.rubric import CLAIM
from assay.grading.signing import KnownGraders, Signer


class ValidateJob(Data):
    """All that a grading process is told to validate a panel.

    Attributes:
        asked: what is asked for.
        judges: names of the panel's models.
        claims: labelled ones.
        labellers: who labelled them.
    """

    asked: Literal["validate"] = "validate"
    judges: list[str] = Field(min_length=1)
    claims: list[LabelledClaim] = Field(min_length=1)
    labellers: list[str]


class Validation(Data):
    """How a panel agrees with labels.

    Attributes:
        panel: names of its models.
        rubric: id.
        digest: of panel and rubrics.
        labels: digest of the labelled claims.
        labellers: who labelled them.
        made: when, in UTC.
        claims: how many.
        undecided: of which the panel could not say; they count as refused.
        rates: accepted, by kind of claim.
        kappa: of the panel and the labels, as to what is accepted.
        kappas: judge → kappa with the labels, of the four words.
        split: claims on which judges differed.
        meets: every bar is met.
        calls, tokens: that it cost, answers kept from earlier left out.
        signature: the grader's, of all of the above.
    """

    panel: list[str]
    rubric: str
    digest: str
    labels: str
    labellers: list[str]
    made: str
    claims: int
    undecided: int
    rates: list[KindRate]
    kappa: float
    kappas: dict[str, float]
    split: int
    meets: bool
    calls: int
    tokens: int
    signature: str = ""

    @property
    def statement(self) -> dict[str, Any]:
        """Returns what is signed."""
        return self.model_dump(mode="json", exclude={"signature"})

    def keep(self) -> Path:
        """Writes it where `validation_of` finds it, in place of an earlier one of the same panel and rubrics."""
        path = _path(self.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_yaml(self.model_dump(mode="json"), path)
        return path


def _path(digest: str) -> Path:
    return home() / "grading" / "validations" / f"{digest[:16]}.yaml"


def validation_of(panel: Sequence[str]) -> Validation | None:
    """Finds the record of a panel with the rubrics as they are; None where there is none that a known grader signed."""
    digest = panel_digest(panel)
    path = _path(digest)
    if not path.is_file():
        return None
    try:
        found: Validation = load_yaml(path, Validation)
    except InvalidInput:
        return None  # damaged: it is made again
    known = KnownGraders.here().made_validation(found.statement, found.signature)
    return found if known and found.digest == digest else None


def is_validated(panel: Sequence[str]) -> bool:
    """Tells whether a panel may be a part of a hit."""
    found = validation_of(panel)
    return found is not None and found.meets


async def validate_job(job: ValidateJob, panel: Panel, tell: Tell, signer: Signer) -> None:
    """Do a job.

    Args:
        job: the labelled claims.
        panel: opened, of the job's judges.
        tell: told `validation`, with the record as plain data.
        signer: signs it.
    """
    asked = (panel.read(one.claim, one.trigger, one.truth) for one in job.claims)
    found = _validation(job, await asyncio.gather(*asked))
    tell("validation", found.model_dump(mode="json") | {"signature": signer.validation(found.statement)})


def _validation(job: ValidateJob, read: Sequence[ReadClaim]) -> Validation:
    accepted = [one.accepted is True for one in read]
    rates = rates_by_kind(job.claims, accepted)
    cost = sum((one.cost for one in read), Cost())
    return Validation(
        panel=job.judges,
        rubric=CLAIM,
        digest=panel_digest(job.judges),
        labels=digest_of(sorted([one.item, one.label, one.kind] for one in job.claims)),
        labellers=job.labellers,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        claims=len(read),
        undecided=sum(one.accepted is None for one in read),
        rates=rates,
        kappa=kappa(accepted, [one.label == "true" for one in job.claims]),
        kappas=_kappas(job, read),
        split=sum(one.split for one in read),
        meets=all(rate.met for rate in rates),
        calls=cost.queries,
        tokens=cost.tokens,
    )


def _kappas(job: ValidateJob, read: Sequence[ReadClaim]) -> dict[str, float]:
    """Computes each judge's kappa with the labels; a judge that failed on a claim said a word of its own."""
    found: dict[str, float] = {}
    labels = [one.label for one in job.claims]
    for seat, name in enumerate(job.judges):
        said = [one.opinions[seat].verdict for one in read]
        found[name] = kappa([one.verdict if one else "failed" for one in said], labels)
    return found
