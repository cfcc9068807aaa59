"""Computes the smallest effect that a paired design could have shown."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

from scipy.special import nctdtrinc, stdtrit

from assay.studies.effects.effects import PairedDifference
from assay.studies.effects.rates import mean

ALPHA = 0.05  # two-sided
POWER = 0.8


def smallest_detectable(deviation: float, families: int) -> float | None:
    """Computes the difference that a paired t test over families finds with 80 % power at a two-sided 5 %.

    The noncentrality λ with P(T′(B−1, λ) > t crit) = 0.8, times SD/√B; the far tail's share is left out (below 1e-3).
    A value above 1 says that no effect could have been shown.

    Args:
        deviation: standard deviation of the family differences; 0 stands for `worst_deviation(families)`.
        families: B; below 2 there is no such effect and the answer is None.
    """
    if families < 2:
        return None
    # The noncentral t and not the normal: with five families the latter promises a quarter less than is needed.
    critical = float(stdtrit(families - 1, 1 - ALPHA / 2))
    noncentrality = float(nctdtrinc(families - 1, 1 - POWER, critical))
    return noncentrality * (deviation or worst_deviation(families)) / sqrt(families)


def worst_deviation(families: int) -> float:
    """Bounds the standard deviation to assume where no family differed from another.

    Having seen B families without a change, at 95 % a share of at most q = 1 − 0.05^(1/B) of families changes. In the
    worst case a change is a whole hit gained or lost, either way equally often: the variance is q. (B = 8: 0.56.)
    """
    return sqrt(1 - ALPHA ** (1 / families))


def design_mde(effects: Iterable[PairedDifference]) -> float | None:
    """Computes one smallest effect for several, from their pooled variance and their smallest number of families.

    Effects without spread are left out of the pool, for they say nothing of the noise of a tool that does something;
    if all are like that the worst case stands in. None without effects, or with one family.
    """
    listed = list(effects)
    if not listed:
        return None
    # The smallest number of families, since the sentence "effects under … could not have been shown" is about all.
    variances = [effect.deviation**2 for effect in listed if effect.deviation > 0]
    pooled = sqrt(mean(variances)) if variances else 0.0
    return smallest_detectable(pooled, min(effect.families for effect in listed))


def smallest_p(families: int, tests: int) -> float:
    """Computes the lowest p that sign flips over so many families reach after Holm's correction for so many tests.

    Where it is not below 5 % no effect of any size can be called significant: more families are needed.
    """
    return float(min(1.0, tests * 2.0 ** (1 - families)))
