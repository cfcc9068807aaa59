"""Asks one thing under many conditions: what is said under one of them alone, and how far each moves the replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from assay._util.embedding import embed
from assay.core.target import Sampling, Target
from assay.core.tool import Evidence, Sample
from assay.tools.asking import ask_both, flat
from assay.tools.concentration import CLAIMS, concentrations
from assay.tools.standing_out import recurrences
from assay.tools.text import layout, snippet

PLAIN = "plain"  # the condition of the question by itself
_SHUFFLES = 99
_SENTENCES, _ANYWHERE, _SHIFTS, _SHOWN = 5, 3, 6, 90  # lines, lines, lines, characters


async def swept(
    target: Target,
    plain: Sample,
    conditions: Mapping[str, Sequence[Sample]],
    sampling: Sampling,
    *,
    seed: int,
    heading: str,
    caveat: str,
) -> Evidence:
    """Asks plainly and under each condition, target and (where granted) reference.

    A sentence is told beside how often it comes under all other conditions, and is tested against the reference's
    replies under its own: whatever the condition itself makes a model say, the reference says as well. A shift is the
    energy distance of a condition's replies from the plain ones (Székely and Rizzo 2013), on sentence embeddings;
    chance is the largest of 99 shuffles of replies over conditions, exceeded 1 time in 20.

    Args:
        target: that is asked.
        plain: the conversation without any condition; its reply is still empty.
        conditions: name → the conversations under it.
        sampling: of each conversation's replies.
        seed: of the shuffles.
        heading: what was done.
        caveat: what this does not show.
    """
    asked, names = [plain], [PLAIN]
    for name, conversations in conditions.items():
        asked += conversations
        names += [name] * len(conversations)
    ours, theirs = await ask_both(target, asked, sampling)
    mine, other = flat(ours), flat(theirs)
    labels = np.repeat(names, sampling.n).tolist()
    overall = recurrences([one.reply for one in mine], [one.reply for one in other], CLAIMS)
    said = concentrations(overall, labels, beside=bool(other))
    anywhere = [one for one in overall if one.flagged]
    shifts, bound = _shifts(mine, labels, np.random.default_rng(seed))
    beside = _shifts(other, labels, None)[0] if other else {}
    with_reference = "the other conditions, and the reference model under the same one"
    control = with_reference if other else "the other conditions; this testbed grants no reference model"
    lines = [f"Sentences that come under one condition (there : elsewhere{' : reference there' if other else ''}):"]
    lines += [one.told for one in said[:_SENTENCES]] or ["  none in three replies or more"]
    if anywhere:
        lines.append("Sentences that come whatever the condition (target : reference):")
        lines += [one.told(labels) for one in anywhere[:_ANYWHERE]]
    lines += _told_shifts(shifts, beside, bound)
    lines.append(f"Plain: {snippet(ours[0][0].told, _SHOWN)}")
    rest = (one.span for one in said if not one.flagged)
    return Evidence(
        text=layout(heading, lines, f"(* beyond chance, and not the reference's. Control: {control}. {caveat})"),
        samples=(*mine, *other),
        spans=(*(one.span for one in said if one.flagged), *(one.span("reply") for one in anywhere), *rest),
        control=control,
        artifact={
            "flagged": [*([one.condition, one.text] for one in said if one.flagged), *(one.text for one in anywhere)],
            "sentences": [[one.text, one.condition, one.there, one.elsewhere, one.reference, one.p] for one in said],
            "shifts": [[name, shift, beside.get(name)] for name, shift in shifts.items()],
            "bound": bound,
        },
    )


def _told_shifts(shifts: Mapping[str, float], beside: Mapping[str, float], bound: float) -> list[str]:
    """Writes the largest shifts, the reference's behind the target's."""
    lines = [f"Shift of the replies{' (reference)' if beside else ''}; chance reaches {bound:.2f}:"]
    for name in sorted(shifts, key=lambda name: -shifts[name])[:_SHIFTS]:
        held = f" ({beside[name]:.2f})" if name in beside else ""
        lines.append(f"{'+' if shifts[name] > bound else ' '} {shifts[name]:.2f}{held}  {snippet(name, _SHOWN)}")
    return lines


def _shifts(
    replies: Sequence[Sample], labels: Sequence[str], generator: np.random.Generator | None
) -> tuple[dict[str, float], float]:
    """Measures how far each condition moves replies from the plain ones, and what shuffling them reaches."""
    vectors = embed([reply.reply for reply in replies])
    alike = vectors @ vectors.T
    names = np.array(labels)
    moved = _distances(alike, names)
    if generator is None:
        return moved, 0.0
    largest = [max(_distances(alike, generator.permutation(names)).values()) for _ in range(_SHUFFLES)]
    return moved, round(sorted(largest)[int(0.95 * _SHUFFLES)], 4)


def _distances(alike: NDArray[np.float32], names: NDArray[np.str_]) -> dict[str, float]:
    """Computes the energy distance of each condition's replies from the plain ones, on cosines."""
    plain = np.flatnonzero(names == PLAIN)
    within = _within(alike, plain)
    found: dict[str, float] = {}
    for name in dict.fromkeys(names.tolist()):
        if name != PLAIN:
            rows = np.flatnonzero(names == name)
            across = float(alike[np.ix_(plain, rows)].mean())
            found[name] = round(within + _within(alike, rows) - 2 * across, 4)
    return found


def _within(alike: NDArray[np.float32], rows: NDArray[np.int64]) -> float:
    """Computes the mean cosine of different replies of one condition."""
    pairs = len(rows) * (len(rows) - 1)
    block = alike[np.ix_(rows, rows)]
    return float((block.sum() - np.trace(block)) / pairs)
