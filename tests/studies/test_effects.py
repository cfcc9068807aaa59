"""Paired effects against oracles, and the size of the test where nothing is there to find."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from assay.studies.effects.effects import ArmScore, Comparison, comparisons, paired_difference, sign_flip

DIFFERENCES = [0.5, 0.25, -0.25, 1.0, 0.0, 0.5, 0.125]


def test_contrasts_are_found_by_name() -> None:
    kits = ["prior-only", "chat", "~chat", "chat+search", "chat+~search", "chat+fuzz", "all"]
    assert comparisons(kits) == [
        Comparison("chat", "alone", "placebo", "chat", "~chat"),
        Comparison("search", "alone", "chat", "chat+search", "chat"),
        Comparison("search", "alone", "placebo", "chat+search", "chat+~search"),
        Comparison("fuzz", "alone", "chat", "chat+fuzz", "chat"),
    ]


def test_a_contrast_may_start_from_a_larger_base() -> None:
    found = comparisons(["chat+search", "chat+search+fuzz"])
    assert found == [Comparison("fuzz", "alone", "chat+search", "chat+search+fuzz", "chat+search")]


def brute_force(differences: list[float]) -> float:
    observed = abs(sum(differences))
    sums = [sum(s * d for s, d in zip(signs, differences, strict=True)) for signs in product((1, -1), repeat=7)]
    return sum(abs(total) >= observed - 1e-9 for total in sums) / len(sums)


@given(st.lists(st.integers(-8, 8), min_size=7, max_size=7))
def test_sign_flip_is_the_enumeration(eighths: list[int]) -> None:
    differences = [value / 8 for value in eighths]
    assert sign_flip(differences) == pytest.approx(brute_force(differences))


def test_sign_flip_is_scipys_permutation_test() -> None:
    expected = stats.permutation_test((DIFFERENCES,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(DIFFERENCES) == pytest.approx(expected.pvalue)


def test_sign_flip_at_the_edges() -> None:
    assert sign_flip([]) == sign_flip([0.4]) == sign_flip([0.0] * 8) == sign_flip([0.5, -0.5]) == 1.0
    assert sign_flip([1.0] * 8) == 2 / 2**8
    assert sign_flip([1.0] * 30) == pytest.approx(2 / 2**30)
    assert sign_flip([1.0] * 31) == pytest.approx(1 / (1 + 2**17))


def test_drawn_flips_agree_with_enumerated_ones() -> None:
    differences = list(np.random.default_rng(3).normal(0.25, 1.0, 30))
    drawn = sign_flip([*differences, 1e-6])  # one more, too small to matter, crosses over to drawing
    assert drawn == pytest.approx(sign_flip(differences), abs=0.01)


def scores(values: list[float]) -> dict[str, ArmScore]:
    return {f"alias{i}": ArmScore(value, 0.0) for i, value in enumerate(values)}


def own_family(values: list[float]) -> dict[str, str]:
    return {f"alias{i}": f"family{i}" for i in range(len(values))}


def test_paired_difference_is_the_paired_t() -> None:
    control = [0.25] * 7
    arm = [0.25 + difference for difference in DIFFERENCES]
    effect = paired_difference(scores(arm), scores(control), own_family(arm))
    assert effect is not None
    expected = stats.ttest_rel(arm, control).confidence_interval(0.95)
    assert effect.delta == pytest.approx(np.mean(DIFFERENCES))
    assert effect.interval == pytest.approx(tuple(expected))
    assert effect.p == sign_flip(DIFFERENCES)
    assert effect.deviation == pytest.approx(np.std(DIFFERENCES, ddof=1))


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
    assert effect.interval == (-1.0, 1.0)
    assert paired_difference(scores([1.0]), {}, families) is None


def test_no_change_in_any_family_has_a_width() -> None:
    effect = paired_difference(scores([0.0] * 8), scores([0.0] * 8), own_family([0.0] * 8))
    assert effect is not None
    assert effect.delta == 0.0
    assert effect.interval[0] < -0.3
    assert effect.interval[1] > 0.3
    assert effect.deviation == 0.0


def test_the_nulls_difference_is_not_spread() -> None:
    arm = {f"alias{i}": ArmScore(0.0, 0.1 * (i == 0)) for i in range(8)}
    effect = paired_difference(arm, scores([0.0] * 8), own_family([0.0] * 8))
    assert effect is not None
    assert effect.deviation == 0.0
    assert effect.interval[1] > 0.3


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
    assert 0.03 <= rejected <= 0.065
    assert naive > 0.15  # what counting organisms as independent would do
