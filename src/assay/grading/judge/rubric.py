"""Reads rubrics, the Markdown files that judges are instructed by; a file's name is its id, `name@version`.

A rubric that was used is not changed: whatever was validated was so with its words. A change is a new version.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from assay._util.hashing import digest_of
from assay._util.text_files import read_text

CLAIM, REPLY, FORETELL = "claim@1", "reply@1", "foretell@1"


@dataclass(frozen=True, slots=True)
class Rubric:
    """What a judge is told.

    Attributes:
        id: `name@version`.
        text: of its file.
    """

    id: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of id and text."""
        return digest_of([self.id, self.text])


@functools.cache
def rubric(id: str) -> Rubric:
    """Reads a rubric of this package by its id."""
    return Rubric(id, read_text(Path(__file__).parent / "rubrics" / f"{id}.md").strip())
