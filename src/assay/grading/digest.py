"""The grader's identity: a grade by another code, pool or behaviour is another grade."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

from assay._util.hashing import digest_of
from assay.grading.case import Case

_ELSEWHERE = (
    "core/report.py",
    "core/run.py",
    "core/target.py",
    "_util/proportions.py",
)


def grader_digest(cases: Iterable[Case]) -> str:
    """SHA-256 over the grading sources and pools, the reader's version, and all truths graded against.

    Args:
        cases: the testbeds and the pool of swapped truths, in any order.
    """
    truths = {
        case.truth.alias: [
            case.truth.model_dump(mode="json", exclude={"card", "difficulty", "build_seconds", "recipe_digest"}),
            [behaviour.model_dump(mode="json", exclude={"training", "eval"}) for behaviour in case.behaviours],
        ]
        for case in cases
    }
    return digest_of({"sources": _sources(), "wordllama": version("wordllama"), "truths": truths})


@functools.cache
def _sources() -> list[list[str]]:
    package = files("assay")
    sources = [*_files(package / "grading"), *_files(package / "truth"), *(package / name for name in _ELSEWHERE)]
    return sorted([source.name, hashlib.sha256(source.read_bytes()).hexdigest()] for source in sources)


def _files(folder: Traversable) -> list[Traversable]:
    found: list[Traversable] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _files(entry)
        elif entry.name.endswith((".py", ".yaml")):
            found.append(entry)
    return found
