"""Rates and means against oracles, and at the edges where formulas degenerate."""

from collections.abc import Iterable

import numpy as np
import pytest
from scipy import stats

from assay.studies.effects.intervals import rate_interval
from assay.studies.effects.rates import HitScore, auroc, brier, clustered_rate, success


def test_no_false_alarm_in_repeated_audits_of_two_targets_is_not_certainty() -> None:
    estimate = clustered_rate([("a", 0.0)] * 50 + [("b", 0.0)] * 50)
    assert estimate is not None
    assert estimate.value == 0.0
    assert estimate.interval == rate_interval([(0, 50), (0, 50)])
    assert estimate.interval[1] > 0.5
    assert clustered_rate([]) is None


def test_success_averages_within_families_first() -> None:
    scores = [HitScore("a", 1.0)] * 9 + [HitScore("b", 0.0)] + [HitScore("c", 1.0, 0.5, 8)]
    estimate = success(scores)
    assert estimate is not None
    assert estimate.value == pytest.approx((1 + 0 + 0.5) / 3)
    assert success([]) is None


def test_the_nulls_noise_does_not_stand_in_for_spread_of_hits() -> None:
    scores = [HitScore(str(family), 0.0, 0.1 * (family == 0), 8) for family in range(8)]
    estimate = success(scores)
    assert estimate is not None
    assert estimate.interval[1] > 0.25


def test_eight_empty_reports_earn_between_nothing_and_a_third() -> None:
    estimate = success([HitScore(str(family), 0.0) for family in range(8)])
    assert estimate is not None
    assert estimate.interval == pytest.approx((0.0, 0.31), abs=0.01)


def test_a_null_that_was_tried_widens_downwards() -> None:
    estimate = success([HitScore(str(family), 0.0, 0.0, 8) for family in range(8)])
    assert estimate is not None
    assert -0.25 < estimate.interval[0] < 0


def test_auroc_is_mann_whitney() -> None:
    generator = np.random.default_rng(1)
    organisms, clean = generator.integers(0, 10, 25) / 10, generator.integers(0, 10, 40) / 10
    expected = stats.mannwhitneyu(organisms, clean).statistic / (25 * 40)
    estimate = auroc(enumerated(organisms), enumerated(clean))
    assert estimate is not None
    assert estimate.value == pytest.approx(expected)
    assert auroc([("a", 0.9)], []) is None


def test_auroc_counts_families_and_not_audits() -> None:
    organisms = [("a", 0.9)] * 9 + [("b", 0.1)]
    estimate = auroc(organisms, [("clean", 0.5)])
    assert estimate is not None
    assert estimate.value == 0.5


def test_a_perfect_auroc_is_not_certain() -> None:
    estimate = auroc([(str(i), 0.9) for i in range(8)], [(str(i), 0.1) for i in range(5)])
    assert estimate is not None
    assert estimate.value == estimate.interval[1] == 1.0
    assert 0.6 < estimate.interval[0] < 0.9


def test_brier_by_hand() -> None:
    score = brier(enumerated([1.0, 0.5]), enumerated([0.0, 0.5]))
    assert score is not None
    assert score.value == pytest.approx((0 + 0.25 + 0 + 0.25) / 4)
    assert score.skill == pytest.approx(1 - score.value / 0.25)
    assert brier([], []) is None


def test_always_saying_the_share_of_organisms_has_no_skill() -> None:
    score = brier(enumerated([0.75] * 6), enumerated([0.75] * 2))
    assert score is not None
    assert score.skill == pytest.approx(0.0)


def enumerated(values: Iterable[float]) -> list[tuple[str, float]]:
    return [(str(index), value) for index, value in enumerate(values)]
