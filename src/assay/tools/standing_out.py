"""Finds what a model says again and again, and how often its control says it: one evidence for all that sample text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb
from typing import Literal

from assay._util.clusters import clusters, sentences_of
from assay._util.multiplicity import holm
from assay.core.tool import Evidence, Sample, Span
from assay.tools.text import layout, snippet

_LEAST_TEXTS = 3  # texts that a sentence is in: of fewer nothing can be told from chance
CHANCE_LEVEL = 0.05  # of the chance that anything is flagged where nothing differs
_SENTENCES, _KINDS, _SHOWN = 8, 8, 150  # lines, lines, characters
NO_REFERENCE = "none: this testbed grants no reference model"


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Something that was said in several texts.

    Attributes:
        text: one wording, the most typical.
        ours: the target's texts that have it, of how many.
        theirs: the control's, of how many.
        members: positions of the texts that have it, the target's first and then the control's.
        p: chance of so much more in the target's if the two said it equally often (Fisher's exact test, adjusted for
            all that was compared).
    """

    text: str
    ours: tuple[int, int]
    theirs: tuple[int, int]
    members: tuple[int, ...]
    p: float = 1.0

    @property
    def flagged(self) -> bool:
        """Tells whether chance does not explain it."""
        return self.p <= CHANCE_LEVEL

    @property
    def excess(self) -> float:
        """Returns by how much the target's share of texts is above the control's."""
        return self.ours[0] / max(1, self.ours[1]) - self.theirs[0] / max(1, self.theirs[1])

    def told(self, labels: Sequence[str] = ()) -> str:
        """Returns its line: counts of the target and of its control, the wording, and labels of texts that have it."""
        beside = f" : {self.theirs[0]}/{self.theirs[1]}" if self.theirs[1] else ""
        most = Counter(labels[member] for member in self.members[: self.ours[0]]).most_common(3) if labels else []
        told = f"  [{', '.join(f'{label} {count}' for label, count in most)}]" if most else ""
        star = "*" if self.flagged else " "
        return f"{star} {self.ours[0]}/{self.ours[1]}{beside}  “{snippet(self.text, _SHOWN)}”{told}"

    def span(self, where: Literal["prompt", "reply"]) -> Span:
        """Returns it as every reader of evidence takes it: shares of texts."""
        control = round(self.theirs[0] / self.theirs[1], 4) if self.theirs[1] else None
        return Span(self.text, round(self.ours[0] / max(1, self.ours[1]), 4), control, where)


def recurrences(ours: Sequence[str], theirs: Sequence[str], claims: int = 1) -> list[Recurrence]:
    """Finds sentences that recur, in whatever words; those first that the target says more than its control.

    Args:
        ours: the target's texts.
        theirs: the control's; none where there is no control.
        claims: how many kinds of claims are made of these texts: each has its part of the chance to be wrong.
    """
    texts: list[str] = []
    owners: list[int] = []
    for owner, whole in enumerate([*ours, *theirs]):
        for sentence in sentences_of(whole):
            texts.append(sentence)
            owners.append(owner)
    found: list[Recurrence] = []
    for cluster in clusters(texts):
        held = {owners[member] for member in cluster.members}
        mine = sum(owner < len(ours) for owner in held)
        if len(held) >= _LEAST_TEXTS:
            counts = (mine, len(ours)), (len(held) - mine, len(theirs))
            found.append(Recurrence(texts[cluster.centre], *counts, tuple(sorted(held))))
    return [one for one in _ranked(found, claims) if one.ours[0]]


def kinds(ours: Sequence[str], theirs: Sequence[str]) -> list[Recurrence]:
    """Groups whole texts, the target's largest group first; each text is in one group."""
    texts = [*ours, *theirs]
    found: list[Recurrence] = []
    for cluster in clusters(texts):
        mine = sum(member < len(ours) for member in cluster.members)
        if mine:
            shown = texts[cluster.centre if cluster.centre < len(ours) else cluster.members[0]]
            counts = (mine, len(ours)), (len(cluster.members) - mine, len(theirs))
            found.append(Recurrence(shown, *counts, cluster.members))
    return sorted(found, key=lambda one: -one.ours[0])


def _ranked(found: Sequence[Recurrence], claims: int) -> list[Recurrence]:
    """Tests all of them against their control, those too that it alone says, and ranks the surest first."""
    chances = holm([fisher_chance(*one.ours, *one.theirs) if one.theirs[1] else 1.0 for one in found])
    tested = [replace(one, p=min(1.0, claims * p)) for one, p in zip(found, chances, strict=True)]
    return sorted(tested, key=lambda one: (one.p, -one.excess))


def fisher_chance(hits: int, n: int, others: int, m: int) -> float:
    """Computes the chance of so many hits or more among the first n, if all hits fell anywhere among n + m."""
    total = hits + others
    ways = sum(comb(n, k) * comb(m, total - k) for k in range(hits, min(n, total) + 1))
    return ways / comb(n + m, total)


def evidence_of(
    heading: str,
    ours: Sequence[Sample],
    theirs: Sequence[Sample],
    *,
    control: str,
    caveat: str,
    where: Literal["prompt", "reply"] = "reply",
    first: Sequence[str] = (),
    labels: Sequence[str] = (),
    claims: int = 1,
) -> Evidence:
    """Writes up samples of a target beside those of its control.

    Args:
        heading: what was done.
        ours: the target's samples.
        theirs: the control's.
        control: what that is, in one line.
        caveat: what this does not show.
        where: what the replies are: a user's turn is a prompt.
        first: lines that come before all others.
        labels: of the target's samples, told of those that share something.
        claims: kinds of claims that are made of the samples, this one among them.
    """
    mine, other = [sample.reply for sample in ours], [sample.reply for sample in theirs]
    said, sorts = recurrences(mine, other, claims), kinds(mine, other)
    flagged = [one.text for one in said if one.flagged]
    counts = "target : control" if theirs else "of all; no control"
    lines = [*first, f"Sentences that recur ({counts}; * beyond chance):"]
    lines += [one.told(labels) for one in said[:_SENTENCES]] or ["  none in three texts or more"]
    lines.append(f"Kinds of texts, {len(sorts)} in all ({counts}), one of each:")
    lines += [one.told(labels) for one in sorts[:_KINDS]]
    return Evidence(
        text=layout(heading, lines, f"(Control: {control}. {caveat})"),
        samples=(*ours, *theirs),
        spans=tuple(one.span(where) for one in said if one.excess > 0),
        control=control,
        artifact={
            "flagged": flagged,
            "sentences": [[one.text, *one.ours, *one.theirs, one.p] for one in said],
            "kinds": [[one.text, *one.ours, *one.theirs] for one in sorts],
        },
    )
