"""McNemar's mid-p test and the interval that agrees with it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.studies.effects.matched import matched_interval, matched_test


@pytest.mark.parametrize(("gained", "lost"), [(4, 0), (5, 0), (5, 1), (3, 3), (0, 7), (0, 0), (9, 2)])
def test_it_is_the_binomials_mid_p(gained: int, lost: int) -> None:
    changes = gained + lost
    larger = max(gained, lost)
    tail = stats.binom.sf(larger, changes, 0.5) + stats.binom.pmf(larger, changes, 0.5) / 2
    assert matched_test(gained, lost) == pytest.approx(min(1.0, 2 * tail))


def test_four_of_eight_is_not_told_apart_and_says_so() -> None:
    assert matched_test(4, 0) == pytest.approx(0.0625)
    low, high = matched_interval(4, 0, 8, 0.95)
    assert low < 0 < 0.5 < high < 0.85


def test_no_change_in_any_family_has_a_width() -> None:
    low, high = matched_interval(0, 0, 8, 0.95)
    assert -low == pytest.approx(high)
    assert high == pytest.approx(1 - 0.1 ** (1 / 8), abs=1e-3)


@given(st.integers(0, 14), st.integers(0, 14), st.integers(0, 10), st.floats(0, 0.4))
@settings(max_examples=150, deadline=None)
def test_the_interval_agrees_with_p_and_is_a_range(gained: int, lost: int, alike: int, null: float) -> None:
    families = gained + lost + alike
    if families == 0:
        return
    weight = gained * (1 - null)
    low, high = matched_interval(weight, lost, families, 0.95)
    p = matched_test(weight, lost)
    assert -1 <= low <= (weight - lost) / families + 1e-6
    assert (weight - lost) / families - 1e-6 <= high <= 1
    if p < 0.05 - 1e-6:
        assert low > 0 or high < 0
    elif p > 0.05 + 1e-6:
        assert low <= 1e-6
        assert high >= -1e-6
    mirrored = matched_interval(lost, weight, families, 0.95)
    assert (-high, -low) == pytest.approx(mirrored, abs=1e-4)


def test_it_covers() -> None:
    draws = np.random.default_rng(1)
    for up, down in ((0.3, 0.05), (0.1, 0.1), (0.0, 0.02)):
        covered = 0
        for _ in range(300):
            gained, lost, _ = draws.multinomial(14, [up, down, 1 - up - down])
            low, high = matched_interval(gained, lost, 14, 0.95)
            covered += low <= up - down <= high
        assert covered / 300 > 0.92
