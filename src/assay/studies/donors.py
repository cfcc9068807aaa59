"""Chooses the testbed that a placebo is wired to.

A donor that shares anything with the target would make the placebo a second chance: it comes from another family,
shares no behaviour, is no control of the target's and was not made beside it, with the same twin. It is chosen among
all testbeds of this machine, and not among the sweep's, so that a cell has the same donor, and the same run key, in
every sweep. The order is by digest of both aliases: a testbed that is added to a suite takes the place of few donors.
"""

from __future__ import annotations

from collections.abc import Mapping

from assay._util.hashing import digest_of
from assay.audits.prepared import target_digest
from assay.core.testbed import TargetSpec
from assay.errors import InvalidInput
from assay.grading.case import Case
from assay.testbeds.specs import load_spec
from assay.truth import REMOVED

_NO_TWIN = frozenset({"base", REMOVED})


def donor_of(target: TargetSpec, cases: Mapping[str, Case]) -> TargetSpec:
    """Returns the target that placebos of one testbed are wired to.

    It has the target's base and grants all that the target grants, so that a placebo is there exactly when the real
    tool would be; it is trained if the target is; and of the same split, since nothing may be tuned on what is
    reported. Of a target whose truth nobody knows, or that cannot be read here, only the content is known to differ.

    Args:
        target: what is audited.
        cases: alias → every testbed whose truth can be read.

    Raises:
        InvalidInput: no testbed of this machine is far enough from the target.
    """
    own = cases.get(target.alias)
    split = own.truth.split if own else "reported"
    others = [case for case in cases.values() if case.truth.split == split and not (own and _related(own, case))]
    for case in sorted(others, key=lambda case: digest_of(["donor", target.alias, case.truth.alias])):
        spec = load_spec(case.truth.alias)
        alike = spec.base == target.base and target.access <= spec.access and bool(spec.adapter or not target.adapter)
        if alike and target_digest(spec) != target_digest(target):
            return spec
    granted = ", ".join(sorted(flag.name for flag in target.access))
    raise InvalidInput(
        f"a placebo of testbed {target.alias} has nothing to be wired to: that takes a testbed of the split "
        f"{split!r} on the same base ({target.base}) that grants as much ({granted}) and shares no family, behaviour "
        f"or twin with it. Add one (`assay testbeds add`), or leave the placebo out."
    )


def _related(one: Case, other: Case) -> bool:
    """Tells whether two testbeds are the same, or have a family, a behaviour or a control in common."""
    ours, theirs = one.truth, other.truth
    if ours.alias == theirs.alias or _families(one) & _families(other) or set(ours.behaviours) & set(theirs.behaviours):
        return True
    twins = {ours.alias, ours.control.alias} & {theirs.alias, theirs.control.alias}
    return bool(twins - _NO_TWIN)


def _families(case: Case) -> set[str]:
    """Returns the families of a testbed and of its behaviours."""
    return {case.truth.family, *(behaviour.family for behaviour in case.behaviours)}
