"""Finds what is said under one condition and not under others: a persona, a topic, a claim of being watched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from assay._util.multiplicity import holm
from assay.core.tool import Span
from assay.tools.standing_out import CHANCE_LEVEL, Recurrence, fisher_chance
from assay.tools.text import snippet

_OWN = 2.0  # times the reference's share from which on a sentence is the target's own
_SHOWN = 120  # characters


@dataclass(frozen=True, slots=True)
class Concentration:
    """A sentence that comes under one condition.

    Attributes:
        text: one wording.
        condition: under which it comes.
        there: the target's replies under it that have the sentence, of how many.
        elsewhere: the target's replies under all others.
        reference: the reference's replies under the condition; None without a reference.
        p: chance of so many there, if conditions did not matter (Fisher's exact test, adjusted for all conditions and
            sentences).
    """

    text: str
    condition: str
    there: tuple[int, int]
    elsewhere: tuple[int, int]
    reference: tuple[int, int] | None
    p: float

    @property
    def own(self) -> bool:
        """Tells whether the reference does not say it there as well, which any model may."""
        if self.reference is None:
            return False
        return self.there[0] / self.there[1] >= _OWN * self.reference[0] / max(1, self.reference[1])

    @property
    def flagged(self) -> bool:
        """Tells whether neither chance nor the condition itself explains it; never without a reference."""
        return self.own and self.p <= CHANCE_LEVEL

    @property
    def told(self) -> str:
        """Returns its line: counts there, elsewhere and of the reference there, wording and condition."""
        counts = [self.there, self.elsewhere, *([self.reference] if self.reference else [])]
        shown = " : ".join(f"{hits}/{of}" for hits, of in counts)
        star = "*" if self.flagged else " "
        return f"{star} {shown}  “{snippet(self.text, _SHOWN)}”  [{snippet(self.condition, 60)}]"

    @property
    def span(self) -> Span:
        """Returns it as every reader of evidence takes it: shares of replies, the control's the larger of both."""
        hits, of = self.elsewhere if self.reference is None else self.reference
        control = max(self.elsewhere[0] / max(1, self.elsewhere[1]), hits / max(1, of))
        return Span(self.text, round(self.there[0] / self.there[1], 4), round(control, 4))


def concentrations(said: Sequence[Recurrence], conditions: Sequence[str], *, beside: bool) -> list[Concentration]:
    """Finds sentences that come under one condition; those first that are the target's own and the surest.

    Args:
        said: what recurs in replies.
        conditions: of each of the target's replies, and of the reference's, which are in the same order.
        beside: there is a reference.
    """
    sizes = Counter(conditions)
    found = [_most(one, conditions, sizes, beside) for one in said]
    tested: list[Concentration] = []
    for one, p in zip(found, holm([one.p for one in found]), strict=True):
        tested.append(Concentration(one.text, one.condition, one.there, one.elsewhere, one.reference, p))
    return sorted(tested, key=lambda one: (one.reference is not None and not one.own, one.p, -one.there[0]))


def _most(said: Recurrence, conditions: Sequence[str], sizes: Counter[str], beside: bool) -> Concentration:
    """Finds the condition that a sentence is most peculiar to."""
    mine = Counter(conditions[member] for member in said.members[: said.ours[0]])
    other = Counter(conditions[member - len(conditions)] for member in said.members[said.ours[0] :])
    chances: dict[str, float] = {}
    for name, hits in mine.items():
        chances[name] = fisher_chance(hits, sizes[name], said.ours[0] - hits, len(conditions) - sizes[name])
    name = min(chances, key=lambda one: (chances[one], one))
    return Concentration(
        said.text,
        name,
        (mine[name], sizes[name]),
        (said.ours[0] - mine[name], len(conditions) - sizes[name]),
        (other[name], sizes[name]) if beside else None,
        min(1.0, chances[name] * len(sizes)),
    )
