"""Writes what happened in each audit beside the page: a file an audit, loaded when somebody opens it.

A page that opens from a disk may load no data but scripts; so each file is one, which hands its text to the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from assay._util.atomic import make_folder, write_text
from assay._util.hashing import digest_of
from assay._util.paths import DETAILS
from assay.audits.briefs import brief_text
from assay.core.answer import claims
from assay.core.record import AuditRow, GradeRow
from assay.studies.page.listed import ListedAudit, Result
from assay.studies.transcript import calls_of

if TYPE_CHECKING:
    from assay.studies.study import Study

_FORMAT = 1  # raised when a file has to be written anew though neither audit nor grade changed
_SAMPLES = 3  # shown of a call's own, and as many of its control's; its text tells of all
_LONGEST = 2_000  # characters of what a tool was given, or of one sample


class AuditDetails:
    """The files of a study's audits. One that is there is not written again: its name says what is in it.

    Args:
        study: whose audits they are.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._grades = {grade.run_key: grade for grade in study.grade_rows if grade.tier == "hit"}
        self._stages = {audit.run_key: audit.stage for audit in study.summary.funnel.audits}
        self._clean = {bed.alias for bed in study.summary.testbeds if bed.role == "clean"}
        self.folder = study.out / DETAILS

    def write(self) -> list[ListedAudit]:
        """Writes what is missing.

        Returns:
            The audits as the page lists them.

        Raises:
            NotWritten: a file cannot be written.
        """
        make_folder(self.folder)
        there = self._there()
        listed: list[ListedAudit] = []
        for row in self._study.rows:
            one = self._listed(row)
            listed.append(one)
            if one.file not in there:
                write_text(self.folder / f"{one.file}.js", self._script(one, row))
        return listed

    def tidy(self, listed: Iterable[ListedAudit]) -> None:
        """Takes away what no page opens any more."""
        for stale in self._there() - {one.file for one in listed}:
            (self.folder / f"{stale}.js").unlink(missing_ok=True)

    def _there(self) -> set[str]:
        return {path.stem for path in self.folder.glob("*.js")}

    def _listed(self, row: AuditRow) -> ListedAudit:
        grade = self._grades.get(row.run_key)
        report = json.loads(row.report) if row.report else {}
        submitted = claims(report)
        result: Result = "not graded"
        if row.alias in self._clean and not submitted:
            result = "no false alarm"
        elif grade is not None or not submitted:
            result = _result(grade)
        return ListedAudit(
            file=self._name(row),
            alias=row.alias,
            kit=row.kit,
            seed=row.seed,
            outcome=row.outcome,
            result=result,
            stage=self._stages.get(row.run_key, ""),
            findings=submitted,
            p_hidden=report.get("p_hidden"),
            tokens=row.cost.tokens,
            seconds=row.seconds,
        )

    def _name(self, row: AuditRow) -> str:
        grade = self._grades.get(row.run_key)
        told = [row.run_key, grade.details if grade else None, self._testbed(row), self._behaviours(row)]
        return digest_of([_FORMAT, told])[:16]

    def _testbed(self, row: AuditRow) -> str:
        return self._study.testbeds.get(row.alias, row.alias)

    def _behaviours(self, row: AuditRow) -> list[dict[str, str]]:
        planted = self._study.planted.get(row.alias, ())
        return [{"id": one.id, "trigger": one.trigger, "conduct": one.conduct} for one in planted]

    def _script(self, one: ListedAudit, row: AuditRow) -> str:
        report = json.loads(row.report) if row.report else None
        details = {
            "testbed": self._testbed(row),
            "auditor": row.auditor,
            "machine": row.machine,
            "error": row.error,
            "queries": row.cost.queries,
            "skipped": dict(row.skipped),
            "planted": self._behaviours(row),
            "brief": brief_text(row.game, (report or {}).get("about", "")),
            "calls": _shown_calls(calls_of(self._study.out, row)),
            "report": report,
            "grade": _shown_grade(self._grades.get(row.run_key)),
        }
        # JSON as a string: read as an object's source, a key "__proto__" would be more than a name.
        text = json.dumps(json.dumps(details, ensure_ascii=False, allow_nan=False))
        return f"assayAudit({json.dumps(one.file)}, {text});\n"


def _result(grade: GradeRow | None) -> Result:
    if grade is None:
        return "no hit"
    if grade.role == "organism":
        return "hit" if grade.raw else "no hit"
    alarms = [one for one in grade.details.get("findings", ()) if not one.get("real_unplanted", False)]
    return "false alarm" if alarms else "no false alarm"


def _shown_calls(calls: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Picks what a reader sees of an audit's calls; None where they are not known."""
    if calls is None:
        return None
    shown: list[dict[str, Any]] = []
    for call in calls:
        one: dict[str, Any] = {"tool": call["tool"], "arguments": _short(call.get("arguments", {}))}
        one |= {name: call[name] for name in ("text", "control", "error") if call.get(name)}
        samples = call.get("samples", ())
        own = [sample for sample in samples if not sample.get("control")]
        control = [sample for sample in samples if sample.get("control")]
        if len(samples) > 1:  # a single one is what the text says
            one["samples"] = [_short(sample) for sample in chain(own[:_SAMPLES], control[:_SAMPLES])]
            one["of"] = len(samples)
        shown.append(one)
    return shown


def _short(told: Mapping[str, Any]) -> dict[str, Any]:
    """Cuts long texts of a call."""
    return {name: value[:_LONGEST] if isinstance(value, str) else value for name, value in told.items()}


def _shown_grade(grade: GradeRow | None) -> dict[str, Any] | None:
    if grade is None:
        return None
    details = grade.details
    swapped = details.get("swapped", {})
    return {
        "raw": grade.raw,
        "null": grade.null,
        "role": grade.role,
        "tiers": list(details.get("tiers", ())),
        "findings": list(details.get("findings", ())),
        "swapped": [sum(map(bool, swapped.values())), len(swapped)],
        "foretold": details.get("foretold"),
        "machine": details.get("machine", ""),
    }
