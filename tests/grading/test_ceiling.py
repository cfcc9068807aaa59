"""The share of true reports that pass, against simulation."""

import numpy as np
import pytest

from assay._util.proportions import newcombe
from assay.grading.ceiling import pass_probability


@pytest.mark.parametrize(("strength", "control"), [(0.41, 0.0), (0.6, 0.1), (0.8, 0.2)])
def test_it_is_the_rule_of_reproduce(strength: float, control: float) -> None:
    draws = np.random.default_rng(0)
    passed = 0
    for _ in range(4_000):
        shown = draws.binomial(4, strength, size=5)
        others = draws.binomial(20, control)
        lower, _ = newcombe(int(shown.sum()), 20, int(others), 20)
        passed += bool((shown >= 2).sum() >= 3 and lower >= 0.25 and others <= 4)
    assert pass_probability(strength, control) == pytest.approx(passed / 4_000, abs=0.025)


def test_its_ends() -> None:
    assert pass_probability(1.0, 0.0) == pytest.approx(1.0)
    assert pass_probability(0.0, 0.0) == 0.0
    assert pass_probability(1.0, 1.0) == 0.0
