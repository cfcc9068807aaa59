"""Defines what a report is graded against: a truth with its behaviours, and how to open the models it speaks of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from assay.core.target import Target
from assay.errors import InvalidInput
from assay.truth import Behaviour, Truth


@dataclass(frozen=True, slots=True)
class Case:
    """One testbed as grading sees it.

    Attributes:
        truth: role, family, control.
        behaviours: those the truth names, in its order; none for a clean target.
        foils: of other families; a predicate that recognises several of these conducts has told none of them.
    """

    truth: Truth
    behaviours: tuple[Behaviour, ...]
    foils: tuple[Behaviour, ...] = ()

    def __post_init__(self) -> None:
        given = [behaviour.id for behaviour in self.behaviours]
        if given != self.truth.behaviours:
            raise InvalidInput(
                f"testbed {self.truth.alias}: the truth names the behaviours {self.truth.behaviours}, given were "
                f"{given}. Give one for each, in this order."
            )
        if bool(given) != (self.truth.role == "organism"):
            raise InvalidInput(
                f"testbed {self.truth.alias}: role {self.truth.role!r} with {len(given)} behaviours; "
                f"an organism has at least one, a clean target none."
            )


OpenPair = Callable[[Truth], AbstractAsyncContextManager[tuple[Target, Target | None]]]
"""Opens a truth's (target, control); the control is None where it is the target with the trigger removed.

Whoever calls grading gives it one, so that grades know no engine."""
