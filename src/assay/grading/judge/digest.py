"""The identity of a panel's grades: another rubric, model, code or truth makes another grade."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

from assay._util.hashing import digest_of
from assay._util.import_graph import closure
from assay.grading.judge.rubric import CLAIM, REPLY, rubric
from assay.testbeds.texts import ToldTruth


def panel_digest(panel: Sequence[str]) -> str:
    """SHA-256 over what makes a panel's opinion: its models in their order, and the rubrics."""
    return digest_of({"panel": list(panel), "rubrics": [rubric(name).digest for name in (CLAIM, REPLY)]})


def judge_digest(told: ToldTruth, swapped: Iterable[ToldTruth], panel: Sequence[str], sealed: str = "") -> str:
    """SHA-256 over a panel, all that grading by one imports, and the truths that are graded against.

    Args:
        told: truth of the testbed.
        swapped: the other truths.
        panel: names of the models.
        sealed: digest of what predictions are held against; "" where they are not.
    """
    truths = []
    for one in (told, *swapped):
        behaviours = [[behaviour.id, behaviour.text] for behaviour in one.behaviours]
        reference = one.reference.base if one.reference else ""
        truths.append([one.truth.alias, one.truth.role, one.truth.family, one.alone, reference, behaviours])
    return digest_of({"panel": panel_digest(panel), "sources": _sources(), "truths": truths, "sealed": sealed})


@functools.cache
def _sources() -> str:
    return closure(Path(__file__).with_name("grade.py")).digest
