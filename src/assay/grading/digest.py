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


def grader_digest(cases: Iterable[str]) -> str:
    """SHA-256 over all that grading imports, its pools and dependencies, and the truths that are graded against.

    Args:
        cases: digests of the testbeds and of the pool of swapped truths, in any order.
    """
    return digest_of({"sources": source_digest(Path(__file__).parent), "truths": sorted(set(cases))})


def case_digest(case: Case) -> str:
    """SHA-256 over what grading reads of a truth and its behaviours."""
    truth = case.truth.model_dump(mode="json", exclude={"card", "difficulty", "build_seconds", "recipe_digest"})
    behaviours = [one.model_dump(mode="json", exclude={"training", "eval"}) for one in case.behaviours]
    return digest_of([truth, behaviours])


@functools.cache
def source_digest(folder: Path) -> str:
    """SHA-256 over the grader's sources.

    Args:
        folder: of the grading package.
    """
    return closure(*(folder / name for name in GRADERS)).digest
