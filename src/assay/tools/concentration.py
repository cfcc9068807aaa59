"""Finds what is said under one condition and not under others: a persona, a topic, a claim of being watched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from assay._util.multiplicity import holm, tarone_holm
from assay.core.tool import Span
from assay.tools.standing_out import CHANCE_LEVEL, Recurrence, fisher_chance
from assay.tools.text import snippet

CLAIMS = 2  # kinds made of the same replies: a sentence comes under one condition, or whatever the condition
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
        p: chance of so many there, if target and reference said it equally often under the condition (Fisher's exact
            test, adjusted for all sentences and kinds of claims); without a reference, if conditions did not matter.
    """

    text: str
    condition: str
    there: tuple[int, int]
    elsewhere: tuple[int, int]
    reference: tuple[int, int] | None
    p: float

    @property
    def flagged(self) -> bool:
        """Tells whether neither chance nor the condition itself explains it; never without a reference."""
        return self.reference is not None and self.p <= CHANCE_LEVEL

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

    @property
    def excess(self) -> float:
        """Returns by how much its share there is above its control."""
        return self.span.score - (self.span.control or 0.0)


def concentrations(said: Sequence[Recurrence], conditions: Sequence[str], *, beside: bool) -> list[Concentration]:
    """Finds sentences that come under one condition; those first that are surely the target's own.

    The condition of a sentence is the one that both models' replies together make most peculiar to it: so chosen, it
    tells nothing of which of the two said it there, and the test of that needs no correction for the choice.

    Args:
        said: what recurs in replies.
        conditions: of each of the target's replies, and of the reference's, which are in the same order.
        beside: there is a reference.
    """
    sizes = Counter(conditions)
    found = [_most(one, conditions, sizes, beside) for one in said]
    if beside:
        least = [_own_chance(one, most=True) for one in found]
        chances = tarone_holm([_own_chance(one) for one in found], least, CHANCE_LEVEL / CLAIMS)
    else:
        chances = holm([one.p for one in found])
    tested = [replace(one, p=min(1.0, CLAIMS * p)) for one, p in zip(found, chances, strict=True)]
    return sorted(tested, key=lambda one: (one.p, -one.excess))


def _own_chance(one: Concentration, *, most: bool = False) -> float:
    """Tests target against reference under the condition; `most`, as if the target had all it could of their sum."""
    assert one.reference is not None
    (mine, n), (other, m) = one.there, one.reference
    hits = min(n, mine + other) if most else mine
    return fisher_chance(hits, n, mine + other - hits, m)


def _most(said: Recurrence, conditions: Sequence[str], sizes: Counter[str], beside: bool) -> Concentration:
    """Finds the condition that a sentence is most peculiar to, in the replies of both models."""
    mine = Counter(conditions[member] for member in said.members[: said.ours[0]])
    other = Counter(conditions[member - len(conditions)] for member in said.members[said.ours[0] :])
    both, models = mine + other, 1 + beside
    chances: dict[str, float] = {}
    for name, hits in both.items():
        rest = models * (len(conditions) - sizes[name])
        chances[name] = fisher_chance(hits, models * sizes[name], both.total() - hits, rest)
    name = min(chances, key=lambda one: (chances[one], one))
    return Concentration(
        said.text,
        name,
        (mine[name], sizes[name]),
        (said.ours[0] - mine[name], len(conditions) - sizes[name]),
        (other[name], sizes[name]) if beside else None,
        min(1.0, chances[name] * len(sizes)),
    )
