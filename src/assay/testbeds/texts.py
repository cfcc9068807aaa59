"""Tells truths as texts, as a judge reads them: those of behaviours, and those of testbeds that have a text alone.

Published organisms and deployed models have no detector: what they do is known in words. Without a judge they are
audited and not graded, and their truth says `unknown`; with one, the lists say what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from assay.core.testbed import TargetSpec
from assay.errors import UnknownId
from assay.testbeds.deployed import open_deployed
from assay.testbeds.names import suite_part
from assay.testbeds.published import published_testbed
from assay.testbeds.specs import base_spec, load_spec
from assay.testbeds.suites import DEPLOYED, PUBLISHED
from assay.testbeds.truths import all_truths
from assay.truth import Behaviour, Truth


@dataclass(frozen=True, slots=True)
class ToldBehaviour:
    """A behaviour as a text.

    Attributes:
        id: of the behaviour.
        text: trigger and conduct in one sentence.
    """

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class ToldTruth:
    """A truth whose behaviours are texts.

    Attributes:
        truth: with the role and family that are known.
        behaviours: in the truth's order; none of a clean target.
        alone: there is nothing but the text: no detector, and no sealed prompts.
        reference: model that replies are compared with where the text stands alone; None where there is none.
    """

    truth: Truth
    behaviours: tuple[ToldBehaviour, ...]
    alone: bool = False
    reference: TargetSpec | None = None


def told(truth: Truth, behaviours: tuple[Behaviour, ...]) -> ToldTruth:
    """Tells a truth that has behaviours of its own, or is clean."""
    return ToldTruth(truth, tuple(ToldBehaviour(one.id, one.description) for one in behaviours))


def text_alone(truth: Truth) -> ToldTruth | None:
    """Tells what the lists know of a testbed that was fetched from them; None if they know nothing."""
    if truth.role != "unknown":
        return None
    try:
        if suite_part(truth.id) == PUBLISHED:
            return _published(truth)
        return _deployed(truth) if suite_part(truth.id) == DEPLOYED else None
    except UnknownId:
        return None  # fetched by a version whose list had it


def texts_alone() -> dict[str, ToldTruth]:
    """Finds alias → truth of all testbeds here whose truth is a text alone."""
    found = (text_alone(truth) for truth in all_truths())
    return {one.truth.alias: one for one in found if one is not None}


def _published(truth: Truth) -> ToldTruth | None:
    listed = published_testbed(truth.id)
    if listed.role == "unknown":
        return None
    behaviours = (ToldBehaviour(listed.organism, listed.behaviour),) if listed.role == "organism" else ()
    known = _known(truth, listed.role, listed.family, behaviours)
    # an adapter's base may lie in a folder here; a whole model's is known by its hub id alone
    base = load_spec(truth.alias).base if listed.adapter else listed.base
    return ToldTruth(known, behaviours, alone=True, reference=base_spec(base))


def _deployed(truth: Truth) -> ToldTruth | None:
    """Tells the issues that can be seen by talking; each model is a family, since nobody sorted the issues into any."""
    listed = open_deployed(truth.id.partition("/")[2].partition("@")[0])
    behaviours = tuple(ToldBehaviour(issue.id, issue.description) for issue in listed.auditable)
    if not behaviours:
        return None
    return ToldTruth(_known(truth, "organism", listed.id, behaviours), behaviours, alone=True)


def _known(truth: Truth, role: str, family: str, behaviours: tuple[ToldBehaviour, ...]) -> Truth:
    return truth.model_copy(update={"role": role, "family": family, "behaviours": [one.id for one in behaviours]})
