"""Audits of one cell on several machines: what is paired, and what is said of the machine."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from assay.core.record import AuditRow, GradeRow
from assay.studies.effects.machines import across_machines
from assay.studies.effects.scores import ScoredAudit, join

ONE, OTHER = "A processor · AMX · bfloat16", "A processor · AVX512_CORE · float32"


def on(machine: str, audit: AuditRow, grade: GradeRow) -> tuple[AuditRow, GradeRow]:
    """The same cell played on a machine: another run key."""
    key = f"{machine} {audit.run_key}"
    return replace(audit, machine=machine, run_key=key), replace(grade, run_key=key)


def played(rows: SimpleNamespace, hits: dict[str, list[list[float]]], families: int = 6) -> list[ScoredAudit]:
    """Machine → seed → hit on each organism."""
    made: list[tuple[AuditRow, GradeRow]] = []
    for machine, by_seed in hits.items():
        for seed, values in enumerate(by_seed):
            for alias, hit in zip(rows.organisms[:families], values, strict=True):
                made.append(
                    on(machine, rows.audit("chat", alias, seed, findings=1), rows.grade("chat", alias, seed, hit=hit))
                )
    roles = dict.fromkeys(rows.organisms, "organism")
    named = {alias: f"family {alias}" for alias in rows.organisms}
    return join([audit for audit, _ in made], [grade for _, grade in made], roles, named)


def test_machines_that_agree_have_no_part_in_the_variance(rows: SimpleNamespace) -> None:
    same = [[1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0, 0.0, 0.0]]
    found = across_machines(played(rows, {ONE: same, OTHER: same}))
    assert (found.cells, found.machines) == (12, tuple(sorted((ONE, OTHER))))
    assert found.disagree is not None and found.disagree.value == 0.0 and found.disagree.interval[0] == 0.0
    assert found.repeated is not None and found.repeated.value == 1.0
    assert [share.source for share in found.variance] == ["family", "seed", "machine"]
    other = [[0.0, 1.0, 1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]]
    parted = across_machines(played(rows, {ONE: same, OTHER: other}))
    assert parted.disagree is not None and parted.disagree.value == pytest.approx(4 / 12)
    assert parted.repeated is not None and parted.repeated.value == pytest.approx(8 / 12)
    assert parted.variance[-1].share > found.variance[-1].share


def test_what_one_machine_alone_audited_says_nothing(rows: SimpleNamespace) -> None:
    hits = [[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    alone = across_machines(played(rows, {ONE: hits}))
    assert (alone.cells, alone.machines, alone.disagree, alone.repeated, alone.variance) == (0, (), None, None, ())
    unnamed = across_machines(played(rows, {"": hits, ONE: hits}))  # audits that do not say what made them
    assert unnamed.cells == 0
    assert across_machines([]).cells == 0


def test_an_audit_is_paired_with_its_own_cell_only(rows: SimpleNamespace) -> None:
    audit = rows.audit("chat", rows.organisms[0], 0, findings=1)
    grade = rows.grade("chat", rows.organisms[0], 0, hit=1.0)
    others = [replace(audit, kit="chat+search"), replace(audit, seed=1), replace(audit, auditor="another@1")]
    others.append(replace(audit, alias=rows.organisms[1]))
    pairs = [on(ONE, audit, grade), *(on(f"{OTHER} {number}", other, grade) for number, other in enumerate(others))]
    roles = dict.fromkeys(rows.organisms, "organism")
    scored = join([one for one, _ in pairs], [one for _, one in pairs], roles, dict.fromkeys(rows.organisms, "f"))
    assert across_machines(scored).cells == 0
    again = on(OTHER, audit, grade)
    twice = [*pairs, again, (replace(again[0], run_key="z"), replace(again[1], run_key="z"))]
    scored = join([one for one, _ in twice], [one for _, one in twice], roles, dict.fromkeys(rows.organisms, "f"))
    assert across_machines(scored).cells == 1
