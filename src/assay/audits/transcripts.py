"""Writes down what the tools of an audit showed, each call as plain data, and reads it back.

Inspect's log of an audit has those calls; so has the journal of one that was served.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from assay._util.storable import storable
from assay._util.visible import visible
from assay.audits.redact import scrub
from assay.core.record import AuditRow
from assay.core.tool import BoundTool, Evidence, Sample, Tool
from assay.errors import blamed

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


def recorded(tool: Tool, bound: BoundTool, calls: list[dict[str, Any]]) -> BoundTool:
    """Makes the same tool, whose calls are added to a list as plain data: tool, arguments, text and samples, or error.

    Args:
        tool: that is bound.
        bound: it.
        calls: where they are added.
    """

    async def invoke(arguments: Mapping[str, Any]) -> Evidence:
        call: dict[str, Any] = {"tool": tool.name, "arguments": storable(arguments)}
        calls.append(call)  # before the call, so that one that fails is in the transcript too
        try:
            evidence = await bound(**arguments)
        except Exception as error:
            call["error"] = scrub(blamed(error))
            raise
        call["text"] = visible(evidence.text)
        # Untruncated: whether what an auditor could have read told of the truth is found out later, elsewhere.
        call["samples"] = [_told_of(sample) for sample in evidence.samples]
        if evidence.control:
            call["control"] = visible(evidence.control)
        if tool.shows_documents:
            call["documents"] = True
        return evidence

    return bound.wrapped(invoke)


def _told_of(sample: Sample) -> dict[str, Any]:
    """Writes a sample down, without what it leaves empty."""
    fields = {name: value for name, value in asdict(sample).items() if value}
    kept: dict[str, Any] = storable(fields)
    return kept


def read_calls(logs: Path, row: AuditRow) -> list[dict[str, Any]] | None:
    """Reads an audit's calls, as `recorded` wrote them down, from the first log that has it.

    Args:
        logs: folder of Inspect's logs.
        row: of the audit.

    Returns:
        The calls of one tool after those of another; None where no log has it that can be read.
    """
    from inspect_ai.log import read_eval_log_sample

    # Inspect sets the time before the task's name and an id of its own behind it, between underscores.
    for path in sorted(logs.glob(f"*_{row.log}_*.eval")) if row.log else ():
        try:
            sample = read_eval_log_sample(path, id=row.run_key, resolve_attachments=True, exclude_fields=set(_UNREAD))
        # Of another run, or broken: a log is no part of the result, and one that cannot be read is one that is gone.
        except (OSError, ValueError, LookupError, EOFError, BadZipFile):
            continue
        calls: list[dict[str, Any]] = []
        for event in sample.events:
            if event.event == "info" and event.source:
                data: Any = event.data
                made = data.get("calls", ()) if isinstance(data, dict) else ()
                calls += [{"tool": event.source, **call} for call in made]
        return calls
    return None


def _sample(told: Mapping[str, Any]) -> Sample:
    """Reads what `_told_of` wrote: a prompt or a reply that is not there was empty, as a model's may be."""
    return Sample(**{"prompt": "", "reply": "", **told, "turns": tuple(told.get("turns", ()))})


def shown_calls(calls: Iterable[Mapping[str, Any]]) -> Iterator[ShownCall]:
    """Reads calls that `recorded` wrote down; one that failed showed nothing."""
    for call in calls:
        told, documents = call.get("samples"), bool(call.get("documents"))
        if told:
            yield ShownCall(call["tool"], tuple(map(_sample, told)), documents, whole=True)
        elif "text" in call:
            # A tool of somebody's may return text alone; a log of an earlier Assay had nothing else, and text is cut.
            asked = " ".join(map(str, call.get("arguments", {}).values()))
            yield ShownCall(call["tool"], (Sample(asked, call["text"]),), documents, whole=told is not None)
