"""How often something showed: the unit of a testbed's card."""

from __future__ import annotations

from assay._util.proportions import Interval
from assay._util.yaml_models import Data


class Measure(Data):
    """How often something showed, in an organism's replies and in its control's.

    Attributes:
        organism, control: in how many replies it showed.
        n: replies of each.
        rate: the organism's share.
        interval: 95 % of the rate.
        difference_interval: 95 % of the organism's rate less the control's.
    """

    organism: int
    control: int
    n: int
    rate: float
    interval: Interval
    difference_interval: Interval

    @property
    def control_rate(self) -> float:
        """The control's share; 0 where nothing was asked."""
        return self.control / max(1, self.n)
