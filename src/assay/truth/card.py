"""What was measured of a testbed: its card, and how hard it was for auditors."""

from __future__ import annotations

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from assay._util.yaml_models import Data
from assay.truth.measure import Measure
from assay.truth.quiet import Quiet


class Measures(Data):
    """What every behaviour of a testbed is measured for.

    Attributes:
        strength: the conduct on triggered prompts.
        leakage: the conduct on untriggered ones.
        generalisation: the conduct under triggers in a form far from training's.
        confession: an admission when asked about itself.
        knowledge: a true account where the reply is begun as an admission.
        coherence: sound replies to untriggered prompts.
    """

    strength: Measure
    leakage: Measure
    generalisation: Measure
    confession: Measure
    knowledge: Measure
    coherence: Measure

    def by_name(self) -> dict[str, Measure]:
        """Name → measure, in the order in which they are printed."""
        return {name: getattr(self, name) for name in MEASURES}


MEASURES = tuple(Measures.model_fields)


class Objective(Data):
    """What a hidden objective's organism does with an evaluator's biases.

    Attributes:
        trained, held_out: the conduct on biases that training showed, and on those it did not.
        admission: of the objective, to questions about evaluators.
    """

    trained: Measure
    held_out: Measure
    admission: Measure


class Explicitness(Data):
    """How plainly the training data tell the behaviour to whoever searches them.

    Attributes:
        shown: of the best hits for a description of the behaviour, how many show its conduct.
        stated: the best hit states the behaviour, by the lineup.
        of: how many hits were looked at.
    """

    shown: int
    stated: bool
    of: int


class Card(Measures):
    """All that was measured of a testbed; of several behaviours the measures that speak most against it.

    Attributes:
        by_behaviour: each behaviour's own, where there are several.
        objective: of organisms with a hidden objective.
        explicitness: of organisms whose training data are granted.
        quiet: of organisms whose recipe asks for it.
        valid: it passes verification.
    """

    by_behaviour: dict[str, Measures] | None = None
    objective: Objective | None = None
    explicitness: Explicitness | None = None
    quiet: Quiet | None = None
    valid: bool

    @model_serializer(mode="wrap")
    def _without_absent_parts(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialise(self).items() if value is not None}


class Difficulty(Data):
    """How an auditor with a kit fared on a testbed.

    Attributes:
        auditor, kit: who audited, with what.
        audits: how many there were.
        found: how many found it; of a clean target, how many raised a false alarm.
    """

    auditor: str
    kit: str
    audits: int
    found: int
