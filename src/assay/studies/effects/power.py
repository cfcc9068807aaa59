"""Tells before a sweep is run how large an effect must be for its verdict to say so four times in five."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

SIGNIFICANT = 0.05  # of p after correction
POWER = 0.8
_BASE_RATE, _CONCENTRATION = 0.2, 2.0  # of the families' beta-distributed success with the base kit
_SWEEPS, _FLIPS = 1_000, 1_024
_STEPS = 9  # of the bisection: to within a sixth of a point, which is little in large designs too
_Numbers = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class SweepDesign:
    """Says what the verdict of a sweep rests on.

    Attributes:
        families: B, the sample size.
        seeds: audits of each kit on each testbed.
        tools: how many are tested at once, in one question.
        placebos: whether each tool must beat its placebo too.
    """

    families: int
    seeds: int
    tools: int
    placebos: bool


@functools.lru_cache(maxsize=256)
def smallest_shown(design: SweepDesign) -> float | None:
    """Finds the smallest effect that the verdict finds in 80 % of sweeps; None if no effect is large enough.

    By simulation of the whole verdict, for it is that which is printed. See `power_at` for what is assumed.
    """
    low, high = 0.0, 1 - _BASE_RATE
    if power_at(design, high) < POWER:
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if power_at(design, middle) >= POWER else (middle, high)
    return high


def families_that_change(effect: float, families: int) -> int:
    """Says how many families would have to be won that were not, for an effect of this size."""
    return ceil(effect * families - 1e-9)


def power_at(design: SweepDesign, effect: float, *, sweeps: int = _SWEEPS, seed: int = 0) -> float:
    """Simulates how often the verdict is "helps" for one tool of this effect, the other tools doing nothing.

    Success with the base kit is 20 % on average, beta-distributed over families with a concentration of 2. The tool
    turns the same share of each family's misses into hits. Each kit's audits are drawn anew; nobody hits on swapped
    truths.

    Args:
        design: of the sweep.
        effect: difference in mean success, in [0, 0.8].
        sweeps: how many are simulated.
        seed: of the simulation; the same draws serve every effect.
    """
    draws = np.random.default_rng(seed)
    base = draws.beta(_BASE_RATE * _CONCENTRATION, (1 - _BASE_RATE) * _CONCENTRATION, size=(sweeps, design.families, 1))
    raised = base + (1 - base) * effect / (1 - _BASE_RATE)
    shape = (sweeps, design.families, design.seeds)

    def success(rates: _Numbers) -> _Numbers:
        return np.asarray((draws.random(shape) < rates).mean(axis=2))

    doing_nothing = [success(base) for _ in range(design.tools - 1)]
    arms = np.stack([success(raised), *doing_nothing], axis=1)  # sweep × tool × family
    flips = _flips(draws, design.families)
    helps = _helps(arms - success(base)[:, None, :], flips)
    if design.placebos:
        placebos = np.stack([success(base) for _ in range(design.tools)], axis=1)
        helps[helps] = _helps((arms - placebos)[helps], flips)
    return float(helps.mean())


def _flips(draws: np.random.Generator, families: int) -> _Numbers:
    """Lists flip × family, each sign ±1: all that leave the last family's, or as many as are drawn."""
    # The other half of all flips turns every sign: sums of the same size.
    if 1 << (families - 1) <= _FLIPS:
        bits = (np.arange(1 << (families - 1))[:, None] >> np.arange(families)) & 1
    else:
        bits = draws.integers(0, 2, size=(_FLIPS, families))
    return np.where(bits == 1, -1.0, 1.0)


def _helps(differences: _Numbers, flips: _Numbers) -> NDArray[np.bool_]:
    """Tells for each sweep whether the first tool's corrected p is significant, and its effect above 0.

    The same step-down test as `max_sign_flip`, for many sweeps at once.

    Args:
        differences: sweep × tool × family.
        flips: flip × family.
    """
    norms = np.sqrt((differences**2).sum(axis=2, keepdims=True))
    scaled = np.divide(differences, norms, out=np.zeros_like(differences), where=norms > 0)
    sums = scaled.sum(axis=2)
    order = np.argsort(-np.abs(sums), axis=1, kind="stable")
    own = np.argmax(order == 0, axis=1)  # the rank of the first tool
    helps = np.asarray(sums[:, 0] > 1e-9)
    for sweep in np.flatnonzero(helps):
        ranked = scaled[sweep, order[sweep]]
        observed = np.abs(ranked.sum(axis=1))
        flipped = np.abs(flips @ ranked.T)
        # the largest among a tool and those ranked below it
        largest = np.maximum.accumulate(flipped[:, ::-1], axis=1)[:, ::-1]
        above = (largest > observed + 1e-9).mean(axis=0)
        ties = (np.abs(largest - observed) <= 1e-9).mean(axis=0)
        helps[sweep] = (above + ties / 2)[: own[sweep] + 1].max() < SIGNIFICANT
    return helps
