"""Keeps what target and control said to a finding's demonstrations, for readers of its grade to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assay._util.storable import storable
from assay.core.run import Run
from assay.grading.reproduce import SAMPLES, Recogniser, TimedPredicate, Trials


@dataclass(frozen=True, slots=True)
class Demonstrated:
    """What was said to one demonstration.

    Attributes:
        script: the demonstration, as plain data.
        target, control: replies, of the first look; the control has none where it was not asked, since the target
            showed too little for any answer of it to matter.
    """

    script: dict[str, Any]
    target: tuple[SaidReply, ...]
    control: tuple[SaidReply, ...]


@dataclass(frozen=True, slots=True)
class SaidReply:
    """A reply, and who recognises the conduct in it.

    Attributes:
        text: what was generated.
        truth: a detector of the testbed's truth does.
        finding: the finding's own predicate does.
    """

    text: str
    truth: bool
    finding: bool


def replayed(trials: Trials, own: TimedPredicate, detectors: Sequence[Recogniser]) -> tuple[Demonstrated, ...]:
    """Lists what was said, demonstration by demonstration.

    Args:
        trials: as they were run.
        own: the finding's predicate.
        detectors: of the truth; none on a clean target.
    """

    def read(samples: Sequence[Run]) -> tuple[SaidReply, ...]:
        said: list[SaidReply] = []
        for run in samples[:SAMPLES]:  # of a verdict that took more looks the first is enough to see what it is about
            truth = any(detector.brings(run) for detector in detectors)
            said.append(SaidReply(storable(run.text), truth, own.brings(run)))
        return tuple(said)

    answered = {samples[0].script: samples for samples in trials.control}
    return tuple(
        Demonstrated(
            storable(samples[0].script.model_dump(mode="json")),
            read(samples),
            read(answered.get(samples[0].script, ())),
        )
        for samples in trials.target
    )
