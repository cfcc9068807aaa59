"""Paired effects against oracles, and the size of the test where nothing is there to find."""

import numpy as np
import pytest
from scipy import stats

from assay.studies.effects.effects import ArmScore, Comparison, adjusted_p, comparisons, paired_difference
from assay.studies.effects.flips import sign_flip
from assay.studies.effects.matched import matched_interval, matched_test
from assay.studies.effects.means import mean_interval

DIFFERENCES = [0.5, 0.25, -0.25, 1.0, 0.0, 0.5, 0.125]


def test_contrasts_are_found_by_name() -> None:
    kits = ["prior-only", "chat", "~chat", "chat+search", "chat+~search", "chat+fuzz", "all"]
    assert comparisons(kits) == [
        Comparison("chat", "alone", "placebo", "chat", "~chat"),
        Comparison("search", "alone", "chat", "chat+search", "chat"),
        Comparison("search", "alone", "placebo", "chat+search", "chat+~search"),
        Comparison("fuzz", "alone", "chat", "chat+fuzz", "chat"),
        Comparison("all", "together", "chat", "all", "chat"),
    ]


def test_a_contrast_may_start_from_a_larger_base() -> None:
    found = comparisons(["chat+search", "chat+search+fuzz"])
    assert found == [Comparison("fuzz", "alone", "chat+search", "chat+search+fuzz", "chat+search")]


def scores(values: list[float]) -> dict[str, ArmScore]:
    return {f"alias{i}": ArmScore(value, 0.0) for i, value in enumerate(values)}


def own_family(values: list[float]) -> dict[str, str]:
    return {f"alias{i}": f"family{i}" for i in range(len(values))}


def test_one_seed_is_mcnemars_test() -> None:
    effect = paired_difference(scores([1.0] * 4 + [0.0] * 4), scores([0.0] * 8), own_family([0.0] * 8))
    assert effect is not None
    assert (effect.delta, effect.p) == (0.5, matched_test(4, 0))
    assert effect.interval == matched_interval(4, 0, 8, 0.95)
    assert effect.interval[0] < 0  # p is 0.06


def test_several_seeds_are_flipped() -> None:
    arm = [0.25 + difference for difference in DIFFERENCES]
    effect = paired_difference(scores(arm), scores([0.25] * 7), own_family(arm))
    assert effect is not None
    assert effect.delta == pytest.approx(np.mean(DIFFERENCES))
    assert effect.p == sign_flip(DIFFERENCES)
    assert effect.interval == mean_interval(DIFFERENCES, 0.95)


def test_correction_is_over_families_not_their_order() -> None:
    first = paired_difference(scores([1.0] * 6), scores([0.0] * 6), own_family([0.0] * 6))
    other = paired_difference(scores([1.0, 0.0]), scores([0.0, 1.0]), {"alias0": "family5", "alias1": "elsewhere"})
    assert first is not None
    assert other is not None
    corrected = adjusted_p([first, other])
    assert corrected[0] >= first.p
    assert corrected[1] >= other.p
    assert adjusted_p([first]) == pytest.approx([first.p])


def test_testbeds_of_one_family_count_once() -> None:
    families = {"alias0": "a", "alias1": "a", "alias2": "b"}
    effect = paired_difference(scores([1.0, 1.0, 0.0]), scores([0.0, 0.0, 0.0]), families)
    assert effect is not None
    assert (effect.delta, effect.families) == (0.5, 2)


def test_only_shared_testbeds_are_compared() -> None:
    families = own_family([0, 0, 0])
    effect = paired_difference(
        scores([1.0, 1.0]), {"alias0": ArmScore(0.0, 0.0), "alias2": ArmScore(0.0, 0.0)}, families
    )
    assert effect is not None
    assert (effect.delta, effect.families) == (1.0, 1)
    assert effect.interval[0] < -0.5
    assert paired_difference(scores([1.0]), {}, families) is None


def test_no_change_in_any_family_has_a_width() -> None:
    effect = paired_difference(scores([0.0] * 8), scores([0.0] * 8), own_family([0.0] * 8))
    assert effect is not None
    assert effect.delta == 0.0
    assert effect.interval == pytest.approx((-0.25, 0.25), abs=0.01)


def test_the_nulls_difference_is_not_spread() -> None:
    arm = {f"alias{i}": ArmScore(0.0, 0.1 * (i == 0)) for i in range(8)}
    effect = paired_difference(arm, scores([0.0] * 8), own_family([0.0] * 8))
    assert effect is not None
    assert effect.interval[1] > 0.2


def test_no_effect_rejects_near_the_nominal_rate_where_families_differ() -> None:
    """14 families × 4 organisms × 4 runs an arm; the tool helps some families as much as it harms others."""
    generator = np.random.default_rng(0)
    sweeps, families, organisms, runs = 1_000, 14, 4, 4
    swing = generator.choice((-0.25, 0.25), size=(sweeps, families, 1))
    rate = np.clip(generator.normal(0.5, 0.15, size=(sweeps, families, organisms)), 0.3, 0.7)
    arm = generator.binomial(runs, rate + swing) / runs
    control = generator.binomial(runs, rate) / runs
    differences = (arm - control).mean(axis=2)
    rejected = np.mean([sign_flip(list(row)) < 0.05 for row in differences])

    flat = (arm - control).reshape(sweeps, -1)
    naive = np.mean(stats.ttest_1samp(flat, 0.0, axis=1).pvalue < 0.05)
    assert 0.03 <= rejected <= 0.07
    assert naive > 0.15  # what counting organisms as independent would do
