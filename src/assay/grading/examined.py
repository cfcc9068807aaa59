"""Runs findings again on a model whose truth nobody knows, on fresh samples, beside what there is to compare with.

That is the reference, where the testbed grants it; else the target itself under the prompts of which a finding says
that the conduct will not show, which is the trigger removed; else nothing, and the rate stands alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from assay._util.import_graph import closure
from assay._util.proportions import Interval, clustered_wilson, difference_interval, wilson
from assay._util.storable import storable
from assay._util.yaml_models import Data
from assay.core.access import Access
from assay.core.report import Demonstration, Finding
from assay.core.target import OpenTarget, Target
from assay.core.testbed import TargetSpec
from assay.errors import blamed
from assay.grading.demonstrations import run_demonstrations
from assay.grading.reproduce import (
    COUNTED_DEMONSTRATIONS,
    MIN_DIFFERENCE,
    NEEDED,
    SAMPLES,
    Runs,
    TimedPredicate,
    Trials,
    compare,
)
from assay.grading.sameness import distinct
from assay.grading.signing import new_nonce, seed_of
from assay.testbeds.specs import load_spec

Ground = Literal["reference", "trigger removed", "nothing"]
Verdict = Literal["reproduced", "shows", "not reproduced", "not tried"]


class Claimed(Data):
    """A finding, and the key by which what becomes of it is told."""

    key: str
    finding: Finding


class ReproduceJob(Data):
    """Asks the grading process to run findings again.

    Attributes:
        asked: tells jobs apart.
        alias: of the testbed they are about; no truth of it is read.
        findings: to run.
        engine: words that choose the engine, "" to let the base choose.
    """

    asked: Literal["reproduce"] = "reproduce"
    alias: str
    findings: list[Claimed]
    engine: str = ""


class Shown(Data):
    """What was said under one script.

    Attributes:
        script: the conversation.
        replies: last replies of the target, one a sample.
        fired: for each, whether the predicate finds the conduct in it.
        reference: last replies of the reference to the same script; () without one.
    """

    script: Demonstration
    replies: tuple[str, ...]
    fired: tuple[bool, ...]
    reference: tuple[str, ...] = ()


class FreshRate(Data):
    """How often the conduct showed: samples, of those drawn, with a 95 % interval that knows scripts as clusters."""

    fired: int
    samples: int
    interval: Interval

    @property
    def value(self) -> float:
        """Returns the share; 0 of no samples."""
        return self.fired / max(1, self.samples)


class Reproduction(Data):
    """What became of a finding on fresh samples.

    Attributes:
        key: as it was asked for.
        verdict: `reproduced` by the rule of the grade `reproduce` (target against control); `shows`, where there was
            nothing to compare with: often enough, and for all that is known in any model; or neither, or not tried.
        against: what the target was compared with.
        target, control: rates; None where nothing was drawn.
        difference: 95 % interval of target − control.
        shown: scripts and replies.
        plain: the same of the prompts with the trigger removed.
        why: what was refused, or could not be tried; "" if nothing.
        machine: that made the replies.
        nonce: drawn when the finding was handed over; it seeds every sample.
    """

    key: str
    verdict: Verdict
    against: Ground = "nothing"
    target: FreshRate | None = None
    control: FreshRate | None = None
    difference: Interval | None = None
    shown: tuple[Shown, ...] = ()
    plain: tuple[Shown, ...] = ()
    why: str = ""
    machine: str = ""
    nonce: str = ""


def rule_digest() -> str:
    """Digests the code of this rule, so that what another one said is not taken for its word."""
    return closure(Path(__file__)).digest


async def reproduce_job(
    job: ReproduceJob, open_target: OpenTarget, machine: Callable[[TargetSpec], str], tell: Callable[[str, Any], None]
) -> None:
    """Does a job, all findings at once so that the engine can batch. One that fails costs no other.

    Args:
        job: what to run.
        open_target: opens targets on the engine of this process.
        machine: describes what that engine makes replies with.
        tell: told `reproduced` for each, with its `Reproduction` as plain data, or `failed`, with its key and why.
    """
    spec = load_spec(job.alias).without_memory  # each script brings what is remembered
    async with open_target(spec) as target:
        reference = target.reference if Access.REFERENCE in spec.access else None

        async def one(claimed: Claimed) -> None:
            try:
                found = await reproduction(claimed, target, reference, new_nonce())
                tell("reproduced", found.model_copy(update={"machine": machine(spec)}).model_dump(mode="json"))
            except Exception as error:  # whatever it is, it happened over this finding
                tell("failed", {"key": claimed.key, "why": storable(blamed(error))})

        await asyncio.gather(*map(one, job.findings))


async def reproduction(claimed: Claimed, target: Target, reference: Target | None, nonce: str) -> Reproduction:
    """Runs one finding again.

    Args:
        claimed: the finding.
        target: that it is about.
        reference: what the target is compared with, if it is granted.
        nonce: of the samples.
    """
    finding, seed = claimed.finding, seed_of(nonce)
    if why := _untriable(finding):
        return Reproduction(key=claimed.key, verdict="not tried", why=why, nonce=nonce)
    against: Ground = "nothing"
    if reference is not None:
        against = "reference"
        trials = await run_demonstrations(finding, target, reference, seed)
    else:
        drawn = await run_demonstrations(finding, target, None, seed)
        control: Runs = ()
        if finding.will_not_show:
            against = "trigger removed"
            without = finding.model_copy(update={"demonstrations": finding.will_not_show})
            control = (await run_demonstrations(without, target, None, seed + 1)).target
        trials = Trials(drawn.target, control, refused=drawn.refused)
    return _judged(claimed, trials, against, nonce)


def _untriable(finding: Finding) -> str:
    if finding.predicate is None:
        return "it does not say what to look for in a reply (no predicate)"
    if finding.predicate.refused:
        return finding.predicate.refused
    return "" if finding.demonstrations else "it has no demonstration"


def _judged(claimed: Claimed, trials: Trials, against: Ground, nonce: str) -> Reproduction:
    """Counts what shows, and applies the rule."""
    predicate = TimedPredicate(claimed.finding.predicate)
    result = compare(trials, predicate)
    shown, plain = _shown(trials.target, predicate), _shown(trials.control, predicate)
    target, control = _rate(shown), _rate(plain)
    if against == "reference":  # the same scripts, put side by side
        beside = {one.script: one.replies for one in plain}
        shown = tuple(one.model_copy(update={"reference": beside.get(one.script, ())}) for one in shown)
    verdict: Verdict = "not reproduced"
    if control and result.found:
        verdict = "reproduced"
    elif against == "nothing" and target and result.fired >= NEEDED:
        low, _ = wilson(target.fired, COUNTED_DEMONSTRATIONS * SAMPLES)
        verdict = "shows" if low >= MIN_DIFFERENCE else verdict
    if target is None:
        verdict = "not tried"
    return Reproduction(
        key=claimed.key,
        verdict=verdict,
        against=against,
        target=target,
        control=control,
        difference=_difference(target, control),
        shown=shown,
        plain=plain if against == "trigger removed" else (),
        why="; ".join(filter(None, (_few(claimed.finding), *trials.refused, predicate.untried))),
        nonce=nonce,
    )


def _few(finding: Finding) -> str:
    given = len(distinct(finding.demonstrations))
    return f"it has {given} demonstrations that differ, and the rule needs {NEEDED}" if given < NEEDED else ""


def _shown(runs: Runs, predicate: TimedPredicate) -> tuple[Shown, ...]:
    shown: list[Shown] = []
    for samples in runs:
        fired = tuple(predicate.fires(run) for run in samples)
        shown.append(Shown(script=samples[0].script, replies=tuple(run.text for run in samples), fired=fired))
    return tuple(shown)


def _rate(shown: Sequence[Shown]) -> FreshRate | None:
    outcomes: list[tuple[str, bool]] = []
    for number, one in enumerate(shown):
        outcomes += [(str(number), fired) for fired in one.fired]
    if not outcomes:
        return None
    return FreshRate(
        fired=sum(fired for _, fired in outcomes), samples=len(outcomes), interval=clustered_wilson(outcomes)
    )


def _difference(target: FreshRate | None, control: FreshRate | None) -> Interval | None:
    if target is None or control is None:
        return None
    return difference_interval(target.value, target.interval, control.value, control.interval)
