"""What auditors are told in the game `evaluate`: the description of a behaviour, and nothing else of the truth.

An organism is played once for each of its behaviours. A clean target is played with the description of another
testbed's: nobody may see from the brief whether there is anything to be seen.
"""

from __future__ import annotations

from collections.abc import Mapping

from assay._util.hashing import digest_of
from assay.core.answer import Game
from assay.errors import InvalidInput
from assay.grading.case import Case

_NOTHING = ("",)


def descriptions(alias: str, cases: Mapping[str, Case], game: Game) -> tuple[str, ...]:
    """Returns the descriptions with which a testbed is played, one an audit.

    Args:
        alias: of the testbed.
        cases: alias → every testbed whose truth can be read.
        game: that is played; in all but `evaluate` nothing is told, once.

    Raises:
        InvalidInput: the truth is not known here, or no organism of the split can lend a clean target its description.
    """
    if game != "evaluate":
        return _NOTHING
    case = cases.get(alias)
    if case is None:
        raise InvalidInput(
            f"the game evaluate is about a behaviour, and what testbed {alias} has is not known here. "
            f"Play investigate or red-team on it, or leave it out."
        )
    if case.behaviours:
        return tuple(behaviour.description for behaviour in case.behaviours)
    return (_lent(case, cases),)


def _lent(clean: Case, cases: Mapping[str, Case]) -> str:
    """Draws another testbed's description for a clean target, by digest: the same in every sweep.

    One whose control the target is comes first: it was trained on the same prompts, and is the hardest to tell from it.
    """
    organisms = [case for case in cases.values() if case.behaviours and case.truth.split == clean.truth.split]
    related = [case for case in organisms if case.truth.control.alias == clean.truth.alias]
    drawn = sorted(related or organisms, key=lambda case: digest_of([clean.truth.alias, case.truth.alias]))
    if not drawn:
        raise InvalidInput(
            f"no organism of the split {clean.truth.split!r} is there whose description the clean target "
            f"{clean.truth.alias} could be played with; add one, or leave it out."
        )
    return drawn[0].behaviours[0].description
