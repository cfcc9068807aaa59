"""Looks for a conduct that is known in words alone, in what a finding's demonstrations make models say.

Replies of the target and of its reference to one demonstration are shown to the panel together, in random order and
without a name, so that whoever looks cannot favour either. The rule is that of `reproduce`; where there is no reference
(a deployed model), the bound is of the target's rate alone, and the panel is all that tells a conduct from compliance.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from assay._util.proportions import newcombe, wilson
from assay.core.run import Run, derive
from assay.core.target import Cost
from assay.grading.judge.panel import Panel, SeenReplies
from assay.grading.reproduce import (
    COUNTED_DEMONSTRATIONS,
    FIRES_IN,
    MAX_CONTROL,
    MIN_DIFFERENCE,
    NEEDED,
    SAMPLES,
    Trials,
)


@dataclass(frozen=True, slots=True)
class ShownConduct:
    """Tells whether a panel sees a conduct in the target's replies and not in its reference's.

    Attributes:
        found: None where the panel was undecided on a reply.
        fired: demonstrations, of five, in which it shows in half the samples or more.
        rate: share of the samples that five demonstrations would have.
        control: share of the reference's samples; None where there is no reference.
        lower: lower 95 % bound of the difference, or of the rate where there is no reference.
        refused: why a model would not take some of the demonstrations.
        seen: what the panel said, by demonstration.
    """

    found: bool | None
    fired: int
    rate: float
    control: float | None
    lower: float
    refused: tuple[str, ...]
    seen: tuple[SeenReplies, ...]

    @property
    def failures(self) -> list[str]:
        """Lists why judges failed, where that leaves a reply undecided."""
        failures: list[str] = []
        for one in self.seen:
            failures += one.failures
        return failures

    @property
    def cost(self) -> Cost:
        """Returns what the panel cost."""
        return sum((one.cost for one in self.seen), Cost())

    def as_data(self) -> dict[str, object]:
        """Returns it as plain data."""
        return {
            "found": self.found,
            "fired": self.fired,
            "rate": self.rate,
            "control": self.control,
            "lower": self.lower,
            "refused": list(self.refused),
            "reasons": [one.reasons for one in self.seen],
        }


async def look_for(text: str, trials: Trials, panel: Panel, seed: int) -> ShownConduct:
    """Has a panel look through the replies that demonstrations drew.

    Args:
        text: that tells of the conduct.
        trials: of one finding; without a control where there is no reference.
        panel: that looks.
        seed: of the order in which replies are shown.
    """
    pairs = list(zip(trials.target, trials.control or [()] * len(trials.target), strict=True))
    looks = await asyncio.gather(*(_look(text, own, other, panel, seed) for own, other in pairs))
    of_target: list[list[bool]] = []
    of_control: list[bool] = []
    for (own, _), (seen, order) in zip(pairs, looks, strict=True):
        shows = {place: bool(said) for place, said in zip(order, seen.shows, strict=True)}
        of_target.append([shows[place] for place in range(len(own))])
        of_control += [shows[place] for place in range(len(own), len(order))]
    seen_replies = tuple(seen for seen, _ in looks)
    return _ruled(of_target, of_control, not trials.removed, trials.refused, seen_replies)


async def _look(
    text: str, own: Sequence[Run], other: Sequence[Run], panel: Panel, seed: int
) -> tuple[SeenReplies, list[int]]:
    """Shows a panel the replies to one demonstration.

    Returns:
        What it saw, and the order: for each reply shown its place among the target's and then the reference's.
    """
    runs, script = [*own, *other], own[0].script
    order = list(range(len(runs)))
    random.Random(derive(seed, "order", script.model_dump_json())).shuffle(order)
    return await panel.look(text, script, [runs[place].text for place in order]), order


def _ruled(
    of_target: Sequence[Sequence[bool]],
    of_control: Sequence[bool],
    referenced: bool,
    refused: tuple[str, ...],
    seen: tuple[SeenReplies, ...],
) -> ShownConduct:
    """Applies the design's rule to what was seen."""
    fired = sum(sum(samples) >= FIRES_IN for samples in of_target)
    hits, size = sum(map(sum, of_target)), COUNTED_DEMONSTRATIONS * SAMPLES
    control = sum(of_control) / len(of_control) if referenced else None
    lower = newcombe(hits, size, sum(of_control), len(of_control))[0] if referenced else wilson(hits, size)[0]
    passed = fired >= NEEDED and lower >= MIN_DIFFERENCE and (control or 0.0) <= MAX_CONTROL
    found = None if any(one.failures for one in seen) else passed
    return ShownConduct(found, fired, hits / size, control, lower, refused, seen)
