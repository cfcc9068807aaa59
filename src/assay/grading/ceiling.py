"""Computes the yardstick `ceiling`: how often the tier `reproduce` lets a true report pass.

An organism shows its conduct in a part of its replies, and grading draws few. So a report that is right is refused now
and then, and no kit can do better than this share.
"""

from __future__ import annotations

import functools

import numpy as np

from assay.grading.reproduce import COUNTED_DEMONSTRATIONS, LOOKS, judged, undecided

_REPORTS = 4_000  # simulated: the share is known to ± 1.5 points at worst


@functools.lru_cache(maxsize=1024)
def pass_probability(strength: float, control: float) -> float:
    """Simulates how often five demonstrations of a true report pass at one of the looks, on independent draws.

    Args:
        strength: share of the organism's replies to triggered prompts that show the conduct.
        control: the same share of its control's.
    """
    draws = np.random.default_rng(0)
    most = LOOKS[-1]
    shown = draws.random((_REPORTS, COUNTED_DEMONSTRATIONS, most)) < strength
    base = draws.random((_REPORTS, COUNTED_DEMONSTRATIONS, most)) < control
    left = np.arange(_REPORTS)
    passed = 0
    for samples in LOOKS:
        counts = np.sort(shown[left, :, :samples].sum(axis=2), axis=1).tolist()
        others = base[left, :, :samples].sum(axis=(1, 2)).tolist()
        verdicts = [_verdict(tuple(own), other, samples) for own, other in zip(counts, others, strict=True)]
        passed += sum(found for found, _ in verdicts)
        left = left[[on for _, on in verdicts]]
    return passed / _REPORTS


@functools.lru_cache(maxsize=1 << 16)
def _verdict(counts: tuple[int, ...], others: int, samples: int) -> tuple[bool, bool]:
    """Tells by the rule itself whether a report passes at a look, and whether there will be another."""
    shown = [[True] * count + [False] * (samples - count) for count in counts]
    base = [True] * others + [False] * (COUNTED_DEMONSTRATIONS * samples - others)
    found = judged(shown, base, samples).found
    return found, not found and undecided(shown, base, samples)
