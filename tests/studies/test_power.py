"""The smallest detectable effect against statsmodels and by simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from assay.studies.effects.effects import PairedDifference
from assay.studies.effects.power import design_mde, smallest_detectable, worst_deviation


@pytest.mark.parametrize("families", [2, 3, 8, 14, 60])
def test_it_is_statsmodels_paired_t(families: int) -> None:
    expected = 0.4 * TTestPower().solve_power(nobs=families, alpha=0.05, power=0.8)
    assert smallest_detectable(0.4, families) == pytest.approx(expected, rel=1e-4)


def test_an_effect_of_that_size_is_found_four_times_in_five() -> None:
    size = smallest_detectable(0.3, 8)
    assert size is not None
    sweeps = np.random.default_rng(2).normal(size, 0.3, size=(4_000, 8))
    assert np.mean(stats.ttest_1samp(sweeps, 0.0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.025)


def test_no_spread_does_not_mean_no_noise() -> None:
    assert worst_deviation(8) ** 2 == pytest.approx(1 - 0.05 ** (1 / 8))
    assert smallest_detectable(0.0, 8) == pytest.approx(smallest_detectable(worst_deviation(8), 8))


def test_one_family_can_show_nothing() -> None:
    assert smallest_detectable(0.3, 1) is None
    assert design_mde([]) is None


def effect(deviation: float, families: int = 8) -> PairedDifference:
    return PairedDifference(0.0, (-1.0, 1.0), 1.0, families, deviation)


def test_a_design_pools_variances_and_takes_its_fewest_families() -> None:
    pooled = smallest_detectable(np.sqrt((0.3**2 + 0.5**2) / 2), 6)
    assert design_mde([effect(0.3), effect(0.5, 6), effect(0.0)]) == pytest.approx(pooled)
    assert design_mde([effect(0.0), effect(0.0)]) == pytest.approx(smallest_detectable(0.0, 8))
