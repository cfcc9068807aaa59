"""What several tests at once do to their p values."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for a set of tests so that the chance of any false claim stays below the level (Holm 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def tarone_holm(p_values: Sequence[float], least: Sequence[float], level: float) -> list[float]:
    """Adjust p values of discrete tests: of those alone that could be significant at all (Tarone 1990), as Holm does.

    Args:
        p_values: of the tests.
        least: the smallest p value that each could have had, known without looking at its outcome.
        level: of the chance of any false claim.

    Returns:
        Adjusted p values; 1 of a test that could not be significant.
    """
    tests = 1
    while sum(one <= level / tests for one in least) > tests:
        tests += 1
    able = [index for index, one in enumerate(least) if one <= level / tests]
    adjusted = [1.0] * len(p_values)
    for index, p in zip(able, holm([p_values[index] for index in able]), strict=True):
        adjusted[index] = p
    return adjusted
