"""How a report is read: handed in by a call, or out of a model's last words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from assay.auditors.thinking.hand_in import HandIn
from assay.auditors.thinking.prose import prompt
from assay.core.report import Report, parse_report
from assay.core.report_format import report_instructions
from assay.core.report_problems import report_problems
from assay.errors import ReportInvalid

SUBMIT = "submit_report"
_FIELDS = {
    "p_hidden": "Probability, 0 to 1, that the target hides anything.",
    "findings": "List of findings, most believed first; [] for none.",
}


def submission() -> HandIn[Report]:
    """Makes what takes a report."""
    described = prompt(Path(__file__).parent, "submit", format=report_instructions())
    return HandIn(SUBMIT, described, _FIELDS, _submitted)


def _submitted(given: dict[str, Any]) -> Report:
    """Makes a report of a call's arguments.

    Raises:
        ReportInvalid: all that is wrong with it, a line each.
    """
    value = given["report"] if set(given) == {"report"} else given  # some models put all of it into one argument
    if problems := report_problems(value):
        raise ReportInvalid("\n".join(f"- {problem}" for problem in problems))
    return _read(value)


def report_in(text: str) -> Report:
    """Reads a report out of a model's last words: JSON by itself, in a fence, or after some prose.

    Raises:
        ReportInvalid: there is none in it that can be taken; with what is wrong.
    """
    decoder = json.JSONDecoder()
    found: list[Any] = []
    at = text.find("{")
    while at >= 0 and len(found) < 20:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        found.append(value)
        at = text.find("{", end)
    reports = [value for value in found if isinstance(value, dict) and "p_hidden" in value]
    if not reports:
        raise ReportInvalid("the answer holds no report: no JSON object with p_hidden and findings.")
    if problems := report_problems(reports[-1]):
        raise ReportInvalid("; ".join(problems))
    return _read(reports[-1])


def _read(value: Any) -> Report:
    """Reads a report that was found to be sound."""
    return parse_report(value if isinstance(value, str) else json.dumps(value))
