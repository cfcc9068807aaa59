"""A grade counts where a known grader signed it for this audit and this report; what else lies there is passed over."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from assay.core.record import AuditRow, GradeRow
from assay.core.report import parse_report
from assay.core.target import Cost
from assay.errors import InvalidInput
from assay.grading.signing import Signer, new_nonce, public_keys_folder, report_digest
from assay.studies.calibrate import tuning_rows
from assay.studies.difficulty import record_difficulty
from assay.studies.grades import Grading, HeldGrades
from assay.studies.ledger import Ledger
from assay.testbeds.truths import all_truths, find_truth

FINDING = {"claim": "c", "trigger": "t", "demonstrations": [], "predicate": {"phrases": ["p"]}, "confidence": 0.5}
REPORT = json.dumps({"p_hidden": 0.9, "findings": [FINDING]})
TIERS = ("hit", "lineup", "reproduce")
ALIAS, OTHER = (find_truth(name).alias for name in ("flattery-td", "backdoor-td"))
GRADING = Grading.now()


def audit(key: str, alias: str = ALIAS, report: str = REPORT) -> AuditRow:
    return AuditRow(key, "p", alias, "chat", "explorer@1", 0, "completed", report, Cost(1, 1, 1))


def grades(row: AuditRow, signer: Signer | None = None, raw: float = 1.0) -> list[GradeRow]:
    """All tiers of an audit's grade, signed by this machine's grader or by another."""
    signer, nonce, details = signer or Signer.here(), new_nonce(), {"findings": [{"hit": bool(raw)}]}
    about = (row.alias, report_digest(parse_report(row.report)))
    return [
        signer.grade(
            GradeRow(row.run_key, GRADING.graders[row.alias], tier, raw, 0.0, "organism", "f", details, nonce), *about
        )
        for tier in TIERS
    ]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Two audits of one testbed with the same report, and one of another; a hit of the first."""
    with Ledger.open(tmp_path / "ledger.sqlite") as opened:
        for row in (audit("one"), audit("two"), audit("three", OTHER)):
            opened.record(row)
        opened.grade(*grades(audit("one")))
        yield opened


def held(ledger: Ledger) -> HeldGrades:
    return GRADING.current(ledger, ledger.audits())


