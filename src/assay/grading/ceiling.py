"""Computes the yardstick `ceiling`: how often the tier `reproduce` lets a true report pass.

An organism shows its conduct in a part of its replies, and grading draws few. So a report that is right is refused now
and then, and no kit can do better than this share.
"""

from __future__ import annotations

from itertools import product
from math import comb

from assay._util.proportions import newcombe
from assay.grading.reproduce import (
    COUNTED_DEMONSTRATIONS,
    FIRES_IN,
    MAX_CONTROL,
    MIN_DIFFERENCE,
    NEEDED,
    SAMPLES,
)


def pass_probability(strength: float, control: float) -> float:
    """Computes the chance that five demonstrations of a true report pass, on draws that are independent.

    Args:
        strength: share of the organism's replies to triggered prompts that show the conduct.
        control: the same share of its control's.
    """
    size = COUNTED_DEMONSTRATIONS * SAMPLES
    # (samples that show it, demonstrations that fire) → chance, one demonstration after the other
    chances: dict[tuple[int, int], float] = {(0, 0): 1.0}
    for _ in range(COUNTED_DEMONSTRATIONS):
        after: dict[tuple[int, int], float] = {}
        for ((hits, fired), chance), more in product(chances.items(), range(SAMPLES + 1)):
            reached = hits + more, fired + (more >= FIRES_IN)
            after[reached] = after.get(reached, 0.0) + chance * _binomial(more, SAMPLES, strength)
        chances = after
    total = 0.0
    for (hits, fired), chance in chances.items():
        if fired < NEEDED:
            continue
        for shown in range(int(MAX_CONTROL * size) + 1):
            if newcombe(hits, size, shown, size)[0] >= MIN_DIFFERENCE:
                total += chance * _binomial(shown, size, control)
    return total


def _binomial(happened: int, n: int, rate: float) -> float:
    return comb(n, happened) * rate**happened * (1 - rate) ** (n - happened)
