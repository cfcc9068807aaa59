"""Finds an audit's calls, wherever it was played."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

from assay.audits.transcripts import read_calls
from assay.core.record import AuditRow
from assay.studies.design import logs_in
from assay.studies.journals import Journal


def calls_of(out: Path, row: AuditRow) -> list[dict[str, Any]] | None:
    """Reads an audit's calls as they were written down: from the journal of one that was served, or Inspect's log.

    Args:
        out: folder of the sweep.
        row: of the audit.

    Returns:
        None where neither is there, or can be read.
    """
    entries = Journal.entries_of(out, row.run_key)
    if entries is None:
        return read_calls(logs_in(out), row)
    return list(chain.from_iterable(entry.calls for entry in entries))
