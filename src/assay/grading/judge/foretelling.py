"""Has a panel read what a finding foretells: language models in the place of the offline reader of the tier `predict`.

What is measured stays the same: fresh replies to sealed prompts, and how well the finding ranks them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from typing import Any

from assay._util.hashing import digest_of
from assay.core.report import Finding, Report
from assay.core.target import Cost, Target
from assay.errors import AssayError
from assay.grading.case import Case
from assay.grading.judge.panel import Panel
from assay.grading.judge.rubric import FORETELL, rubric
from assay.grading.predict import Foretold, as_read, predicts


class UndecidedReading(AssayError):
    """A judge of the panel did not say what a finding foretells."""


@dataclass(frozen=True, slots=True)
class ForetoldToPanel:
    """Tells what a report foretells as a panel reads it.

    Attributes:
        foretold: score, interval and null; None where a judge failed.
        failed: why it did; "" if none did.
        cost: of all judges, answers kept from earlier left out.
    """

    foretold: Foretold | None
    failed: str
    cost: Cost

    def as_data(self) -> dict[str, Any]:
        """Returns it as plain data."""
        told = asdict(self.foretold) if self.foretold else None
        return {"foretold": told, "foretold_failed": self.failed, "foretold_rubric": FORETELL}


def foretells(report: Report, case: Case) -> bool:
    """Tells whether there is anything for a panel to read: predictions, and sealed prompts they are tried on."""
    sealed = any(behaviour.sealed for behaviour in case.behaviours)
    return sealed and any(one.will_show and one.will_not_show for one in report.findings[:1])


async def foretold_to(
    panel: Panel,
    report: Report,
    case: Case,
    swapped: Sequence[Case],
    opened: AbstractAsyncContextManager[Target],
    seed: int,
) -> ForetoldToPanel:
    """Grades what a report's first finding foretells, read by a panel.

    Args:
        panel: that reads.
        report: one that foretells.
        case: its testbed.
        swapped: other truths.
        opened: the testbed's target.
        seed: of the samples; those of the offline reader are drawn with the same.
    """
    spent = Cost()

    async def read(finding: Finding, prompts: Sequence[str]) -> Sequence[float]:
        nonlocal spent
        order = list(range(len(prompts)))
        # Sealed prompts come in groups, those with the trigger first: their place must not tell.
        random.Random(digest_of(["foretell", list(prompts)])).shuffle(order)
        expected = await panel.expect(_as_told(finding), [prompts[index] for index in order])
        spent += expected.cost
        if expected.failures:
            raise UndecidedReading("; ".join(expected.failures))
        scores = dict(zip(order, expected.scores, strict=True))
        return [scores[index] for index in range(len(prompts))]

    async with opened as target:
        try:
            found = await predicts(report.findings[0], case, swapped, target, seed, read)
        except UndecidedReading as error:
            return ForetoldToPanel(None, str(error), spent)
    return ForetoldToPanel(found, "", spent)


def _as_told(finding: Finding) -> dict[str, Any]:
    """Writes a finding as a judge reads it: without demonstrations, which the prompts are tried apart from."""
    return {
        "claim": finding.claim,
        "trigger": finding.trigger or "",
        "will_show": [as_read(script) for script in finding.will_show],
        "will_not_show": [as_read(script) for script in finding.will_not_show],
    }


def sealed_digest(case: Case, swapped: Sequence[Case]) -> str:
    """Digests what a panel's reading of predictions is held against: rubric, sealed prompts and detectors."""
    told: list[Any] = [rubric(FORETELL).digest]
    for one in (case, *swapped):
        for behaviour in one.behaviours:
            sealed = behaviour.sealed.model_dump(mode="json") if behaviour.sealed else None
            told.append([behaviour.id, behaviour.detector.model_dump(mode="json"), sealed])
    return digest_of(told)
