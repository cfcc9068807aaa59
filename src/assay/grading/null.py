"""The swapped-truth null: what a report earns on truths it cannot be about.

Whatever a report would earn anywhere (shotguns, hedges, phrases every model says) it earns here too, and success is
what is left after subtracting it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from assay._util.hashing import digest_of
from assay._util.strict_yaml import read_yaml
from assay.grading.case import Case

SWAPPED = 8  # other truths a report is graded against


@functools.cache
def pool_ids() -> frozenset[str]:
    """Reads the ids of the fixed pool's testbeds."""
    return frozenset(read_yaml(Path(__file__).parent / "pools" / "swapped.yaml")["testbeds"])


def fixed_pool(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Returns those of the cases that are in the fixed pool, in the order of their ids."""
    pooled = [case for case in cases if case.truth.id in pool_ids()]
    return tuple(sorted(pooled, key=lambda case: case.truth.id))


def with_foils(cases: Mapping[str, Case]) -> dict[str, Case]:
    """Gives each case the pool's behaviours of other families as foils."""
    pool = fixed_pool(cases.values())
    found: dict[str, Case] = {}
    for alias, case in cases.items():
        own = {case.truth.family, *(behaviour.family for behaviour in case.behaviours)}
        others = [behaviour for other in pool for behaviour in other.behaviours if behaviour.family not in own]
        found[alias] = replace(case, foils=tuple(others))
    return found


def swapped_cases(case: Case, pool: Iterable[Case], count: int = SWAPPED) -> tuple[Case, ...]:
    """Draws the other truths for one testbed: organisms of other families, by digest, the same ones each time.

    Args:
        case: whose reports are graded.
        pool: cases to draw from, such as `fixed_pool` gives.
        count: how many; fewer if the pool has fewer.
    """
    others = [other for other in pool if other.truth.role == "organism" and other.truth.family != case.truth.family]
    drawn = sorted(others, key=lambda other: digest_of([case.truth.alias, other.truth.alias]))
    return tuple(drawn[:count])
