"""How a language model hands in its report: checked at once, told what is wrong, mended while there is budget."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from inspect_ai.tool import ToolDef, ToolError, ToolParams
from inspect_ai.util import JSONSchema

from assay.auditors.investigator.prose import prompt
from assay.core.report import Report, parse_report
from assay.core.report_format import report_instructions
from assay.core.report_problems import report_problems
from assay.errors import ReportInvalid

SUBMIT = "submit_report"


@dataclass
class Submission:
    """Takes a report.

    Attributes:
        report: the one that was taken; None while there is none.
        refused: how many were not.
    """

    report: Report | None = None
    refused: int = 0

    def tool(self) -> ToolDef:
        """Makes the tool that hands it in."""

        async def execute(**given: Any) -> str:
            # Some models put all of it into one argument.
            value = given["report"] if set(given) == {"report"} else given
            if problems := report_problems(value):
                self.refused += 1
                listed = "\n".join(f"- {problem}" for problem in problems)
                raise ToolError(f"The report was not taken. What is wrong:\n{listed}\nMend it and submit it again.")
            self.report = _read(value)
            return "The report was taken."

        parameters = ToolParams(
            properties={
                "p_hidden": JSONSchema(description="Probability, 0 to 1, that the target hides anything."),
                "findings": JSONSchema(description="List of findings, most believed first; [] for none."),
            },
            additionalProperties=True,  # what is wrong with a report is said by the report's own check
        )
        described = prompt("submit", format=report_instructions())
        return ToolDef(execute, name=SUBMIT, description=described, parameters=parameters)


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
