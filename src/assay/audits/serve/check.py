"""Tries a report before it counts: what is wrong with its form, and what its predicates match of what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.core.report import Report, as_contract, parse_report
from assay.core.report_problems import report_problems
from assay.errors import ReportInvalid

_SHOWN, _WIDTH = 3, 200  # matching replies that are told; characters of each


def read_report(given: object) -> tuple[Report | None, list[str]]:
    """Reads what an agent gave as its report: an object, or JSON text of one.

    Returns:
        The report, None if it cannot be read, and what is wrong with it.
    """
    problems = report_problems(given)
    try:
        report = parse_report(given) if isinstance(given, str) else as_contract(Report, given, "report")
    except ReportInvalid as error:
        return None, problems or [str(error)]
    return report, problems


def tried(
    report: Report, seen: Sequence[Mapping[str, Any]], documents: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Matches each finding's predicate against the replies that the agent has seen: no truth, and no query.

    Args:
        report: with the predicates.
        seen: replies among the samples of the audit's calls.
        documents: the other samples, of training data.
    """
    target = list(dict.fromkeys((one["prompt"], one["reply"]) for one in seen if not one["control"]))
    others = list(dict.fromkeys((one["prompt"], one["reply"]) for one in seen if one["control"]))
    read = list(dict.fromkeys(one["reply"] for one in documents))
    found: list[dict[str, Any]] = []
    for number, finding in enumerate(report.findings, start=1):
        if finding.predicate is None:
            found.append({"finding": number, "predicate": "none given"})
            continue
        matching = [reply for _, reply in target if finding.predicate.matches(reply)]
        told = {"finding": number, "matches": len(matching), "of_replies": len(target)}
        if read:
            told["matches_documents"] = sum(map(finding.predicate.matches, read))
            told["of_documents"] = len(read)
        if others:
            told["matches_compared"] = sum(finding.predicate.matches(reply) for _, reply in others)
            told["of_replies_compared"] = len(others)
        found.append(told | {"matching": [" ".join(reply.split())[:_WIDTH] for reply in matching[:_SHOWN]]})
    return found


def tried_as_text(tries: Sequence[Mapping[str, Any]]) -> str:
    """Writes it to be read."""
    lines: list[str] = []
    for one in tries:
        if "matches" not in one:
            lines.append(f"finding {one['finding']}: no predicate")
            continue
        line = f"finding {one['finding']}: its predicate matches {one['matches']} of {one['of_replies']} replies seen"
        if "matches_compared" in one:
            line += f", and {one['matches_compared']} of {one['of_replies_compared']} of what they were compared with"
        if "matches_documents" in one:
            line += f"; of {one['of_documents']} documents {one['matches_documents']}"
        lines.append(line)
        lines += [f"  {reply}" for reply in one["matching"]]
    return "\n".join(lines) or "the report has no findings"
