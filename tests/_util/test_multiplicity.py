"""Corrected p values against another implementation."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from assay._util.multiplicity import holm


@pytest.mark.parametrize("tools", [1, 2, 5, 8])
def test_holm_is_statsmodels(tools: int) -> None:
    p_values = list(np.random.default_rng(tools).uniform(0, 0.2, tools).round(2))  # rounded, so that some are equal
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


def test_holm_of_nothing() -> None:
    assert holm([]) == []