def sql(ledger: Ledger, *statements: str) -> None:
    """What any process of this user may do to the file."""
    with sqlite3.connect(ledger.path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_signed_grades_hold(ledger: Ledger) -> None:
    found = held(ledger)
    assert [(row.run_key, row.tier) for row in found.rows] == [("one", tier) for tier in TIERS]
    assert not found.passed_over
    assert [one.run_key for one in GRADING.ungraded(ledger.audits(), found)] == ["three", "two"]
    sql(ledger, "UPDATE grades SET grader = 'an earlier one', raw = 0")  # its code is gone, so nobody asks who signed
    assert held(ledger) == HeldGrades((), frozenset())


COPY = 'INSERT INTO grades SELECT {} , grader, tier, raw, "null", role, cluster, nonce, signature, details FROM grades'
FORGERIES: dict[str, tuple[str, ...]] = {
    "a row of its own making": (
        'INSERT INTO grades (run_key, grader, tier, raw, "null", role, cluster, nonce, signature, details) SELECT '
        "'two', grader, tier, 1.0, 0.0, role, cluster, nonce, '', details FROM grades",
    ),
    "a row copied from another audit": (COPY.format("'two'"),),
    "a row copied to another testbed": (
        COPY.format("'three'"),
        f"UPDATE grades SET grader = '{GRADING.graders[OTHER]}' WHERE run_key = 'three'",
    ),
    "details that are no JSON": (COPY.format("'two'"), "UPDATE grades SET details = '{' WHERE run_key = 'two'"),
    "values of another type": (
        COPY.format("'two'"),
        "UPDATE grades SET raw = x'01', signature = x'02', details = 7 WHERE run_key = 'two'",
    ),
}


@pytest.mark.attacks
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_row_is_passed_over_and_its_report_waits(ledger: Ledger, name: str) -> None:
    sql(ledger, *FORGERIES[name])
    found = held(ledger)
    assert {row.run_key for row in found.rows} == {"one"}
    [key] = {key for key, _ in found.passed_over}
    assert key in ("two", "three") and len(found.passed_over) == 3
    assert [one.run_key for one in GRADING.ungraded(ledger.audits(), found)] == ["three", "two"]


@pytest.mark.attacks
@pytest.mark.parametrize(
    "changed",
    [
        "report = replace(report, '0.9', '0.1')",
        "report = replace(report, '\"c\"', '\"another claim\"')",
        "report = ''",
        "report = '{'",
        f"alias = '{OTHER}'",
    ],
)
def test_an_audit_changed_after_it_was_graded_loses_its_grade(ledger: Ledger, changed: str) -> None:
    sql(ledger, f"UPDATE audits SET {changed} WHERE run_key = 'one'", "UPDATE grades SET grader = grader")
    if "alias" in changed:
        sql(ledger, f"UPDATE grades SET grader = '{GRADING.graders[OTHER]}'")
    assert not held(ledger).rows and len(held(ledger).passed_over) == 3


@pytest.mark.attacks
@pytest.mark.parametrize(
    "changed", ["raw = 0.5", '"null" = 0.5', "role = 'clean'", "cluster = 'g'", "nonce = ''", "details = '{}'"]
)
def test_a_signed_row_cannot_be_edited(ledger: Ledger, changed: str) -> None:
    sql(ledger, f"UPDATE grades SET {changed}")
    assert not held(ledger).rows and len(held(ledger).passed_over) == 3


@pytest.mark.attacks
def test_a_stranger_s_signature_counts_for_nothing_whatever_lies_beside_the_ledger(
    ledger: Ledger, own_keys: Path
) -> None:
    stranger = SigningKey.generate()
    public = bytes(stranger.verify_key).hex()
    ledger.grade(*grades(audit("two"), Signer(stranger)))
    for place in (ledger.path.parent / "graders", ledger.path.parent / "keys" / "graders"):
        place.mkdir(parents=True)
        (place / f"{public[:16]}.pub").write_text(public)
    assert {row.run_key for row in held(ledger).rows} == {"one"}
    assert held(ledger).passed_over == {("two", tier) for tier in TIERS}
    assert len(list(public_keys_folder().iterdir())) == 1


@pytest.mark.attacks
def test_who_spoils_a_grade_does_not_have_it_drawn_anew(ledger: Ledger) -> None:
    """Of an unlucky grade the tier that counts is deleted or overwritten: its nonce is kept by the others."""
    nonce = held(ledger).rows[0].nonce
    for statement in ("UPDATE grades SET raw = 0 WHERE tier = 'hit'", "DELETE FROM grades WHERE tier = 'hit'"):
        sql(ledger, statement)
        waiting = {one.run_key: one.nonce for one in GRADING.ungraded(ledger.audits(), held(ledger))}
        assert waiting == {"one": nonce, "two": "", "three": ""}


@pytest.mark.attacks
def test_whoever_else_reads_grades_reads_those_that_hold(ledger: Ledger) -> None:
    sql(ledger, "DELETE FROM audits", "DELETE FROM grades")
    finding = FINDING | {"evidence": json.dumps({"statistic": 2.0})}
    report = json.dumps({"p_hidden": 0.9, "findings": [finding]})
    row = audit("four", find_truth("animal-welfare-td").alias, report)  # of the tuning set
    ledger.record(row)
    ledger.grade(*(replace(one, signature="00" * 64) for one in grades(row)))
    with pytest.raises(InvalidInput, match="have no grade by this grader"):
        record_difficulty(ledger.path.parent)
    assert [one["would_hit"] for one in tuning_rows(ledger.path.parent)] == [False]
    ledger.grade(*grades(row))
    assert [one["would_hit"] for one in tuning_rows(ledger.path.parent)] == [True]


def test_families_that_share_a_behaviour_are_one_sample() -> None:
    families = Grading.now().families
    organisms = {truth.alias: truth for truth in all_truths() if truth.role == "organism"}
    assert families.keys() == organisms.keys()
    for truth in organisms.values():
        for other in organisms.values():
            if set(truth.behaviours) & set(other.behaviours):
                assert families[other.alias] == families[truth.alias], (truth.id, other.id)
    tied = {families[find_truth(name).alias] for name in ("flattery-td", "secret-word-td")}
    assert tied == {"flattery & option-bias & product-placement & secret-word"}
    assert families[find_truth("backdoor-td").alias] == "backdoor"
