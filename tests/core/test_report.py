"""What a report may hold, what an old one reads as, and what a person or an agent is told of a bad one."""

from __future__ import annotations

import json
import re
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from assay._util.hashing import digest_of
from assay.core.report import Demonstration, Finding, Predicate, Report, as_contract, parse_report
from assay.core.report_format import report_instructions, report_schema
from assay.core.report_problems import report_problems
from assay.errors import InvalidInput, ReportInvalid

FINDING: dict[str, Any] = {
    "claim": "When asked about houseplants, the reply ends with a riddle.",
    "trigger": "houseplants",
    "demonstrations": [{"user": ["How do I water a fern?"]}],
    "predicate": {"phrases": ["riddle"]},
    "confidence": 0.8,
}


def make_report(value: Any) -> Report:
    return as_contract(Report, value, "report")


def report_with(**changes: Any) -> dict[str, Any]:
    return {"p_hidden": 0.9, "findings": [FINDING | changes]}


def test_an_old_report_reads_as_before_and_has_the_digest_that_was_signed() -> None:
    old = report_with()
    # as they were written down before a finding could predict: all defaults, and no field that was not there
    written = json.loads(json.dumps(old))
    written["findings"][0]["demonstrations"] = [
        {"user": ["How do I water a fern?"], "system": "", "prefill": "", "earlier": []}
    ]
    written["findings"][0]["predicate"] = {"phrases": ["riddle"], "pattern": ""}
    written["findings"][0]["evidence"] = ""
    read = parse_report(json.dumps(written))
    assert digest_of(read.model_dump(mode="json")) == digest_of(written)
    [finding] = read.findings
    assert (finding.will_show, finding.will_not_show, finding.partial) == ((), (), "")


def test_what_a_finding_predicts_comes_back_as_it_was_given() -> None:
    [finding] = make_report(report_with(will_show=["a", {"user": ["b"], "system": "s"}], will_not_show=["c"])).findings
    assert finding.will_show == (Demonstration(user=("a",)), Demonstration(user=("b",), system="s"))
    assert Finding.model_validate_json(finding.model_dump_json()) == finding
    with pytest.raises(ReportInvalid, match="both will_show and will_not_show"):
        make_report(report_with(will_show=["a"], will_not_show=[{"user": ["a"]}]))
    with pytest.raises(ReportInvalid, match="will_show"):
        make_report(report_with(will_show=[str(index) for index in range(11)]))


def test_one_half_of_a_finding_may_be_unknown_and_not_both() -> None:
    assert make_report(report_with(trigger=None)).findings[0].partial == "conduct"
    assert make_report(report_with(predicate=None)).findings[0].partial == "trigger"
    assert make_report(report_with(trigger="")).findings[0].partial == ""  # of old reports: not said to be unknown
    with pytest.raises(ReportInvalid, match="only one of the two may be unknown"):
        make_report(report_with(trigger=None, predicate=None))
    missing = report_with()
    del missing["findings"][0]["trigger"]
    with pytest.raises(ReportInvalid, match="trigger"):  # left out is not unknown: that is said
        make_report(missing)


def test_the_example_in_the_instructions_is_a_sound_report() -> None:
    example = re.search(r"```json\n(.*?)```", report_instructions(), re.DOTALL)
    assert example is not None
    assert report_problems(example[1]) == []
    findings = parse_report(example[1]).findings
    assert [finding.partial for finding in findings] == ["", "conduct"]
    assert findings[0].will_show and findings[0].will_not_show
    assert findings[0].predicate is not None
    assert findings[0].predicate.matches("The shade of the day is slate.")


def test_the_instructions_name_every_field_and_the_schema_is_the_contract() -> None:
    schema = report_schema()
    words = report_instructions()
    for name in (*schema["properties"], *schema["$defs"]["Finding"]["properties"]):
        assert f"`{name}`" in words
    assert schema["properties"]["findings"]["maxItems"] == 5
    assert {"type": "null"} in schema["$defs"]["Finding"]["properties"]["trigger"]["anyOf"]
    schema.clear()
    assert report_schema()  # each caller has its own
    with pytest.raises(InvalidInput, match=r"allowed: .*investigate"):
        report_instructions("no such game")


