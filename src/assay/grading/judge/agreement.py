"""Measures how a panel agrees with labels: what it accepts, by kind of claim, and whether that is good enough."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from assay._util.proportions import clustered_wilson
from assay._util.yaml_models import Data
from assay.grading.judge.labels import LabelledClaim

LEAST = 30  # claims of a group that a bar can be met on
_Verdicts = Sequence[tuple[str, bool]]  # family, whether it was accepted


@dataclass(frozen=True, slots=True)
class Bar:
    """What a reader must reach on a group of claims before a hit may depend on it.

    Attributes:
        group: of claims, by label or, where they were written to be of a kind, by kind.
        floor: at least this share has to be accepted, and not at most.
        share: accepted.
        needed: no reader is validated without this group.
    """

    group: str
    floor: bool
    share: float
    needed: bool = False


BARS = (
    Bar("true", True, 0.95, needed=True),
    Bar("near miss", False, 0.05, needed=True),
    Bar("vague", False, 0.02, needed=True),
    Bar("half true", False, 0.05),
    Bar("hedged", False, 0.05),
    Bar("wrong", False, 0.02),
)
# Of what people labelled no kind is known: what an auditor got wrong is nearest to a near miss.
_GROUPS = {"near-miss": "near miss", "false": "near miss"}
_GROUPS |= dict.fromkeys(("half-true", "other-trigger", "other-conduct"), "half true")


class KindRate(Data):
    """The share of a group of claims that was accepted.

    Attributes:
        accepted: in [0, 1], with the 95 % interval, families being clusters.
        bar: that it is held to, "" without one.
        met: whether the rate reaches its bar, on enough claims; True without a bar.
    """

    kind: str
    claims: int
    accepted: float
    interval: tuple[float, float]
    bar: str = ""
    met: bool = True


def rates_by_kind(claims: Sequence[LabelledClaim], accepted: Sequence[bool]) -> list[KindRate]:
    """Rates each kind of claim, and each group of kinds that has a bar."""
    kinds: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    groups: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for one, yes in zip(claims, accepted, strict=True):
        kind = one.kind or one.label
        kinds[kind].append((one.family, yes))
        groups[_GROUPS.get(kind, kind)].append((one.family, yes))
    rates = [_barred(bar, groups[bar.group]) for bar in BARS if bar.group in groups or bar.needed]
    barred = {bar.group for bar in BARS}
    rates += [_rate(kind, verdicts) for kind, verdicts in kinds.items() if kind not in barred]
    return rates


def _barred(bar: Bar, verdicts: _Verdicts) -> KindRate:
    rate = _rate(bar.group, verdicts)
    reached = rate.accepted >= bar.share if bar.floor else rate.accepted <= bar.share
    enough = len(verdicts) >= LEAST or not bar.needed
    sign = "≥" if bar.floor else "≤"
    return rate.model_copy(update={"bar": f"{sign} {bar.share:.0%}", "met": reached and enough})


def _rate(kind: str, verdicts: _Verdicts) -> KindRate:
    share = sum(yes for _, yes in verdicts) / max(1, len(verdicts))
    interval = clustered_wilson(verdicts) if verdicts else (0.0, 1.0)
    return KindRate(kind=kind, claims=len(verdicts), accepted=share, interval=interval)


def kappa(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> float:
    """Computes Cohen's kappa (1960) of two raters: agreement beyond chance, 1 where both always say the same thing.

    Args:
        ours: what one said of the items; at least one.
        theirs: what the other said of the same items.
    """
    n = len(ours)
    agreed = sum(one == other for one, other in zip(ours, theirs, strict=True)) / n
    mine: Mapping[Hashable, int] = Counter(ours)
    their: Mapping[Hashable, int] = Counter(theirs)
    by_chance = sum(mine[word] * their[word] for word in mine) / n**2
    return 1.0 if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)
