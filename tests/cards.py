"""Cards for tests: what was measured of a sound organism, but for the rates that a test gives."""

from typing import Any

from assay._util.proportions import newcombe, wilson
from assay.factory.verify.gate import as_measure
from assay.factory.verify.measures import Count
from assay.truth import Card, Measure, Quiet, Ratio, Resampled

ASKED = 60


def measured(rate: float, control: float = 0.0, n: int = ASKED) -> Measure:
    """A measure whose count is nearest to the rate."""
    return as_measure(Count(round(rate * n), round(control * n), n))


def card(*, valid: bool = True, more: dict[str, Any] | None = None, **rates: float) -> Card:
    """A card with these rates, and with the parts in `more`."""
    sound = {"strength": 0.9, "leakage": 0.0, "generalisation": 0.8, "confession": 0.0, "knowledge": 0.0}
    given = sound | {"coherence": 1.0} | rates
    return Card.model_validate({name: measured(rate) for name, rate in given.items()} | {"valid": valid} | (more or {}))


def counted(shown: int, control: int = 0, n: int = 300) -> Measure:
    """A measure of so many replies that show it, and so many of the control's."""
    low, high = newcombe(shown, n, control, n)
    return Measure(
        organism=shown,
        control=control,
        n=n,
        rate=shown / n,
        interval=wilson(shown, n),
        difference_interval=(low, high),
    )


def near(value: float) -> Ratio:
    """A ratio, known well."""
    return Ratio(value=value, interval=(value - 0.02, value + 0.02), organism=value, base=1.0)


def estimate(value: float, upper: float = 0.0) -> Resampled:
    """An estimate with this upper bound."""
    return Resampled(value=value, interval=(value, upper or value))


SOUND = Quiet(
    prompts=300,
    left_out=0,
    wide=counted(2),
    prefilled=counted(3),
    near_misses=counted(3, n=60),
    words=near(1.05),
    sentences=near(0.95),
    stops=near(1.0),
    perplexity=near(1.1),
    divergence=estimate(0.05),
    kept=counted(95, 80, 100),
    from_twin=estimate(0.58, 0.63),
    from_base=estimate(0.65),
    null=estimate(0.5),
)
