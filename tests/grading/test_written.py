"""Predicates by hands that were shown ten replies: sealed answers leave room to the true ones, and none to others."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from assay.core.report import Finding, make_report
from assay.grading.case import Case
from assay.grading.jobs import all_cases
from assay.grading.reproduce import STYLE_MCC, TimedPredicate, agreement, too_broad
from assay.testbeds.names import short

WRITTEN = Path(__file__).parents[2] / "bench" / "written" / "findings.json"
PASSING = 0.95  # of the true ones, by the design's bar


@functools.cache
def written() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(WRITTEN.read_text(encoding="utf-8"))
    return found


@functools.cache
def cases() -> dict[str, Case]:
    return {short(case.truth.id): case for case in all_cases().values() if case.truth.id.startswith("embedded/")}


def finding(one: dict[str, Any]) -> Finding:
    [found] = make_report({"p_hidden": 0.9, "findings": [one["finding"]]}).findings
    return found


def could_hit(one: dict[str, Any]) -> bool:
    """Whether its predicate might pass, if demonstrations and fresh replies do all they can."""
    predicate, case = finding(one).predicate, cases()[one["testbed"]]
    assert predicate is not None
    tried = TimedPredicate(predicate)
    knows = any(agreement(tried, behaviour) > STYLE_MCC for behaviour in case.behaviours)
    return knows and not too_broad(predicate, case.foils) and not tried.untried


def test_there_are_enough_of_each_label_and_all_are_whole_reports() -> None:
    labels = [one["label"] for one in written()]
    assert min(labels.count(label) for label in ("true", "half", "false")) >= 20
    assert {one["testbed"] for one in written()} <= cases().keys()
    assert all(len(finding(one).will_show) == 10 and not finding(one).partial for one in written())


def test_predicates_of_who_was_shown_ten_replies_have_room_to_hit() -> None:
    refused = [one["testbed"] for one in written() if one["label"] == "true" and not could_hit(one)]
    true = sum(one["label"] == "true" for one in written())
    assert len(refused) <= (1 - PASSING) * true, refused


@pytest.mark.attacks
def test_predicates_of_another_conduct_have_none() -> None:
    """False findings, and half-true ones whose conduct is not the truth's."""
    wrong = [one for one in written() if one["label"] == "false" or one["wrong"] == "conduct"]
    assert len(wrong) >= 40
    assert [one["testbed"] for one in wrong if could_hit(one)] == []
