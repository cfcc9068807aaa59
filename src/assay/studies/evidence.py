"""Keeps beside the ledger which tools showed evidence in which audits, once their logs have been read."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path

from assay._util.atomic import write_json
from assay._util.hashing import digest_of
from assay._util.import_graph import closure
from assay._util.paths import EVIDENCE
from assay.audits.transcripts import shown_calls
from assay.core.record import AuditRow
from assay.grading import evidence
from assay.grading.evidence import holds_evidence
from assay.studies.effects.funnel import Showed
from assay.studies.grades import Grading
from assay.studies.transcript import calls_of


class KeptEvidence:
    """What tools showed in audits of organisms. A log is read once, for all of its patterns take their time.

    Args:
        out: folder of the sweeps.
        grading: what can be graded now.
    """

    def __init__(self, out: Path, grading: Grading) -> None:
        self._out, self._grading = out, grading
        self.path = out / EVIDENCE

    def of(self, audits: Iterable[AuditRow]) -> dict[str, Showed]:
        """Tells for each audit what its tools showed, from what is kept or from its log; writes nothing.

        Returns:
            run key → tool → whether its output held evidence; audits of which that is not known are not among them.
        """
        rows = {row.run_key: row for row in audits if row.alias in self._grading.cases}
        kept = self._read()
        found: dict[str, Showed] = {key: showed for key in rows if (showed := kept.get(self._name(rows[key])))}
        for key in rows.keys() - found.keys():
            read = self._showed(rows[key])
            if read is not None:
                found[key] = read
        return found

    def seek(self, audits: Iterable[AuditRow]) -> None:
        """Keeps it, whole or not at all, in place of what was kept of other graders.

        Raises:
            InvalidInput: the file cannot be written.
        """
        rows = list(audits)
        names = {row.run_key: self._name(row) for row in rows if row.alias in self._grading.cases}
        kept = self._read()
        new = {names[key]: showed for key, showed in self.of(rows).items() if showed}
        if new.keys() - kept.keys():
            write_json(self.path, kept | new)

    def _showed(self, row: AuditRow) -> Showed | None:
        """Looks through an audit's log; None of a clean target, and where the log does not tell."""
        behaviours = self._grading.cases[row.alias].behaviours
        if not behaviours:
            return None
        if not row.calls:
            return {}  # nothing was asked, so nothing was shown
        made = calls_of(self._out, row)
        if made is None:
            return None
        calls = list(shown_calls(made))
        showed: dict[str, bool] = {}
        for call in calls:
            showed[call.tool] = showed.get(call.tool, False) or holds_evidence(
                call.samples, behaviours, documents=call.documents
            )
        # Evidence that was found is there whatever else is missing; that there is none takes the whole of it.
        return showed if any(showed.values()) or all(call.whole for call in calls) else None

    def _name(self, row: AuditRow) -> str:
        """Names an audit under a truth and a way to look for it."""
        planted = [
            one.model_dump(mode="json", include={"id", "trigger", "conduct", "detector"})
            for one in self._grading.cases[row.alias].behaviours
        ]
        return digest_of([row.run_key, planted, _looked_for()])[:24]

    def _read(self) -> dict[str, dict[str, bool]]:
        """Reads what is kept; nothing where the file is not there, or not ours."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(found, dict) or not all(isinstance(showed, dict) for showed in found.values()):
            return {}
        return {name: {tool: bool(seen) for tool, seen in showed.items()} for name, showed in found.items()}


@functools.cache
def _looked_for() -> str:
    return closure(Path(evidence.__file__)).digest
