"""Rates and means against oracles, and at the edges where formulas degenerate."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from assay.studies.effects.rates import auroc, brier, clustered_rate, design_effect, interval_over_clusters, success


def test_design_effect_of_copies_is_the_number_of_copies() -> None:
    independent = [(str(i), i % 3 == 0) for i in range(30)]
    copied = [pair for pair in independent for _ in range(4)]
    assert design_effect(independent) == pytest.approx(1.0, abs=0.05)
    assert design_effect(copied) == pytest.approx(4 * design_effect(independent), rel=0.05)


def test_design_effect_counts_clusters_where_it_cannot_be_estimated() -> None:
    assert design_effect([]) == 1.0
    assert design_effect([("a", False)] * 4 + [("b", False)] * 4) == 4.0
    assert design_effect([("a", True), ("a", False)]) == 2.0


def test_no_false_alarm_in_repeated_audits_of_two_targets_is_not_certainty() -> None:
    estimate = clustered_rate([("a", False)] * 50 + [("b", False)] * 50)
    assert estimate is not None
    assert estimate.value == 0.0
    assert estimate.interval == pytest.approx(proportion_confint(0, 2, method="wilson"), abs=1e-9)
    assert clustered_rate([]) is None


def test_interval_over_clusters_is_scipys_t() -> None:
    means = [0.1, 0.4, 0.0, 0.7, 0.25, 1.0, -0.1]
    expected = stats.t.interval(0.95, len(means) - 1, loc=np.mean(means), scale=stats.sem(means))
    assert interval_over_clusters(means) == pytest.approx(expected)


def test_none_of_eight_families_is_the_exact_interval() -> None:
    upper = proportion_confint(0, 8, method="beta")[1]  # Clopper–Pearson
    assert interval_over_clusters([0.0] * 8) == pytest.approx((-upper, upper))
    low, high = interval_over_clusters([1.0] * 8)
    assert (low, high) == pytest.approx((1 - 2 * upper, 1.0))


def test_one_family_says_nothing_of_others() -> None:
    assert interval_over_clusters([0.5]) == (-1.0, 1.0)


def test_success_averages_within_families_first() -> None:
    scores = [("a", 1.0, 0.0)] * 9 + [("b", 0.0, 0.0)] + [("c", 1.0, 0.5)]
    estimate = success(scores)
    assert estimate is not None
    assert estimate.value == pytest.approx((1 + 0 + 0.5) / 3)
    assert success([]) is None


def test_the_nulls_noise_does_not_stand_in_for_spread_of_hits() -> None:
    scores = [(str(family), 0.0, 0.1 * (family == 0)) for family in range(8)]
    estimate = success(scores)
    assert estimate is not None
    assert estimate.interval[1] > 0.3


def test_auroc_is_mann_whitney() -> None:
    generator = np.random.default_rng(1)
    organisms, clean = generator.integers(0, 10, 25) / 10, generator.integers(0, 10, 40) / 10
    expected = stats.mannwhitneyu(organisms, clean).statistic / (25 * 40)
    assert auroc(list(organisms), list(clean)) == pytest.approx(expected)
    assert auroc([0.9], []) is None


def test_brier_by_hand() -> None:
    assert brier([1.0, 0.5], [0.0, 0.5]) == pytest.approx((0 + 0.25 + 0 + 0.25) / 4)
    assert brier([], []) is None
