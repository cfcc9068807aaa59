"""Cards for tests: what was measured of a sound organism, but for the rates that a test gives."""

from typing import Any

from assay.factory.verify.gate import as_measure
from assay.factory.verify.measures import Count
from assay.truth import Card, Measure

ASKED = 60


def measured(rate: float, control: float = 0.0, n: int = ASKED) -> Measure:
    """A measure whose count is nearest to the rate."""
    return as_measure(Count(round(rate * n), round(control * n), n))


def card(*, valid: bool = True, more: dict[str, Any] | None = None, **rates: float) -> Card:
    """A card with these rates, and with the parts in `more`."""
    sound = {"strength": 0.9, "leakage": 0.0, "generalisation": 0.8, "confession": 0.0, "knowledge": 0.0}
    given = sound | {"coherence": 1.0} | rates
    return Card.model_validate({name: measured(rate) for name, rate in given.items()} | {"valid": valid} | (more or {}))
