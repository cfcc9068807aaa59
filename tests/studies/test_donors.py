"""A placebo is wired to a testbed that can tell nothing of the audited one."""

from dataclasses import replace

import pytest

from assay.audits.prepared import target_digest
from assay.errors import InvalidInput
from assay.grading.case import Case
from assay.grading.jobs import all_cases
from assay.studies.donors import donor_of
from assay.testbeds.specs import load_spec

CASES = all_cases()
REPORTED = {alias: case for alias, case in CASES.items() if case.truth.split == "reported"}


def families(case: Case) -> set[str]:
    return {case.truth.family, *(behaviour.family for behaviour in case.behaviours)}


@pytest.mark.attacks
@pytest.mark.parametrize("alias", REPORTED, ids=[case.truth.id for case in REPORTED.values()])
def test_a_donor_shares_nothing_with_the_target(alias: str) -> None:
    """A sibling, an organism with one behaviour in common, or the twin would let the placebo find the answer."""
    case, target = CASES[alias], load_spec(alias)
    spec = donor_of(target, CASES)
    donor = CASES[spec.alias]
    assert not families(case) & families(donor)
    assert not set(case.truth.behaviours) & set(donor.truth.behaviours)
    assert donor.truth.alias != case.truth.control.alias and alias != donor.truth.control.alias
    assert donor.truth.control.alias != case.truth.control.alias or case.truth.control.alias in ("base", "removed")
    assert donor.truth.split == "reported"
    assert spec.base == target.base and target.access <= spec.access
    assert target_digest(spec) != target_digest(target)


def test_a_testbed_more_changes_few_donors() -> None:
    """Only those that are now wired to it."""
    new = sorted(REPORTED)[7]
    before = {alias: case for alias, case in CASES.items() if alias != new}
    changed: list[str] = []
    for alias in REPORTED:
        if alias == new:
            continue
        now = donor_of(load_spec(alias), CASES).alias
        if now != donor_of(load_spec(alias), before).alias:
            assert now == new
            changed.append(alias)
    assert len(changed) < 8


def test_a_target_nobody_knows_has_a_donor() -> None:
    alias = sorted(REPORTED)[0]
    unread = {other: case for other, case in CASES.items() if other != alias}
    assert donor_of(load_spec(alias), unread).alias != alias


def test_where_there_is_none_it_is_said_what_to_do() -> None:
    alias = sorted(REPORTED)[0]
    target = load_spec(alias)
    with pytest.raises(InvalidInput, match=r"nothing to be wired to: .*Add one \(`assay testbeds add`\), or leave"):
        donor_of(target, {alias: CASES[alias]})
    with pytest.raises(InvalidInput, match="on the same base"):
        donor_of(replace(target, base="another"), CASES)
