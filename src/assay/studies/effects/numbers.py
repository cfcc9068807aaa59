"""Types of the numbers that a summary holds.

Numbers are rounded to six decimals when a model is made, so that sums taken in another order print alike.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator


def _rounded(value: float) -> float:
    return round(value, 6) + 0.0  # −0.0 becomes 0.0


EffectVerdict = Literal["helps", "hurts", "not told apart"]
Number = Annotated[float, AfterValidator(_rounded)]
Bounds = tuple[Number, Number]  # of a 95 % interval
