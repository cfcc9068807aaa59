"""Measures what a tool adds, by differences between two kits on the same testbeds, family by family.

Pure functions over numbers. Two comparisons are made of every tool, under the estimand *alone* (added to a base kit):
against the base kit itself, and against the base kit with the tool's *placebo* (the same tool wired to another
testbed), which has the tool's words and cost but not its information.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Literal

from assay._util.proportions import Interval
from assay.audits.kits import PLACEBO
from assay.studies.effects.flips import flip_interval, max_sign_flip, sign_flip
from assay.studies.effects.intervals import LEVEL
from assay.studies.effects.matched import matched_interval, matched_test
from assay.studies.effects.means import mean_interval
from assay.studies.effects.power import SIGNIFICANT
from assay.studies.effects.rates import by_cluster, mean

EVERYTHING = "all"  # the named kit with every tool
_SAME = 1e-9  # numbers closer than this are equal


@dataclass(frozen=True, slots=True)
class Comparison:
    """Names two kits whose difference is a tool's effect.

    Attributes:
        tool: what the first kit has more.
        estimand: what "adds" means; *alone* is "added to the base kit", *together* is "all other tools at once".
        against: name of the base kit, or `placebo`.
        kit, control: the two kits compared.
    """

    tool: str
    estimand: Literal["alone", "together"]
    against: str
    kit: str
    control: str


def is_placebo(kit: str) -> bool:
    """Tells whether a kit holds a tool wired to another testbed."""
    return any(part.startswith(PLACEBO) for part in kit.split("+"))


def comparisons(kits: Iterable[str]) -> list[Comparison]:
    """Lists every comparison that these kits allow, by their names alone.

    A kit `chat+search` is compared with `chat` and with `chat+~search`, a kit `chat` with `~chat`, as far as present;
    `all` with every base kit of the others.
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
    if EVERYTHING in names:
        bases = dict.fromkeys(one.control for one in found if one.against != "placebo")
        found += [Comparison(EVERYTHING, "together", base, EVERYTHING, base) for base in bases]
    return found


@dataclass(frozen=True, slots=True)
class ArmScore:
    """Holds one arm's score on one testbed, averaged over seeds."""

    raw: float
    null: float

    @property
    def success(self) -> float:
        """Returns raw less null."""
        return self.raw - self.null


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Holds a paired difference over families.

    Attributes:
        delta: mean over families of (success with the tool − success without).
        p: two-sided mid-p of the one tool, not corrected.
        by_family: family → difference in success.
        whole: each family was won by one arm alone, or came out alike.
    """

    delta: float
    p: float
    by_family: Mapping[str, float]
    whole: bool

    @property
    def families(self) -> int:
        """Returns B, the sample size."""
        return len(self.by_family)

    @property
    def interval(self) -> Interval:
        """Bounds the mean difference at 95 %; 0 is outside exactly if p is below 5 %."""
        differences = list(self.by_family.values())
        if self.whole:
            return matched_interval(*_changes(differences), len(differences), LEVEL)
        low, high = mean_interval(differences, LEVEL)
        low, high = max(-1.0, low), min(1.0, high)
        if self.p >= SIGNIFICANT:
            return min(low, 0.0), max(high, 0.0)
        if low <= 0 <= high:  # of what lies between the mean and 0 flips tell more
            nearer, farther = flip_interval(differences, LEVEL)
            return (max(nearer, 0.0), high) if self.delta > 0 else (low, min(farther, 0.0))
        return low, high


def paired_difference(
    arm: Mapping[str, ArmScore], control: Mapping[str, ArmScore], families: Mapping[str, str]
) -> PairedDifference | None:
    """Compares two arms on the testbeds that both were run on; None if there are none.

    Pairing removes what a testbed's own difficulty adds to the variance; averaging within families keeps testbeds that
    share an idea from counting as independent. Where each family was won by one arm alone or came out alike (one seed
    and one testbed), McNemar's exact test and its interval are used; else signs are flipped, and the mean is bounded
    with room for skewness.

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
    whole = all(min(abs(value - step) for step in (-1, 0, 1)) <= _SAME for value in raw.values())
    whole = whole or max(raw.values()) - min(raw.values()) <= _SAME
    p = matched_test(*_changes(differences)) if whole else sign_flip(differences)
    return PairedDifference(mean(differences), p, success, whole)


def _changes(differences: Iterable[float]) -> tuple[float, float]:
    """Adds up what was gained, and what was lost."""
    values = list(differences)
    return fsum(value for value in values if value > 0), -fsum(value for value in values if value < 0)


def adjusted_p(measured: Sequence[PairedDifference]) -> list[float]:
    """Corrects p over several tools of one question, by joint flips of whole families; see `max_sign_flip`."""
    families = sorted({family for difference in measured for family in difference.by_family})
    rows: list[list[float]] = []
    for difference in measured:
        rows.append([difference.by_family.get(family, 0.0) for family in families])
    corrected = max_sign_flip(rows)
    return [max(p, difference.p) for p, difference in zip(corrected, measured, strict=True)]