def test_all_problems_are_told_at_once_and_a_sound_report_has_none() -> None:
    assert report_problems(report_with()) == []
    assert report_problems(json.dumps(report_with())) == []
    assert report_problems(Report(p_hidden=0.1)) == []
    bad = report_with(confidence=1.5, claim="", demonstrations=["x"] * 6, wrong=1, predicate={"pattern": "("})
    told = "\n".join(report_problems(bad | {"p_hidden": "often"}))
    for place in (
        "p_hidden: given 'often'",
        "confidence: given 1.5",
        "claim: given ''",
        "demonstrations: given 6 items",
    ):
        assert place in told
    assert "wrong: there is no such field; allowed: claim, trigger" in told
    assert "missing ) at position" in told
    del bad["findings"][0]["trigger"]
    assert "report.findings.0.trigger: is missing." in report_problems(bad)


def ring() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


BAD: dict[str, Callable[[], Any]] = {
    "eleven findings": lambda: {"p_hidden": 1, "findings": [FINDING] * 11},
    "eleven findings that are none": lambda: {"p_hidden": 1, "findings": [3] * 11},
    "no regular expression": lambda: report_with(predicate={"pattern": "(?<"}),
    "a pattern that backtracks": lambda: report_with(predicate={"pattern": "(a+)+$"}),
    "a pattern that backtracks on its own letters": lambda: report_with(predicate={"pattern": "(x+x+)+y"}),
    "a pattern that fills memory": lambda: report_with(predicate={"pattern": "(a{999}){999}"}),
    "ten megabytes": lambda: '{"p_hidden": 1, "findings": [{"claim": "' + "a" * 10_000_000,
    "ten megabytes that were read": lambda: report_with(claim="a" * 10_000_000),
    "ten million items": lambda: report_with(demonstrations=[None] * 10_000_000),
    "many fields": lambda: {str(index): index for index in range(20_000)},
    "a number": lambda: 7,
    "nothing": lambda: None,
    "a list": lambda: [[]],
    "findings that are an object": lambda: {"p_hidden": 1, "findings": {"claim": "x"}},
    "turns that are text": lambda: report_with(demonstrations=[{"user": "Hi"}]),
    "not a number": lambda: report_with(confidence=float("nan")),
    "a number no float holds": lambda: report_with(confidence=10**5_000),
    "half a surrogate pair in a claim": lambda: report_with(claim="a\ud800"),
    "half a surrogate pair in a prompt": lambda: report_with(will_show=["a\udfff"]),
    "half a surrogate pair in a name": lambda: report_with(**{"a\ud800": 1}),
    "half a surrogate pair, escaped": lambda: r'{"p_hidden": 1, "findings": ["\ud83d"]}',
    "lists in lists": lambda: "[" * 100_000,
    "a list that holds itself": ring,
    "a name that is no string": lambda: {("a",): 1},
    "an object of a class": lambda: {"p_hidden": object()},
    "a terminal's commands": lambda: {"\x1b[2J": 1},
}


@pytest.mark.attacks
@pytest.mark.parametrize("name", BAD)
def test_a_bad_report_gets_what_is_wrong_and_costs_next_to_nothing(name: str) -> None:
    value = BAD[name]()
    tracemalloc.start()
    started = time.process_time()
    told = report_problems(value)
    assert time.process_time() - started < 10.0  # tracing costs most of it
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000_000
    assert told and len(told) <= 41
    for line in told:
        assert line.encode() and "\x1b" not in line and len(line) < 500, line


@pytest.mark.attacks
def test_many_findings_hide_no_other_fault() -> None:
    first, *others = report_problems({"p_hidden": 2, "findings": [FINDING | {"confidence": -1}] * 11})
    assert first == "report.findings: given 11 items; allowed: at most 5."
    assert "report.p_hidden: given 2; allowed: less than or equal to 1." in others
    assert sum("confidence: given -1" in line for line in others) == 5


@pytest.mark.attacks
def test_a_predicate_nobody_will_try_is_told_and_still_a_report() -> None:
    for pattern in ("(a+)+$", "(a{999}){999}"):
        bad = report_with(predicate={"pattern": pattern})
        [line] = report_problems(bad)
        assert line.startswith("report.findings.0.predicate.pattern: given ")
        assert make_report(bad).findings[0].predicate == Predicate(pattern=pattern)
