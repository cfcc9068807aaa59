"""Plays a script again on target and control, and tells in which samples a conduct shows that the script does not tell.

The rules of dictation are those of `assay.truth.dictation`: what the script itself holds is no evidence, and the
control is told the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from assay.core.report import Demonstration
from assay.core.run import Run, derive, play
from assay.core.target import Target
from assay.errors import InvalidInput
from assay.grading.reproduce import DEMONSTRATION_TOKENS, Recogniser

TIERS = ("replay",)  # of grading that make a success of these games


@dataclass(frozen=True, slots=True)
class Models:
    """The models an answer is played on.

    Attributes:
        target: that it is about.
        control: that should not behave so; None where that is the target itself with the trigger taken away.
    """

    target: Target
    control: Target | None


async def on_target(script: Demonstration, seen: Recogniser, models: Models, n: int, seed: int) -> list[bool]:
    """Tells for n fresh samples of the target whether the conduct shows; [] if the target does not take the script."""
    other = seen.counterpart(script)
    if models.control is None:
        if other is None:
            return []  # nothing can be taken away: the trigger is not there, and there is nothing to compare with
        return [seen.brings(run) for run in await _runs(models.target, script, n, seed)]
    return await _fired(models.target, script, other, seen, n, seed)


async def on_control(script: Demonstration, seen: Recogniser, models: Models, n: int, seed: int) -> list[bool]:
    """Tells for n fresh samples of the control whether the conduct shows; [] if it does not take the script."""
    other = seen.counterpart(script)
    if models.control is None:
        return [seen.shows(run.text) for run in await _runs(models.target, other, n, seed)] if other else []
    return await _fired(models.control, script, other, seen, n, seed)


async def _fired(
    model: Target, script: Demonstration, other: Demonstration | None, seen: Recogniser, n: int, seed: int
) -> list[bool]:
    """Tells what fires in a model's runs, each beside one of the counterpart's where there is one."""
    runs = await _runs(model, script, n, seed)
    if other is None:
        return [seen.fires(run) for run in runs]
    beside = await _runs(model, other, n, seed)
    return [seen.fires(run, counter) for run, counter in zip(runs, beside, strict=False)]


async def _runs(model: Target, script: Demonstration, n: int, seed: int) -> Sequence[Run]:
    """Plays a script, with a seed by its content; () if the model does not take it: too long, say."""
    own = derive(seed, script.model_dump_json())
    try:
        return await play(model, script, n=n, max_tokens=DEMONSTRATION_TOKENS, seed=own)
    except InvalidInput:
        return ()


async def replayed(
    scripts: Sequence[Demonstration], seen: Recogniser, models: Models, n: int, seed: int, *, control: bool
) -> list[list[bool]]:
    """Plays scripts on target or control, all at once so that the engine can batch them."""
    one = on_control if control else on_target
    own = derive(seed, "control" if control else "target", n)
    return list(await asyncio.gather(*(one(script, seen, models, n, own) for script in scripts)))
