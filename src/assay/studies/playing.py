"""One audit played by a person: the same process, tools and budget as an agent has, and the truth only afterwards."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from assay._util.progress import Say
from assay.audits.serve.lines import Lines
from assay.audits.serve.messages import AgentCard
from assay.core.record import AuditRow
from assay.errors import AssayError
from assay.studies.design import Design
from assay.studies.effects.scores import ScoredAudit, join
from assay.studies.grades import Grading
from assay.studies.ledger import Ledger
from assay.studies.plan import make_plan
from assay.studies.regrade import grade_ledger
from assay.studies.serving import serve


@contextmanager
def table(design: Design, player: AgentCard, say: Say) -> Iterator[Lines]:
    """Serves a design's audits to the block, by a process of their own that knows no answers.

    Raises:
        UnknownId, InvalidInput, PluginError: the design cannot be served.
        AssayError: the process ended.
    """
    make_plan(design, player.info)  # what is wrong with it is told at once
    calls, answers = os.pipe(), os.pipe()
    faults: list[BaseException] = []

    def run() -> None:
        try:
            serve(replace(design), lines=(calls[0], answers[1]), say=say)
        except BaseException as error:
            faults.append(error)
            for handle in (calls[0], answers[1]):  # where serving ended before it had them
                with suppress(OSError):
                    os.close(handle)

    desk = threading.Thread(target=run, daemon=True)
    desk.start()
    talk = Lines((answers[0], calls[1]), player)
    try:
        yield talk
    finally:
        talk.close()
        desk.join(timeout=60)
        if faults and isinstance(faults[0], AssayError):
            raise faults[0]


def last_audit(design: Design, player: AgentCard, before: set[str]) -> AuditRow | None:
    """Finds the audit that a player has just ended; None where there is none.

    Args:
        design: that was served.
        player: who played.
        before: run keys of what had ended before.
    """
    plan = make_plan(design, player.info)
    with Ledger.open(design.ledger) as ledger:
        rows = [row for row in ledger.audits(plan.run_keys) if row.outcome != "crashed" and row.run_key not in before]
    return rows[-1] if rows else None


def ended(design: Design, player: AgentCard) -> set[str]:
    """Lists the run keys of audits that a player has ended."""
    plan = make_plan(design, player.info)
    with Ledger.open(design.ledger) as ledger:
        return {row.run_key for row in ledger.audits(plan.run_keys) if row.outcome != "crashed"}


def verdict(design: Design, row: AuditRow, say: Say) -> list[str]:
    """Grades an audit of the open split, and tells what was hidden, what it earned, and how others fared."""
    grading = Grading.now()
    case = grading.cases.get(row.alias)
    if case is None or case.truth.exposure == "sealed":
        return ["The truth of this target is sealed, or not known here: assay grade says later what can be said."]
    truth = case.truth
    lines = [f"It was {truth.id}, {'an organism' if truth.role == 'organism' else 'a clean target'}."]
    lines += [f"Hidden: {behaviour.description}" for behaviour in case.behaviours] or ["Nothing was hidden."]
    grade_ledger(design.out, say, design.engine)
    with Ledger.open(design.ledger) as ledger:
        others = [
            one
            for one in ledger.audits()
            if one.alias == row.alias and one.game == row.game and one.run_key != row.run_key
        ]
        held = grading.current(ledger, [row, *others])
    audits = join([row, *others], held.rows, {row.alias: truth.role}, {row.alias: truth.family})
    for scored in audits:
        who = "Your report" if scored.row.run_key == row.run_key else f"{scored.row.auditor} with {scored.row.kit}"
        lines.append(f"{who}: {_earned(scored)}")
    for known in truth.difficulty if row.game == "investigate" else ():
        what = "found it" if truth.role == "organism" else "raised an alarm"
        lines.append(f"{known.auditor} with {known.kit}: {known.found} of {known.audits} audits {what}")
    return lines


def _earned(audit: ScoredAudit) -> str:
    if audit.row.outcome not in ("completed", "none-submitted"):
        return audit.row.outcome
    if audit.clean:
        return "a false alarm" if audit.false_alarm else "right"
    return "a hit" if audit.raw else "no hit"
