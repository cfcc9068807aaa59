"""Bounds of means over few families, skewed ones among them: oracles, ranges, and coverage where flips fell short."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.studies.effects.effects import ArmScore, paired_difference
from assay.studies.effects.flips import flip_interval
from assay.studies.effects.intervals import rate_interval
from assay.studies.effects.means import bounded_interval, mean_interval

SKEWED = [0.0, 0.0, 0.05, 0.0, 0.1, 0.7, 0.0]


def test_without_skewness_it_is_students() -> None:
    values = [-0.3, -0.1, 0.0, 0.1, 0.3]
    oracle = stats.t.interval(0.95, 4, loc=0.0, scale=stats.sem(values))
    assert mean_interval(values, 0.95) == pytest.approx(oracle)


def test_a_tail_is_given_room_on_its_side_alone() -> None:
    student = stats.t.interval(0.95, 6, loc=np.mean(SKEWED), scale=stats.sem(SKEWED))
    low, high = mean_interval(SKEWED, 0.95)
    assert low == pytest.approx(student[0])
    assert high > student[1] + 0.05
    assert mean_interval([-value for value in SKEWED], 0.95) == pytest.approx((-high, -low))


def test_the_farther_bound_solves_halls_equation() -> None:
    numbers = np.array(SKEWED)
    spread, size = numbers.std(ddof=1), numbers.size
    g = ((numbers - numbers.mean()) ** 3).mean() / spread**3
    w = (numbers.mean() - mean_interval(SKEWED, 0.95)[1]) / spread
    transformed = w + g * w**2 / 3 + g**2 * w**3 / 27 + g / (6 * size)
    assert transformed == pytest.approx(-stats.t.ppf(0.975, size - 1) / size**0.5)


def test_values_that_are_all_equal_have_no_spread() -> None:
    assert mean_interval([0.25] * 4, 0.95) == (0.25, 0.25)


@pytest.mark.parametrize(("x", "n"), [(0, 1), (0, 8), (3, 8), (8, 8), (1, 14), (7, 33), (33, 33)])
def test_bounds_of_zeros_and_ones_are_clopper_and_pearsons_mid_p(x: int, n: int) -> None:
    expected = rate_interval([(1, 1)] * x + [(0, 1)] * (n - x))
    assert bounded_interval([1.0] * x + [0.0] * (n - x), 0.95) == pytest.approx(expected, abs=4e-3)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_bounds_hold_the_mean_and_stay_a_range(values: list[float]) -> None:
    low, high = bounded_interval(values, 0.95)
    assert 0 <= low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= high <= 1
    mirrored = bounded_interval([1 - value for value in values], 0.95)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-9)


def test_a_few_large_errors_are_covered() -> None:
    """Where most errors are next to nothing, Student's interval holds the mean in half of the samples."""
    draws = np.random.default_rng(0)
    held = students = 0
    for _ in range(400):
        errors = list(draws.beta(0.05 * 0.3, 0.95 * 0.3, size=8))
        low, high = bounded_interval(errors, 0.95)
        held += low <= 0.05 <= high
        low, high = stats.t.interval(0.95, 7, loc=np.mean(errors), scale=stats.sem(errors))
        students += low <= 0.05 <= high
    assert held / 400 >= 0.93
    assert students / 400 < 0.6


def arms(draws: np.random.Generator, rates: np.ndarray, seeds: int) -> dict[str, ArmScore]:
    hits = draws.binomial(seeds, rates) / seeds
    return {str(family): ArmScore(float(raw), 0.0) for family, raw in enumerate(hits)}


@pytest.mark.parametrize(("families", "seeds", "kappa"), [(5, 4, 8.0), (5, 16, 2.0), (8, 16, 0.3)])
def test_effects_cover_where_flips_fell_short(families: int, seeds: int, kappa: float) -> None:
    """Base rates near 1: most families have nothing to gain, so that differences are skewed."""
    draws = np.random.default_rng(1)
    sweeps, held, flipped = 500, 0, 0
    names = {str(family): str(family) for family in range(families)}
    for _ in range(sweeps):
        rates = draws.beta(0.8 * kappa, 0.2 * kappa, size=families)
        tool, base = arms(draws, rates + (1 - rates) / 5, seeds), arms(draws, rates, seeds)
        found = paired_difference(tool, base, names)
        assert found is not None
        low, high = found.interval
        held += low - 1e-9 <= 0.04 <= high + 1e-9
        low, high = flip_interval(list(found.by_family.values()), 0.95)
        flipped += low - 1e-9 <= 0.04 <= high + 1e-9
    assert held / sweeps >= 0.92 - 0.024  # two standard errors
    assert flipped / sweeps < 0.92


QUARTERS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=11)


@given(QUARTERS)
@settings(max_examples=150, deadline=None)
def test_an_effects_interval_agrees_with_its_p_and_is_a_range(quarters: list[tuple[int, int]]) -> None:
    tool = {str(i): ArmScore(own / 4, 0.0) for i, (own, _) in enumerate(quarters)}
    base = {str(i): ArmScore(other / 4, 0.0) for i, (_, other) in enumerate(quarters)}
    found = paired_difference(tool, base, {alias: alias for alias in tool})
    assert found is not None
    low, high = found.interval
    assert -1 <= low <= found.delta + 1e-6
    assert found.delta - 1e-6 <= high <= 1
    if found.p < 0.05 - 1e-6:
        assert low >= 0 if found.delta > 0 else high <= 0
    elif found.p > 0.05 + 1e-6:
        assert low <= 1e-6
        assert high >= -1e-6
