"""Shows an examination: one page, and lines for a terminal."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from assay._util.atomic import write_text
from assay._util.paths import EXAMINED_PAGE
from assay.core.report import Demonstration
from assay.grading.examined import FreshRate, Reproduction
from assay.studies.examination import Examination, ExaminedFinding
from assay.studies.measured import Measured
from assay.studies.page.caveats import trusted
from assay.studies.page.formats import interval, percent
from assay.studies.page.html import templates

REPLIES_SHOWN = 2  # a script, in a terminal
_REPLY = 160  # characters of each there
_AGAINST = {
    "reference": "on the reference",
    "trigger removed": "with the trigger removed",
    "nothing": "nothing to compare with",
}


def write_examination(examination: Examination, folder: Path) -> Path:
    """Writes the page; returns where it is.

    Raises:
        NotWritten: there is no room, or no permission.
    """
    template = templates().get_template("examination.html.j2")
    place = folder / EXAMINED_PAGE
    text = template.render(
        e=examination,
        rates=rates,
        script=script_lines,
        measured=measured_line,
        measurements=measurements(examination),
        who=who_line,
        trusted=trusted(examination.plugins) if examination.plugins else "",
    )
    write_text(place, text)
    return place


def examination_lines(examination: Examination) -> list[str]:
    """Writes what the page says, shorter."""
    ended = ", ".join(f"{count} {outcome}" for outcome, count in sorted(examination.outcomes.items()))
    lines = [examination.headline, f"{examination.audits} audits ({ended}); {examination.machine}"]
    if examination.p_hidden is not None:
        lines.append(f"Mean of the reports' probability that anything is hidden: {percent(examination.p_hidden)}.")
    lines += [f"{tool} was left out: {why}" for tool, why in examination.skipped.items()]
    for number, found in enumerate(examination.findings, 1):
        lines += ["", *_finding_lines(number, found)]
    lines += ["", "How good this procedure is"]
    lines += [f"  {measured_line(one)}" for one in measurements(examination)]
    lines += [f"  {text}" for text in examination.caveats]
    if examination.plugins:
        lines.append(trusted(examination.plugins))
    return lines


def measurements(examination: Examination) -> list[Measured]:
    """Lists what was measured, the procedure as a whole first."""
    found = [*([examination.together] if examination.together else []), *examination.measured]
    return [one for one in found if one.organisms or one.clean]


def measured_line(one: Measured) -> str:
    """Says how often audits find what is there, and how often they cry wolf."""
    subject = f"one audit of {one.auditor} with {one.kit}" if one.auditor else "all of these audits together"
    parts: list[str] = []
    if one.hit is not None:
        parts.append(
            f"finds what is planted in {percent(one.hit)} {interval(one.hit_interval)} of {one.organisms} organisms "
            f"({one.families} families)"
        )
    if one.alarm is not None:
        rate = f"{percent(one.alarm)} {interval(one.alarm_interval)} of {one.clean} clean targets"
        parts.append(f"claims something of {rate}, before findings are run again")
    return f"{subject}: {'; '.join(parts)}"


def rates(again: Reproduction) -> str:
    """Says how often it showed, and beside what."""
    if again.target is None:
        return again.why or "no reply was drawn"
    parts = [f"target {_rate(again.target)}"]
    if again.control is not None:
        parts.append(f"{_AGAINST[again.against]} {_rate(again.control)}")
        parts.append(f"difference {interval(again.difference)}")
    else:
        parts.append(_AGAINST[again.against])
    return " · ".join([*parts, *([again.why] if again.why else [])])


def who_line(found: ExaminedFinding) -> str:
    """Says who found it, and how many wordings were run again."""
    by = ", ".join(f"{one.auditor} {one.kit} seed {one.seed}" for one in found.found_by)
    several = "" if found.wordings == 1 else f"; {found.reproduced} of {found.wordings} wordings reproduced"
    return f"{by}{several}"


def script_lines(script: Demonstration) -> list[str]:
    """Writes out a demonstration, a line for each thing that is said."""
    lines = [f"earlier: {turn}" for turn in chain.from_iterable(script.earlier)]
    lines += [f"system: {script.system}"] if script.system else []
    lines += [f"user: {turn}" for turn in script.user]
    return [*lines, *([f"begun with: {script.prefill}"] if script.prefill else [])]


def _finding_lines(number: int, found: ExaminedFinding) -> list[str]:
    again = found.reproduction
    trigger = "trigger unknown" if found.finding.trigger is None else f"when: {found.finding.trigger or 'always'}"
    lines = [
        f"{number}. [{again.verdict}] {found.finding.claim}",
        f"   {trigger}",
        f"   {rates(again)}",
        f"   found by {who_line(found)}",
    ]
    for one in again.shown[:1]:
        lines += [f"   > {line}" for line in script_lines(one.script)]
        lines += [f"     target: {_cut(reply)}" for reply in one.replies[:REPLIES_SHOWN]]
        lines += [f"     reference: {_cut(reply)}" for reply in one.reference[:REPLIES_SHOWN]]
    for one in again.plain[:1]:
        lines += [f"   > {line}" for line in script_lines(one.script)]
        lines += [f"     target, trigger removed: {_cut(reply)}" for reply in one.replies[:REPLIES_SHOWN]]
    return lines


def _rate(rate: FreshRate) -> str:
    return f"{percent(rate.value)} {interval(rate.interval)} of {rate.samples}"


def _cut(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _REPLY else f"{flat[:_REPLY]}…"
