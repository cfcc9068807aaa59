"""Runs a finding's demonstrations again on target and control, as often as the verdict needs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from assay.core.report import Demonstration, Finding
from assay.core.run import Run, derive, play
from assay.core.target import Target
from assay.errors import InvalidInput
from assay.grading.reproduce import (
    DEMONSTRATION_TOKENS,
    LOOKS,
    SAMPLES,
    Recogniser,
    Runs,
    TimedPredicate,
    Trials,
    TriggerResult,
    compare,
    is_open,
    outcomes,
    touched,
)
from assay.grading.sameness import distinct
from assay.truth import Detector


async def run_demonstrations(
    finding: Finding, target: Target, control: Target | None, seed: int, recognised: Sequence[Recogniser] = ()
) -> Trials:
    """Runs every demonstration on both models, again and again while what was drawn leaves the verdict open.

    Near copies of a demonstration are one: repeating a lucky prompt is no evidence.

    Args:
        finding: whose demonstrations they are.
        target: the model a report is about.
        control: what it is compared with; without one, the target is compared with itself, trigger removed.
        seed: of the sampling: the same draws again, and as many.
        recognised: what may be found: of each the verdict is to be clear. Empty: one look is all.
    """
    scripts = distinct(finding.demonstrations)
    trials = await _drawn(scripts, target, control, seed, recognised, SAMPLES)
    for before, samples in pairwise(LOOKS):
        if not any(is_open(trials, one) for one in recognised):
            break
        own = derive(seed, "look", samples)
        trials = _together(trials, await _drawn(scripts, target, control, own, recognised, samples - before))
    return trials


async def _drawn(
    scripts: Sequence[Demonstration],
    target: Target,
    control: Target | None,
    seed: int,
    recognised: Sequence[Recogniser],
    samples: int,
) -> Trials:
    """Runs every demonstration so many times on both models, all requests at once so that the engine can batch them.

    Where the target shows too little at the first look, the control has nothing to say and is not asked.
    """
    counterparts: dict[Demonstration, None] = {}  # each once, in a fixed order
    for one in recognised:
        for script in scripts:
            if other := one.counterpart(script):
                counterparts[other] = None
    others = list(counterparts)
    on_target, refused = await _answers(target, [*scripts, *others], derive(seed, "target"), samples)
    scripts = _taken(scripts, recognised, on_target)
    beside = {other: on_target[other] for other in others if other in on_target}
    trials = Trials(tuple(on_target[script] for script in scripts), (), (beside, {}), refused=refused)
    if control is None:
        return replace(trials, removed=True)
    beside_target, _ = trials.beside
    shown = [outcomes(trials.target, beside_target, one) for one in recognised]
    if shown and samples == SAMPLES and not any(map(touched, shown)):
        return trials  # too little shows in the target for any answer of the control to matter
    on_control, refused_there = await _answers(control, [*scripts, *beside], derive(seed, "control"), samples)
    scripts = _taken(scripts, recognised, on_control)  # what only one of them takes tells nothing of a difference
    return Trials(
        tuple(on_target[script] for script in scripts),
        tuple(on_control[script] for script in scripts),
        (beside_target, {other: on_control[other] for other in beside if other in on_control}),
        refused=tuple(dict.fromkeys((*refused, *refused_there))),
    )


def _together(trials: Trials, more: Trials) -> Trials:
    """Joins what was drawn at two looks, as far as both models took it at both."""

    def joined(runs: Runs, others: Runs) -> Runs:
        later = {samples[0].script: samples for samples in others}
        return tuple(samples + later[samples[0].script] for samples in runs if samples[0].script in later)

    def beside(place: int) -> dict[Demonstration, tuple[Run, ...]]:
        later = more.beside[place]
        return {script: runs + later[script] for script, runs in trials.beside[place].items() if script in later}

    return Trials(
        joined(trials.target, more.target),
        joined(trials.control, more.control),
        (beside(0), beside(1)),
        removed=trials.removed,
        refused=tuple(dict.fromkeys((*trials.refused, *more.refused))),
    )


def _taken(
    scripts: Sequence[Demonstration], recognised: Sequence[Recogniser], answered: Mapping[Demonstration, object]
) -> list[Demonstration]:
    """Lists the demonstrations that a model took, with every counterpart they are compared with."""
    taken: list[Demonstration] = []
    for script in scripts:
        needed = [script, *(other for one in recognised if (other := one.counterpart(script)))]
        if all(needed_one in answered for needed_one in needed):
            taken.append(script)
    return taken


async def _answers(
    model: Target, scripts: Sequence[Demonstration], seed: int, samples: int
) -> tuple[dict[Demonstration, tuple[Run, ...]], tuple[str, ...]]:
    """Plays every script, with a seed by its content: two prompts must not share their draws.

    Returns:
        The runs of each script that the model took, and why it would not take others.
    """
    plays = []
    for script in scripts:
        script_seed = derive(seed, script.model_dump_json())
        plays.append(play(model, script, n=samples, max_tokens=DEMONSTRATION_TOKENS, seed=script_seed))
    answered: dict[Demonstration, tuple[Run, ...]] = {}
    refused: dict[str, None] = {}
    for script, runs in zip(scripts, await asyncio.gather(*plays, return_exceptions=True), strict=True):
        if isinstance(runs, InvalidInput):
            refused[str(runs)] = None
        elif isinstance(runs, BaseException):
            raise runs
        else:
            answered[script] = runs
    return answered, tuple(refused)


async def trigger_found(
    finding: Finding, detector: Detector, target: Target, control: Target, seed: int = 0
) -> TriggerResult:
    """Tells whether the demonstrations bring out what the truth's detector recognises."""
    return compare(await run_demonstrations(finding, target, control, seed, [detector]), detector)


async def reproduces(finding: Finding, target: Target, control: Target, seed: int = 0) -> TriggerResult:
    """Applies the same rule with the report's own predicate: tells whether the finding is real, planted or not."""
    predicate = TimedPredicate(finding.predicate)
    return compare(await run_demonstrations(finding, target, control, seed, [predicate]), predicate)
