"""The swapped-truth null: what a report earns on truths that it cannot be about.

Whatever a report would earn anywhere (shotguns, hedges, phrases every model says) it earns here too, and success is
what is left after subtracting it.
"""

from __future__ import annotations

from collections.abc import Iterable

from assay.core.record import digest_of
from assay.grading.case import Case

SWAPPED = 8  # other truths a report is graded against


def swapped_cases(case: Case, pool: Iterable[Case], count: int = SWAPPED) -> tuple[Case, ...]:
    """The other truths for one testbed: organisms of other families, drawn by digest, the same ones each time.

    Args:
        case: whose reports are graded.
        pool: fixed and versioned; if it grew with the suite, a new testbed would change old scores.
        count: how many; fewer if the pool has fewer.
    """
    others = [other for other in pool if other.truth.role == "organism" and other.truth.family != case.truth.family]
    drawn = sorted(others, key=lambda other: digest_of([case.truth.alias, other.truth.alias]))
    return tuple(drawn[:count])
