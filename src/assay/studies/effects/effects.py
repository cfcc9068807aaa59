"""Measures what a tool adds, by differences between two kits on the same testbeds, family by family.

Pure functions over numbers. Two comparisons are made of every tool, under the estimand *alone* (added to a base kit):
against the base kit itself, and against the base kit with the tool's *placebo* (the same tool wired to another
testbed), which has the tool's words and cost but not its information.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from typing import Literal

import numpy as np

from assay._util.proportions import Interval
from assay.audits.kits import PLACEBO
from assay.studies.effects.rates import alike, by_cluster, interval_over_clusters, mean, variance

_EXACT = 30  # families up to which all sign flips are enumerated
_DRAWS = 1 << 17  # sign flips drawn beyond that
_TOLERANCE = 1e-9  # sums closer than this are ties, which count as "as extreme"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Names two kits whose difference is a tool's effect.

    Attributes:
        tool: what the first kit has more.
        estimand: what "adds" means; *alone* is "added to the base kit".
        against: name of the base kit, or `placebo`.
        kit, control: the two kits compared.
    """

    tool: str
    estimand: Literal["alone"]
    against: str
    kit: str
    control: str


def is_placebo(kit: str) -> bool:
    """Tells whether a kit holds a tool wired to another testbed."""
    return any(part.startswith(PLACEBO) for part in kit.split("+"))


def comparisons(kits: Iterable[str]) -> list[Comparison]:
    """Lists every comparison that these kits allow, by their names alone.

    A kit `chat+search` is compared with `chat` and with `chat+~search`, a kit `chat` with `~chat`, as far as present.
    """
    names = list(dict.fromkeys(kits))
    found: list[Comparison] = []
    for kit in (name for name in names if not is_placebo(name)):
        parts = kit.split("+")
        # Every part is left out once, so that in chat+fuzz+search both tools are compared, if the kits were run.
        for index, tool in enumerate(parts):
            base = "+".join(parts[:index] + parts[index + 1 :])
            placebo = "+".join([*parts[:index], PLACEBO + tool, *parts[index + 1 :]])
            if base in names:
                found.append(Comparison(tool, "alone", base, kit, base))
            if placebo in names:
                found.append(Comparison(tool, "alone", "placebo", kit, placebo))
    return found


@dataclass(frozen=True, slots=True)
class ArmScore:
    """Holds one arm's score on one testbed, averaged over seeds."""

    raw: float
    null: float

    @property
    def success(self) -> float:
        return self.raw - self.null


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Holds a paired difference over families.

    Attributes:
        delta: mean over families of (success with the tool − success without).
        interval: 95 %, as `interval_over_clusters` defines it.
        p: two-sided, by exact sign flips over families.
        families: B, the sample size.
        deviation: standard deviation of the family differences; 0 where the raw scores of the two arms differ
            equally in every family, so that it cannot be estimated.
    """

    delta: float
    interval: Interval
    p: float
    families: int
    deviation: float


def paired_difference(
    arm: Mapping[str, ArmScore], control: Mapping[str, ArmScore], families: Mapping[str, str]
) -> PairedDifference | None:
    """Compares two arms on the testbeds that both were run on; None if there are none.

    Pairing removes what a testbed's own difficulty adds to the variance; averaging within families keeps testbeds
    that share an idea from counting as independent.

    Args:
        arm: alias → score.
        control: alias → score, of the other arm.
        families: alias → family.
    """
    shared = [alias for alias in arm if alias in control]
    if not shared:
        return None
    success = by_cluster((families[alias], arm[alias].success - control[alias].success) for alias in shared)
    raw = by_cluster((families[alias], arm[alias].raw - control[alias].raw) for alias in shared)
    differences = list(success.values())
    # Judged by the raw scores: the null's differ a little from testbed to testbed, and would pass for a spread where no
    # hit was gained or lost.
    degenerate = alike(list(raw.values()))
    return PairedDifference(
        delta=mean(differences),
        interval=interval_over_clusters(differences, degenerate=degenerate),
        p=sign_flip(differences),
        families=len(differences),
        deviation=0.0 if degenerate else sqrt(variance(differences)),
    )


def sign_flip(differences: Sequence[float]) -> float:
    """Tests "the differences are symmetric about 0" by flipping signs (Fisher's randomisation test); two-sided p.

    Exact up to 30 differences that are not 0, by meeting in the middle: all signed sums of each half, one half
    sorted. Beyond that 131,072 flips are drawn with a fixed seed, the observed one counted among them. The smallest
    possible p is 2^(1−B): five families or fewer can never reach 0.05.

    Args:
        differences: one per family.
    """
    moving = np.asarray([value for value in differences if abs(value) > _TOLERANCE], dtype=float)
    # A difference of 0 is 0 whatever its sign: leaving it out changes no share, and halves the sums for each.
    observed = abs(fsum(moving)) - _TOLERANCE
    if moving.size <= 1 or observed <= 0:
        return 1.0
    if moving.size > _EXACT:
        signs = np.random.default_rng(0).choice((-1.0, 1.0), size=(_DRAWS, moving.size))
        return float((1 + np.count_nonzero(np.abs(signs @ moving) >= observed)) / (1 + _DRAWS))
    # A sum of all is a sum of the left half plus one of the right. For each of the 2^15 left sums, a binary search in
    # the sorted right ones counts the partners that make it extreme: 2^15 · 15 steps instead of 2^30.
    middle = moving.size // 2
    left, right = _signed_sums(moving[:middle]), np.sort(_signed_sums(moving[middle:]))
    above = right.size - np.searchsorted(right, observed - left, side="left")
    below = np.searchsorted(right, -observed - left, side="right")
    return float(min(1.0, int(above.sum() + below.sum()) / 2.0**moving.size))


def _signed_sums(values: np.ndarray) -> np.ndarray:
    """Lists all 2^n sums ±v₁ ±v₂ … of n values."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums
