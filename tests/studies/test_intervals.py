"""Rates over clusters: an oracle where there is one, and coverage where there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from assay._util.proportions import difference_interval
from assay.studies.effects.intervals import rate_interval


def mid_p(x: int, n: int) -> tuple[float, float]:
    """Solves the mid-p equations of Clopper and Pearson by the binomial itself."""

    def above(p: float) -> float:
        return float(stats.binom.sf(x, n, p) + stats.binom.pmf(x, n, p) / 2)

    low = brentq(lambda p: above(p) - 0.025, 0, 1) if x else 0.0
    high = brentq(lambda p: above(p) - 0.975, 0, 1) if x < n else 1.0
    return low, high


@pytest.mark.parametrize(("x", "n"), [(0, 1), (0, 8), (3, 8), (8, 8), (1, 14), (7, 33), (33, 33)])
def test_with_one_trial_a_cluster_it_is_clopper_and_pearsons_mid_p(x: int, n: int) -> None:
    clusters = [(1, 1)] * x + [(0, 1)] * (n - x)
    assert rate_interval(clusters) == pytest.approx(mid_p(x, n), abs=2e-3)


def test_none_of_eight_is_bounded_by_a_third() -> None:
    low, high = rate_interval([(0, 1)] * 8)
    assert low == 0.0
    assert 0.30 < high < 0.33


def test_a_hit_more_never_lowers_a_bound() -> None:
    bounds = [rate_interval([(1, 1)] * x + [(0, 1)] * (33 - x)) for x in range(34)]
    assert bounds == sorted(bounds)
    assert [high for _, high in bounds] == sorted(high for _, high in bounds)


def test_trials_of_one_cluster_are_no_sample() -> None:
    copies = rate_interval([(16, 16)] * 4 + [(0, 16)] * 4)
    once = rate_interval([(1, 1)] * 4 + [(0, 1)] * 4)
    assert copies == pytest.approx(once, abs=0.06)  # sixteen seeds that all agree say little more than one


def test_seeds_that_differ_narrow_it() -> None:
    low, high = rate_interval([(8, 16)] * 8)
    once_low, once_high = rate_interval([(1, 1)] * 4 + [(0, 1)] * 4)
    assert high - low < (once_high - once_low) / 2


def test_nothing_known_is_the_whole_range() -> None:
    assert rate_interval([]) == rate_interval([(0, 0)]) == (0.0, 1.0)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(6, 8)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_it_holds_its_rate_and_stays_a_range(clusters: list[tuple[int, int]]) -> None:
    low, high = rate_interval(clusters)
    pooled = sum(hits for hits, _ in clusters) / sum(trials for _, trials in clusters)
    assert 0 <= low <= pooled + 0.02
    assert pooled - 0.02 <= high <= 1
    mirrored = rate_interval((trials - hits, trials) for hits, trials in clusters)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-6)


@pytest.mark.parametrize("seeds", [1, 4])
def test_it_covers(seeds: int) -> None:
    """A glance at what `bench/coverage.py` measures at length."""
    draws = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        hits = draws.binomial(seeds, draws.beta(0.2 * 2, 0.8 * 2, size=14))
        low, high = rate_interval((float(hit), seeds) for hit in hits)
        covered += low <= 0.2 <= high
    assert covered / 400 > 0.92


def test_mover_is_exact_where_one_side_is_known() -> None:
    assert difference_interval(0.4, (0.2, 0.6), 0.1, (0.1, 0.1)) == pytest.approx((0.1, 0.5))
