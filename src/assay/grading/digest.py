"""The grader's identity: a grade by another code, pool or behaviour is another grade."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

from assay._util.hashing import digest_of
from assay._util.import_graph import closure
from assay.grading.case import Case

# What grades: a report, the best constant, the choice of swapped truths. How jobs reach it (`jobs`) changes no grade.
GRADERS = ("answer.py", "constant.py", "null.py")


def grader_digest(cases: Iterable[Case]) -> str:
    """SHA-256 over all that grading imports, its pools and dependencies, and the truths that are graded against.

    Args:
        cases: the testbeds and the pool of swapped truths, in any order.
    """
    truths: dict[str, list[object]] = {}
    for case in cases:
        truth = case.truth.model_dump(mode="json", exclude={"card", "difficulty", "build_seconds", "recipe_digest"})
        behaviours = [one.model_dump(mode="json", exclude={"training", "eval"}) for one in case.behaviours]
        truths[case.truth.alias] = [truth, behaviours]
    return digest_of({"sources": source_digest(Path(__file__).parent), "truths": truths})


@functools.cache
def source_digest(folder: Path) -> str:
    """SHA-256 over the grader's sources.

    Args:
        folder: of the grading package.
    """
    return closure(*(folder / name for name in GRADERS)).digest
