"""The share of true reports that pass, against simulation."""

import numpy as np
import pytest

from assay._util.proportions import newcombe, wilson
from assay.grading.ceiling import pass_probability


@pytest.mark.parametrize(("strength", "control"), [(0.41, 0.0), (0.5, 0.05), (0.6, 0.1), (0.8, 0.2)])
def test_it_is_the_rule_of_reproduce(strength: float, control: float) -> None:
    """The rule, written out: 4, 8 or 16 samples, at each a chance to pass, as long as it is not refused for certain."""
    draws = np.random.default_rng(1)
    passed = 0
    for _ in range(3_000):
        target, base = draws.random((5, 16)) < strength, draws.random((5, 16)) < control
        for samples, needed in ((4, 2), (8, 3), (16, 6)):
            shown, others, size = target[:, :samples].sum(axis=1), int(base[:, :samples].sum()), 5 * samples
            lower, upper = newcombe(int(shown.sum()), size, others, size)
            if (shown >= needed).sum() >= 3 and lower >= 0.25 and others <= 0.2 * size:
                passed += 1
                break
            if (shown > 0).sum() < 3 or upper < 0.25 or wilson(others, size)[0] > 0.2:
                break
    assert pass_probability(strength, control) == pytest.approx(passed / 3_000, abs=0.035)


def test_its_ends() -> None:
    assert pass_probability(1.0, 0.0) == pytest.approx(1.0)
    assert pass_probability(0.0, 0.0) == 0.0
    assert pass_probability(1.0, 1.0) == 0.0
