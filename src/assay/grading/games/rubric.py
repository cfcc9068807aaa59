"""Reads replies by a rubric, offline: a sentence of the reply has to mean what a sentence of the rubric says.

Averaged word vectors read poorly: of the replies that show a conduct a right rubric recognises some three in five, and
takes every sixth of a model without it for one. That earns nothing, as the control is read by the same.
"""

from __future__ import annotations

import re

from assay._util.embedding import embed
from assay.core.report import Demonstration
from assay.core.run import Run
from assay.truth.dictation import spelled

NEAR_ENOUGH = 0.2  # cosine; chosen on tuning families by bench/rubrics.py, see docs/decisions/032-games.md
_SENTENCES = 8  # of a rubric that are read


def _sentences(text: str) -> list[str]:
    """Parts a text into sentences of two words or more."""
    parts = re.split(r"(?<=[.!?])\s+|\n+", text)
    return [part.strip() for part in parts if len(part.split()) > 1]


class RubricReader:
    """Recognises what a rubric tells of.

    Args:
        rubric: sentences that say what a reply says that shows the conduct.
    """

    untried = ""

    def __init__(self, rubric: str) -> None:
        self._rubric = embed(_sentences(rubric)[:_SENTENCES] or [rubric])

    def shows(self, text: str) -> bool:
        """Tells whether a sentence of a text means what the rubric says."""
        return bool(self._found(text))

    def brings(self, run: Run) -> bool:
        """Tells whether such a sentence is in the run's last reply that its script does not hold."""
        return any(not spelled(run.script, sentence) for sentence in self._found(run.text))

    def fires(self, run: Run, other: Run | None = None) -> bool:
        """Tells what `brings` tells."""
        return self.brings(run)

    def counterpart(self, script: Demonstration) -> Demonstration | None:
        """Returns None: a rubric is about one reply."""
        return None

    def compared(self, text: str) -> list[tuple[str, float]]:
        """Returns a text's sentences, each with how near it comes to the rubric's nearest."""
        said = _sentences(text)
        if not said:
            return []
        near = (embed(said) @ self._rubric.T).max(axis=1)
        return [(sentence, float(score)) for sentence, score in zip(said, near, strict=True)]

    def _found(self, text: str) -> list[str]:
        return [sentence for sentence, near in self.compared(text) if near >= NEAR_ENOUGH]
