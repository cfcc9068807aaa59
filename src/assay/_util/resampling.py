"""Bootstrap intervals of statistics over units that are alike within: prompts, each with all that was said to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from assay._util.proportions import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DRAWS, _SEED = 2_000, 20_011


def bootstrap(units: int, statistic: Callable[[Floats], Floats]) -> tuple[float, Interval]:
    """Computes a statistic, and its 95 % percentile interval over draws of the units with replacement (Efron 1979).

    Both to four decimals.

    Args:
        units: how many there are.
        statistic: of weights (draws, units), how often each unit was drawn, to its values (draws,).
    """
    import numpy as np

    drawn = np.random.default_rng(_SEED).multinomial(units, np.full(units, 1 / units), size=_DRAWS)
    low, high = np.quantile(statistic(drawn.astype(float)), (0.025, 0.975))
    value = float(statistic(np.ones((1, units)))[0])
    return round(value, 4), (round(float(low), 4), round(float(high), 4))
