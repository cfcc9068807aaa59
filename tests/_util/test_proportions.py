"""Intervals against statsmodels, and at the edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from assay._util.proportions import newcombe, wilson


@pytest.mark.parametrize(("successes", "n"), [(0, 8), (1, 8), (4, 10), (50, 50), (37, 400)])
def test_wilson_is_statsmodels(successes: int, n: int) -> None:
    assert wilson(successes, n) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-9)


def test_without_trials_nothing_is_known() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert newcombe(0, 0, 1, 5) == (-1.0, 1.0)


@given(st.integers(1, 60), st.floats(0, 1), st.floats(1, 20))
def test_wilson_holds_the_rate_and_widens_with_fewer_trials(n: int, share: float, effect: float) -> None:
    happened = round(share * n)
    low, high = wilson(happened / effect, n / effect)
    inner_low, inner_high = wilson(happened, n)
    assert low + 1e-12 >= 0 and low <= inner_low + 1e-9 <= happened / n + 2e-9
    assert happened / n - 2e-9 <= inner_high - 1e-9 <= high <= 1 + 1e-9


@pytest.mark.parametrize("counts", [(12, 20, 1, 20), (0, 20, 0, 20), (20, 20, 3, 16), (5, 40, 5, 10)])
def test_newcombe_is_statsmodels(counts: tuple[int, int, int, int]) -> None:
    expected = confint_proportions_2indep(*counts, method="newcomb", compare="diff")
    assert newcombe(*counts) == pytest.approx(expected, abs=1e-9)
