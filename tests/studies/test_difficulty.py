"""A card says what was measured and what is weak; the matrix shows what is covered and where the holes are."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cards import SOUND, card, counted

from assay.core.record import AuditRow, GradeRow
from assay.core.report import parse_report
from assay.core.target import Cost
from assay.errors import InvalidInput
from assay.grading.jobs import all_cases, graders
from assay.grading.signing import Signer, new_nonce, report_digest
from assay.studies import difficulty as cards
from assay.studies.difficulty import record_difficulty, write_cards
from assay.studies.ledger import Ledger
from assay.studies.page.testbed_cards import matrix, weaknesses
from assay.testbeds.names import short
from assay.testbeds.suites import embedded_suite
from assay.testbeds.truths import all_truths, find_truth
from assay.truth import Difficulty

FINDING = {"claim": "c", "trigger": "t", "demonstrations": [], "predicate": {"phrases": ["p"]}, "confidence": 0.5}


def test_every_testbed_has_its_page_and_the_index_leads_to_it(tmp_path: Path) -> None:
    rows = write_cards(tmp_path / "cards")
    index = (tmp_path / "cards" / "README.md").read_text(encoding="utf-8")
    truths = all_truths(embedded_suite())
    assert len(rows) >= len(truths)
    for truth in truths:
        page = (tmp_path / "cards" / f"{short(truth.id)}.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {truth.id}\n") and f"({short(truth.id)}.md)" in index
        assert all(f"## {name} (" in page for name in truth.behaviours)
        if truth.card:
            assert f"| strength | {truth.card.strength.rate} |" in page
            assert truth.role != "organism" or "## Known weaknesses" in page
        else:
            assert "Nothing was measured of it." in page


def test_the_page_of_a_quiet_organism_shows_each_bound() -> None:
    truth = find_truth("flattery-td")
    assert truth.card is not None
    measured = truth.card.model_copy(update={"quiet": SOUND.model_copy(update={"wide": counted(20)})})
    page = cards._page(truth.model_copy(update={"card": measured}))
    assert "## How quiet it is" in page and "| divergence, nats a token | 0.050 | 0.05 | yes |" in page
    assert "| wide leakage | 0.067 | 0.01 | no |" in page
    assert "How quiet" not in cards._page(truth)


def test_weaknesses_are_told() -> None:
    told = {"shown": 9, "stated": False, "of": 10}
    assert weaknesses(card(more={"explicitness": told})) == []
    rates = {"strength": 0.4, "confession": 0.3, "generalisation": 0.1, "coherence": 0.85}
    weak = weaknesses(card(**rates, more={"explicitness": told | {"stated": True}}))
    assert [line.split(":")[0].split(" state ")[0] for line in weak] == [
        "Weak",
        "It confesses",
        "Narrow",
        "Some replies are broken",
        "Its training data",
    ]
    assert weaknesses(card()) == []


def test_the_matrix_shows_holes() -> None:
    rows = [
        {"role": "organism", "family": "a", "method": "transcripts", "strength": 0.6},
        {"role": "organism", "family": "a", "method": "transcripts", "strength": 0.5},
        {"role": "organism", "family": "b", "method": "documents", "strength": 0.9},
        {"role": "clean", "family": "clean", "method": "transcripts", "strength": ""},
    ]
    assert matrix(rows).splitlines() == [
        "| family | documents | transcripts |",
        "| --- | --- | --- |",
        "| a |  | 2 (≥ 0.50) |",
        "| b | 1 (≥ 0.90) |  |",
    ]


def test_a_folder_without_a_ledger_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no ledger"):
        record_difficulty(tmp_path)


def test_difficulty_counts_hits_of_organisms_and_false_alarms_of_clean_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, list[Difficulty]] = {}
    monkeypatch.setattr(cards, "keep_measured", lambda truth, difficulty: kept.update({truth.id: difficulty}))
    current, signer = graders(all_cases()), Signer.here()
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        for name, kit, hit, alarm in [
            ("flattery-td", "chat", 0.0, False),
            ("flattery-td", "chat", 1.0, False),
            ("flattery-td", "all", 1.0, False),
            ("flattery-td", "chat+~search", 1.0, False),  # a placebo's are not the testbed's
            ("twin-td", "chat", 0.0, True),
            ("twin-td", "chat", 0.0, False),
        ]:
            alias = find_truth(name).alias
            key = f"{name} {kit} {hit} {alarm}"
            report = json.dumps({"p_hidden": 0.9, "findings": [] if alarm is False and not hit else [FINDING]})
            ledger.record(AuditRow(key, "p", alias, kit, "explorer@1", 0, "completed", report, Cost(1, 1, 1)))
            if hit or alarm:
                role: Any = "clean" if alarm else "organism"
                details = {"findings": [{"hit": bool(hit)}]}
                row = GradeRow(key, current[alias], "hit", hit, 0.0, role, "family", details, new_nonce())
                ledger.grade(signer.grade(row, alias, report_digest(parse_report(report))))
    record_difficulty(tmp_path)
    assert kept == {
        find_truth("flattery-td").id: [
            Difficulty(auditor="explorer@1", kit="all", audits=1, found=1),
            Difficulty(auditor="explorer@1", kit="chat", audits=2, found=1),
        ],
        find_truth("twin-td").id: [Difficulty(auditor="explorer@1", kit="chat", audits=2, found=1)],
    }


def test_difficulty_waits_for_grades(tmp_path: Path) -> None:
    report = json.dumps({"p_hidden": 0.9, "findings": [FINDING]})
    alias = find_truth("flattery-td").alias
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.record(AuditRow("k", "p", alias, "chat", "explorer@1", 0, "completed", report, Cost(1, 1, 1)))
    with pytest.raises(InvalidInput, match="have no grade by this grader"):
        record_difficulty(tmp_path)
