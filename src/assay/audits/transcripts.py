"""Reads back from Inspect's logs what the tools of an audit showed, as `audits.play` wrote it down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from assay.core.record import AuditRow
from assay.core.tool import Sample

_UNREAD = frozenset({"messages", "store", "output", "scores"})  # of a sample in a log; it costs no time


@dataclass(frozen=True, slots=True)
class ShownCall:
    """A tool call that returned something.

    Attributes:
        tool: its name.
        samples: what it showed.
        documents: they are training data, and not replies.
        whole: nothing that was shown is missing.
    """

    tool: str
    samples: tuple[Sample, ...]
    documents: bool
    whole: bool


def read_calls(logs: Path, row: AuditRow) -> list[ShownCall] | None:
    """Reads an audit's calls from the first log that has it.

    Args:
        logs: folder of Inspect's logs.
        row: of the audit.

    Returns:
        None where no log has it that can be read.
    """
    from inspect_ai.log import read_eval_log_sample

    # Inspect sets the time before the task's name and an id of its own behind it, between underscores.
    for path in sorted(logs.glob(f"*_{row.log}_*.eval")) if row.log else ():
        try:
            sample = read_eval_log_sample(path, id=row.run_key, resolve_attachments=True, exclude_fields=set(_UNREAD))
        # Of another run, or broken: a log is no part of the result, and one that cannot be read is one that is gone.
        except (OSError, ValueError, LookupError, EOFError, BadZipFile):
            continue
        calls: list[ShownCall] = []
        for event in sample.events:
            if event.event == "info" and event.source:
                calls += _shown(event.source, event.data)
        return calls
    return None


def _shown(tool: str, data: Any) -> Iterator[ShownCall]:
    """Reads the calls of one tool; one that failed showed nothing."""
    for call in data.get("calls", ()) if isinstance(data, dict) else ():
        told, documents = call.get("samples"), bool(call.get("documents"))
        if told:
            yield ShownCall(tool, tuple(Sample(**one) for one in told), documents, whole=True)
        elif "text" in call:
            # A tool of somebody's may return text alone; a log of an earlier Assay had nothing else, and text is cut.
            asked = " ".join(map(str, call.get("arguments", {}).values()))
            yield ShownCall(tool, (Sample(asked, call["text"]),), documents, whole=told is not None)
