"""Groups texts that say the same, by what they mean; the same groups in any order, no number of them to choose."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay._util.embedding import embed

ONE_MEANING = 0.6  # cosine of static embeddings from which two texts count as saying the same
_LEAST_WORDS = 4  # of a sentence: of shorter ones the embedding tells next to nothing


@dataclass(frozen=True, slots=True)
class TextCluster:
    """Texts that say the same.

    Attributes:
        centre: position of the text that is most like the others.
        members: positions of all, in order.
    """

    centre: int
    members: tuple[int, ...]


def sentences_of(text: str) -> list[str]:
    """Splits a text into its sentences of four words or more."""
    parts = [" ".join(part.split()) for part in re.split(r"(?<=[.!?])\s+|\n+", text)]
    return [part for part in parts if len(part.split()) >= _LEAST_WORDS]


def clusters(texts: Sequence[str], near: float = ONE_MEANING) -> list[TextCluster]:
    """Clusters texts, the largest cluster first.

    After Butina (1999): the text with the most others within `near` takes them, and so on with what is left. So every
    member is like its centre, and no chain of small steps joins what is unlike.

    Args:
        texts: equal ones, white space and case aside, are one.
        near: least cosine to the centre.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for position, text in enumerate(texts):
        places[" ".join(text.split()).casefold()].append(position)
    # By their text: where two centres would do equally well, whose text comes first must not decide.
    held = [places[text] for text in sorted(places)]
    if not held:
        return []
    vectors = embed([texts[positions[0]] for positions in held])
    alike = vectors @ vectors.T >= near
    np.fill_diagonal(alike, True)  # a text without any known word has no direction, and is like itself alone
    counts = np.array([len(positions) for positions in held])
    free = np.ones(len(held), dtype=bool)
    found: list[TextCluster] = []
    while free.any():
        reach = alike @ np.where(free, counts, 0)
        centre = int(np.where(free, reach, 0).argmax())
        taken = np.flatnonzero(alike[centre] & free)
        members: list[int] = []
        for index in taken:
            members += held[index]
        found.append(TextCluster(held[centre][0], tuple(sorted(members))))
        free[taken] = False
    return sorted(found, key=lambda cluster: (-len(cluster.members), cluster.centre))
