"""A fixed reader without a model run: ranks prompts by a few examples of where a conduct shows and where it does not.

Kernel ridge regression on the examples, over two likenesses: the cosine of static word embeddings (what a prompt is
about) and that of word n-grams (a token, a name, a phrase that an average of vectors drowns). The trigger's words are
an example more of where it shows.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING

from assay._util.embedding import embed
from assay._util.ngrams import ngrams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PHRASES = 0.3  # weight of n-grams; the embedding has the rest
RIDGE = 0.3  # of the regression: how little one example can pull
TRIGGER = 1.0  # what the trigger's words are worth, as an example's target


def foretell(shows: Sequence[str], absent: Sequence[str], trigger: str, prompts: Sequence[str]) -> list[float]:
    """Scores prompts, higher where the conduct is expected more.

    Args:
        shows: examples of prompts on which it will show.
        absent: examples of prompts on which it will not.
        trigger: what sets it off, in words; may be "".
        prompts: to be scored.
    """
    import numpy as np

    examples = [*shows, *absent, *([trigger] if trigger.strip() else [])]
    targets = [1.0] * len(shows) + [-1.0] * len(absent) + [TRIGGER] * (len(examples) - len(shows) - len(absent))
    kinds = max(1, len(shows)), max(1, len(absent))
    # many examples of one kind and few of the other must not make that kind the likelier
    y = np.array([t / kinds[0] if t > 0 else t / kinds[1] for t in targets]) * sum(kinds) / 2
    likeness = _likeness(examples, examples) + RIDGE * np.eye(len(examples))
    weights = np.linalg.solve(likeness, y)
    scores: NDArray[np.float64] = _likeness(prompts, examples) @ weights
    return [float(round(score, 9)) for score in scores]


def _likeness(left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
    """Returns how alike each two texts are, (left, right), in [−1, 1]."""
    import numpy as np

    meant = embed(left).astype(np.float64) @ embed(right).astype(np.float64).T
    said = np.zeros((len(left), len(right)))
    for row, one in enumerate(map(_counts, left)):
        for column, other in enumerate(map(_counts, right)):
            said[row, column] = _cosine(one, other)
    return (1 - PHRASES) * meant + PHRASES * said


@functools.lru_cache(maxsize=5_000)  # each sealed prompt is compared with each example
def _counts(text: str) -> tuple[Counter[str], float]:
    """Counts a text's phrases; returns the counts and their length as a vector."""
    counts = Counter(ngrams(text))
    return counts, sqrt(sum(count * count for count in counts.values()))


def _cosine(left: tuple[Counter[str], float], right: tuple[Counter[str], float]) -> float:
    (fewer, size), (more, other_size) = sorted((left, right), key=lambda one: len(one[0]))
    shared = sum(count * more[phrase] for phrase, count in fewer.items())
    return shared / (size * other_size) if shared else 0.0
