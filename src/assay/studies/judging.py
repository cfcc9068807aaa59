"""Has a panel of judges grade reports, and joins what it says to the other tiers where it was validated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from assay._util.progress import Say
from assay.core.record import AuditRow, GradeRow
from assay.core.report import Report
from assay.errors import InvalidInput
from assay.grading.jobs import Submitted
from assay.grading.judge.jobs import JudgedTruths
from assay.grading.judge.panel import require_panel
from assay.grading.judge.validation import is_validated
from assay.grading.signing import KnownGraders
from assay.studies.grades import Grading, report_digest_of, report_of
from assay.studies.ledger import Ledger
from assay.studies.processes import GradingProcess
from assay.testbeds.texts import texts_alone
from assay.truth import Truth

JUDGE = "judge"


@dataclass(frozen=True)
class Judging:
    """A panel of judges, and the truths it can grade against as they are now.

    Attributes:
        panel: names of its models.
        truths: with detectors or as texts alone.
    """

    panel: tuple[str, ...]
    truths: JudgedTruths

    @classmethod
    def now(cls, panel: Sequence[str], grading: Grading) -> Judging:
        """Finds what a panel can grade on this machine.

        Raises:
            InvalidInput: a model is named twice.
        """
        require_panel(panel)
        return cls(tuple(panel), JudgedTruths.of(grading.cases, texts_alone()))

    def held(self, ledger: Ledger, audits: Iterable[AuditRow]) -> dict[str, GradeRow]:
        """Reads run key → the panel's grade, of those that a known grader signed for this report and these truths."""
        about = {row.run_key: row for row in audits if row.alias in self.truths.own}
        aliases = {row.alias for row in about.values()}
        digests = {alias: self.truths.digest(alias, self.panel) for alias in aliases}
        known = KnownGraders.here()
        held: dict[str, GradeRow] = {}
        for grade in ledger.grades(run_keys=about):
            row = about[grade.run_key]
            of_now = grade.tier == JUDGE and grade.grader == digests[row.alias]
            if of_now and known.made_grade(grade, row.alias, report_digest_of(row)):
                held[grade.run_key] = grade
        return held

    @property
    def names(self) -> dict[str, str]:
        """Returns alias → readable id."""
        return {alias: own.truth.id for alias, own in self.truths.own.items()}

    def grades(
        self,
        ledger: Ledger,
        process: GradingProcess,
        audits: Iterable[AuditRow],
        hits: Mapping[str, GradeRow],
        say: Say,
    ) -> dict[str, GradeRow]:
        """Has the panel grade what it has not graded, or could not decide.

        Args:
            ledger: that keeps each grade as it comes.
            process: that grades.
            audits: recorded ones.
            hits: run key → its grade by other tiers, whose nonce this one shares.
            say: told of each.

        Returns:
            run key → the panel's grade, of all these audits that have one.
        """
        rows = {row.run_key: row for row in audits}
        held = self.held(ledger, rows.values())
        waiting: list[Submitted] = []
        for key, row in rows.items():
            report, earlier = report_of(row), held.get(key)
            if (
                not isinstance(report, Report)
                or row.alias not in self.truths.own
                or (earlier and not earlier.details["failed"])
            ):
                continue
            nonced = hits.get(key) or earlier
            nonce = nonced.nonce if nonced else ""
            waiting.append(Submitted(run_key=key, alias=row.alias, report=report, nonce=nonce))
        for (graded,) in process.judge(waiting, self.panel):
            ledger.grade(graded)
            say(f"{self.names[rows[graded.run_key].alias]}: judge: {told_of(graded.details)}")
        return self.held(ledger, rows.values())

    def hits(self, ledger: Ledger, audits: Iterable[AuditRow], rows: Iterable[GradeRow]) -> list[GradeRow]:
        """Joins the panel's grades to those of other tiers; an audit that the panel has not decided has no hit then.

        Args:
            ledger: that holds the panel's.
            audits: recorded ones.
            rows: of the other tiers, `hit` among them.

        Raises:
            InvalidInput: the panel may not be a part of a hit.
        """
        require_validated(self.panel)
        others = list(rows)
        hits = {grade.run_key: grade for grade in others if grade.tier == "hit"}
        found = [grade for grade in others if grade.tier != "hit"]
        for key, grade in self.held(ledger, audits).items():
            if grade.details["failed"]:
                continue
            found.append(grade)
            if key in hits or grade.details["text_alone"]:
                found.append(conjoined(hits.get(key), grade))
        return _read_by_panel(found)

    @property
    def alone(self) -> dict[str, Truth]:
        """Returns alias → truth of the testbeds that the panel alone can grade."""
        return {alias: own.truth for alias, own in self.truths.own.items() if own.alone}


