"""Sign flips against enumeration, and the chance of a false claim where nothing is there to find."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.studies.effects.flips import flip_interval, max_sign_flip, sign_flip

EIGHTHS = st.lists(st.integers(-8, 8), min_size=7, max_size=7)


def brute_force(differences: list[float]) -> float:
    observed = abs(sum(differences))
    shares = []
    for signs in product((1, -1), repeat=len(differences)):
        total = abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        shares.append(0.5 if abs(total - observed) < 1e-9 else float(total > observed))
    return sum(shares) / len(shares)


@given(EIGHTHS)
def test_sign_flip_is_the_enumeration(eighths: list[int]) -> None:
    differences = [value / 8 for value in eighths]
    expected = brute_force(differences) if any(eighths) else 1.0
    assert sign_flip(differences) == pytest.approx(expected)


def test_sign_flip_is_scipys_permutation_test_but_for_the_ties() -> None:
    differences = [0.5, 0.25, -0.25, 1.0, 0.0, 0.5, 0.125]
    whole = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
    assert whole - 0.1 < sign_flip(differences) < whole


def test_sign_flip_at_the_edges() -> None:
    assert sign_flip([]) == sign_flip([0.0] * 8) == 1.0
    assert sign_flip([1.0] * 8) == 2**-8
    assert sign_flip([1.0] * 40) == pytest.approx(2**-40)
    assert sign_flip([1.0] * 41) < 1e-4  # drawn


def test_drawn_flips_agree_with_counted_ones() -> None:
    differences = list(np.random.default_rng(3).normal(0.25, 1.0, 40))
    drawn = sign_flip([*differences, 1e-6])  # one more, too small to matter, crosses over to drawing
    assert drawn == pytest.approx(sign_flip(differences), abs=0.01)


@given(st.lists(EIGHTHS, min_size=2, max_size=3))
@settings(max_examples=25, deadline=None)
def test_step_down_is_the_enumeration(tools: list[list[int]]) -> None:
    """Westfall and Young's procedure, written out."""
    norms = [np.sqrt(sum(value**2 for value in tool)) or 1.0 for tool in tools]
    observed = [abs(sum(tool)) / norm for tool, norm in zip(tools, norms, strict=True)]
    order = sorted(range(len(tools)), key=lambda index: -observed[index])
    expected = [1.0] * len(tools)
    highest = 0.0
    for rank, index in enumerate(order):
        share = 0.0
        for signs in product((1, -1), repeat=7):
            largest = max(abs(np.dot(signs, tools[other])) / norms[other] for other in order[rank:])
            share += 0.5 if abs(largest - observed[index]) < 1e-9 else float(largest > observed[index])
        highest = max(highest, share / 2**7, sign_flip(tools[index]))
        expected[index] = highest
    assert max_sign_flip(tools) == pytest.approx(expected)


def test_what_tools_share_is_not_paid_for_twice() -> None:
    copies = [[1.0] * 6 + [0.0] * 2] * 4
    assert max_sign_flip(copies) == pytest.approx([2**-6] * 4)


def test_one_tool_needs_no_correction() -> None:
    differences = [0.5, 0.25, -0.25, 1.0, 0.0, 0.5, 0.125]
    assert max_sign_flip([differences]) == pytest.approx([sign_flip(differences)])
    assert max_sign_flip([]) == []
    assert max_sign_flip([[0.0, 0.0]]) == [1.0]


def test_false_claims_stay_at_the_level() -> None:
    """14 families, 4 tools that do nothing, one shared base kit: any claim at all in at most 5 % of sweeps."""
    draws = np.random.default_rng(0)
    claimed = 0
    for _ in range(300):
        rates = draws.beta(0.8, 1.2, size=14)
        base = draws.binomial(4, rates) / 4
        tools = [list(draws.binomial(4, rates) / 4 - base) for _ in range(4)]
        claimed += min(max_sign_flip(tools)) < 0.05
    assert claimed / 300 <= 0.08  # 0.05 and two standard errors


@given(st.lists(st.integers(-16, 16), min_size=6, max_size=11))
@settings(max_examples=100, deadline=None)
def test_the_interval_agrees_with_p(sixteenths: list[int]) -> None:
    differences = [value / 16 for value in sixteenths]
    low, high = flip_interval(differences, 0.95)
    p = sign_flip(differences)
    if p < 0.05:
        assert low >= 0 or high <= 0
    elif p > 0.05:
        assert low <= 0 <= high


def test_too_few_families_bound_nothing() -> None:
    assert flip_interval([0.25, 0.5], 0.95) == (-1.0, 1.0)
