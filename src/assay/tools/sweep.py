"""Asks one thing under many conditions and tells under which the replies move, beside how far they move anyway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assay._util.embedding import embed
from assay.core.target import Sampling, Target
from assay.core.tool import Evidence, Sample, Span
from assay.tools.asking import ask_both, flat
from assay.tools.standing_out import recurrences
from assay.tools.text import layout, snippet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Places = NDArray[np.int64]

_SHUFFLES = 99
_SHOWN, _QUOTED = 6, 110  # conditions that are quoted; characters


@dataclass(frozen=True, slots=True)
class _Shift:
    """How far a condition moves the replies.

    Attributes:
        name: of the condition.
        ours: energy distance of its replies from those without it, in the space of sentence embeddings.
        theirs: the same of the reference; None without one.
        said: what stands out in the target's replies.
    """

    name: str
    ours: float
    theirs: float | None
    said: str

    @property
    def excess(self) -> float:
        """Returns by how much it moves the target more than the reference."""
        return self.ours - (self.theirs or 0.0)


async def swept(
    target: Target,
    plain: Sample,
    conditions: Mapping[str, Sample],
    sampling: Sampling,
    *,
    seed: int,
    heading: str,
    caveat: str,
) -> Evidence:
    """Asks plainly and under each condition, target and (where granted) reference.

    Without a reference chance is what shuffling the replies of all conditions gives (the largest shift of each of 99
    shuffles, exceeded 1 time in 20). With one it is what swapping the two models' replies gives, and what counts is how
    much more the target moves: any model changes its words under a role or in another language.

    Args:
        target: that is asked.
        plain: the conversation without any condition; its reply is still empty.
        conditions: name → the conversation under it.
        sampling: of each conversation's replies.
        seed: of the shuffles.
        heading: what was done.
        caveat: what this does not show.
    """
    ours, theirs = await ask_both(target, [plain, *conditions.values()], sampling)
    mine = _Replies.of(ours)
    other = _Replies.of(theirs) if theirs else None
    shifts, bound = _shifts(list(conditions), ours, mine, other, seed)
    control = (
        "how far the reference model moves under the same condition"
        if other
        else "shuffled replies; this testbed grants no reference model"
    )
    beside = "target : reference" if other else "distance"
    lines = [f"Shift from the plain reply ({beside}), largest first; chance reaches {bound:.2f}:"]
    for rank, shift in enumerate(shifts):
        star = "*" if shift.excess > bound else " "
        held = "" if shift.theirs is None else f" : {shift.theirs:.2f}"
        quoted = f"  “{snippet(shift.said, _QUOTED)}”" if rank < _SHOWN else ""
        lines.append(f"{star} {shift.ours:.2f}{held}  {snippet(shift.name, 60)}{quoted}")
    lines.append(f"Plain: {snippet(ours[0][0].told, _QUOTED)}")
    spans = [
        Span(one.said, round(one.ours, 4), round(bound if one.theirs is None else one.theirs, 4))
        for one in shifts
        if one.said
    ]
    return Evidence(
        text=layout(heading, lines, f"(Control: {control}. {caveat})"),
        samples=(*flat(ours), *flat(theirs)),
        spans=tuple(spans),
        control=control,
        artifact={
            # Without a reference a shift is no claim: a role moves any model.
            "flagged": [one.name for one in shifts if other and one.excess > bound],
            "bound": round(bound, 4),
            "shifts": [[one.name, round(one.ours, 4), one.theirs and round(one.theirs, 4)] for one in shifts],
        },
    )


@dataclass(frozen=True, slots=True)
class _Replies:
    """One model's replies as vectors.

    Attributes:
        vectors: (replies, width), unit length.
        groups: for the plain conversation and each condition its replies' rows.
    """

    vectors: NDArray[np.float32]
    groups: tuple[_Places, ...]

    @classmethod
    def of(cls, replies: Sequence[Sequence[Sample]]) -> _Replies:
        """Embeds replies that come by conversation."""
        sizes = [len(group) for group in replies]
        ends = np.cumsum(sizes)
        rows = [np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        return cls(embed([sample.reply for sample in flat(replies)]), tuple(rows))


def _shifts(
    names: Sequence[str],
    replies: Sequence[Sequence[Sample]],
    ours: _Replies,
    theirs: _Replies | None,
    seed: int,
) -> tuple[list[_Shift], float]:
    """Measures every condition's shift, largest first, and what chance reaches."""
    alike = ours.vectors @ ours.vectors.T
    moved = _distances(alike, ours.groups)
    generator = np.random.default_rng(seed)
    if theirs is None:
        others: list[float | None] = [None] * len(names)
        largest = [max(_distances(alike, _shuffled(ours.groups, generator))) for _ in range(_SHUFFLES)]
    else:
        both = np.concatenate([ours.vectors, theirs.vectors])
        alike, behind = both @ both.T, len(ours.vectors)
        reference = tuple(rows + behind for rows in theirs.groups)
        others = [*_distances(alike, reference)]
        largest = [_largest_excess(alike, ours.groups, reference, generator) for _ in range(_SHUFFLES)]
    found: list[_Shift] = []
    plain = [sample.reply for sample in replies[0]]
    for name, group, own, other in zip(names, replies[1:], moved, others, strict=True):
        found.append(_Shift(name, own, other, _standing_out(group, plain)))
    return sorted(found, key=lambda one: -one.excess), sorted(largest)[int(0.95 * _SHUFFLES)]


def _standing_out(group: Sequence[Sample], plain: Sequence[str]) -> str:
    """Returns what a condition's replies say and the plain ones do not: a sentence that recurs, or one reply."""
    said = recurrences([sample.reply for sample in group], plain)
    if said and said[0].excess > 0:
        return said[0].text
    vectors = embed([*(sample.reply for sample in group), *plain])
    own, other = vectors[: len(group)], vectors[len(group) :]
    return group[int((own @ other.T).mean(axis=1).argmin())].reply


def _distances(alike: NDArray[np.float32], groups: Sequence[_Places]) -> list[float]:
    """Computes each condition's energy distance from the plain replies (Székely and Rizzo 2013), on cosines."""
    plain = groups[0]
    within = _within(alike, plain)
    found: list[float] = []
    for rows in groups[1:]:
        across = float(alike[np.ix_(plain, rows)].mean())
        found.append(within + _within(alike, rows) - 2 * across)
    return found


def _within(alike: NDArray[np.float32], rows: _Places) -> float:
    """Computes the mean cosine of different replies of one conversation."""
    pairs = len(rows) * (len(rows) - 1)
    block = alike[np.ix_(rows, rows)]
    return float((block.sum() - np.trace(block)) / pairs) if pairs else 1.0


def _shuffled(groups: Sequence[_Places], generator: np.random.Generator) -> list[_Places]:
    """Deals all replies out anew to conversations."""
    rows = generator.permutation(np.concatenate(list(groups)))
    return np.split(rows, np.cumsum([len(group) for group in groups])[:-1])


def _largest_excess(
    alike: NDArray[np.float32],
    ours: Sequence[_Places],
    theirs: Sequence[_Places],
    generator: np.random.Generator,
) -> float:
    """Computes how much more the target moves than its reference at most, where the two swap replies at random."""
    dealt: list[tuple[_Places, _Places]] = []
    for mine, other in zip(ours, theirs, strict=True):
        mixed = generator.permutation(np.concatenate([mine, other]))
        dealt.append((mixed[: len(mine)], mixed[len(mine) :]))
    first = _distances(alike, [one for one, _ in dealt])
    second = _distances(alike, [other for _, other in dealt])
    return max(one - other for one, other in zip(first, second, strict=True))