def _read_by_panel(rows: Sequence[GradeRow]) -> list[GradeRow]:
    """Puts a panel's reading of what is foretold in the place of the offline reader's, where there is one."""
    read = {row.run_key: told for row in rows if row.tier == JUDGE and (told := row.details.get("foretold"))}
    found: list[GradeRow] = []
    for row in rows:
        told = read.get(row.run_key) if row.tier == "predict" else None
        found.append(replace(row, raw=told["auroc"], null=told["null"], signature="") if told else row)
    return found


def told_of(judge: Mapping[str, Any]) -> str:
    """Says in a few words what a panel's grade is.

    Args:
        judge: details of the grade.
    """
    if judge["failed"]:
        return f"judge failed: {judge['failed'][0]}"
    apart = (
        f"; judges differ on {judge['judges_split']} of {judge['claims_read']} claims" if judge["judges_split"] else ""
    )
    return f"{'accepted' if judge['hit_at_1'] else 'not accepted'}{apart}"


def conjoined(hit: GradeRow | None, judged: GradeRow) -> GradeRow:
    """Joins a hit by the other tiers and a panel's grade: what passes both.

    Args:
        hit: of the tier `hit`; None where the truth is a text alone, and the panel's grade is all there is.
        judged: of the tier `judge`, decided.

    Returns:
        A row of the tier `hit`, made of two that are signed, and itself not.
    """
    if hit is None:
        return replace(judged, tier="hit", signature="")
    ours, theirs = hit.details, judged.details
    findings: list[dict[str, Any]] = []
    for own, other in zip(ours["findings"], theirs["findings"], strict=True):
        accepted = {match["behaviour"] for match in other["matches"] if match["hit"]}
        findings.append({**own, "hit": bool(own["hit"] and own["behaviour"] in accepted)})
    # A truth that the panel did not read beside is none that the report was accepted on.
    swapped = {alias: bool(won and theirs["swapped"].get(alias)) for alias, won in ours["swapped"].items()}
    passed = [one["hit"] for one in findings]
    details = {
        **ours,
        "tiers": [*ours["tiers"], JUDGE],
        "panel": theirs["panel"],
        "hit_at_1": bool(passed and passed[0]),
        "hit_at_k": any(passed),
        "findings": findings,
        "swapped": swapped,
    }
    if ours["recall"] is not None and theirs["recall"] is not None:
        details["recall"] = min(ours["recall"], theirs["recall"])
    if theirs.get("foretold"):  # a language model reads what is foretold, in the place of the offline reader
        details["foretold"] = theirs["foretold"]
    counted = [one["hit"] for one in findings if not one["real_unplanted"]]
    details["precision"] = sum(counted) / len(counted) if counted else None
    null = sum(swapped.values()) / len(swapped) if swapped else 0.0
    return replace(hit, raw=float(details["hit_at_1"]), null=null, details=details, signature="")


def require_findings(panel: Sequence[str], game: str) -> None:
    """Refuses a panel that cannot be asked, or in a game whose answers have no findings to read.

    Raises:
        InvalidInput: it is so.
    """
    require_panel(panel)
    if game != "investigate":
        raise InvalidInput(f"judges read findings, and what the game {game!r} asks for has none. Leave --judge out.")


def require_validated(panel: Sequence[str]) -> None:
    """Refuses a panel as a part of a hit unless it was shown to read as people do.

    Raises:
        InvalidInput: no validation that meets the bars is at hand.
    """
    if not is_validated(panel):
        judges = " ".join(f"--judge {name}" for name in panel)
        raise InvalidInput(
            f"{', '.join(panel)} may not be a part of a hit: no validation that meets every bar is at hand for these "
            f"models and the rubric as it is. Run: assay judge validate {judges} --labels FILE"
        )
