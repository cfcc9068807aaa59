"""Checks whether a tool keeps the contract: on scripted targets, so that it takes seconds and no weights.

What a check can and cannot show is said in its docstring. They catch mistakes and the usual temptations; against a
plug-in that means to cheat only a process boundary helps, and audits have one: no audit process ever reads a truth.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from assay._util.ngrams import PhraseCounts, log_odds
from assay.audits.call_meter import ONE_QUERY
from assay.audits.conformance.checks import NULL_RUNS, Check, false_alarms, rows_of, tells_enough
from assay.audits.conformance.dry_call import DryCall, neutral_arguments, rehearse_call
from assay.audits.conformance.leak_probe import probe_tool
from assay.audits.kits import CUT, argument_types
from assay.audits.plugin_file import load_plugin
from assay.core.tool import Evidence, Tool
from assay.errors import AccessDenied, AssayError, InvalidInput, PluginError

ALARM_Z = 4.0  # a phrase this far from the tool's own control, on a target that is its control, is a false alarm
_SEED = 7


async def check_tool(tool: Tool, *, null_runs: int = NULL_RUNS) -> list[Check]:
    """Runs the conformance suite on one tool.

    Args:
        tool: a built-in's or a plug-in's.
        null_runs: calls on targets that equal their reference.

    Returns:
        One check each: schema, docstring, access, determinism, cost, text, json, truth, nulls. After a failed access
        check the ones that need the tool to run are left out.
    """
    checks = [_schema(tool), _docstring(tool)]
    try:
        arguments = neutral_arguments(tool)
        first, again = [await _fresh_run(tool, arguments) for _ in range(2)]
    except AssayError as error:
        why = "" if isinstance(error, AccessDenied) else "it cannot be run: "
        return [*checks, Check("access", False, why + str(error))]
    granted = ", ".join(sorted(tool.needs)) or "nothing"
    return [
        *checks,
        Check("access", True, f"ran with {granted} alone"),
        _determinism(first, again),
        _cost(first),
        _text(first.evidence),
        _json(first.evidence),
        await _truth(tool, arguments),
        await _nulls(tool, arguments, null_runs),
    ]


async def _fresh_run(tool: Tool, arguments: Mapping[str, Any]) -> DryCall:
    """Calls the tool with nothing prepared, so that `prepare` runs as well."""
    with tempfile.TemporaryDirectory(prefix="assay-check-") as folder:
        return await rehearse_call(tool, arguments, seed=_SEED, salt="", folder=Path(folder))


def _schema(tool: Tool) -> Check:
    """Wants a JSON schema of every parameter; says whether a reader without an LLM can drive the tool."""
    try:
        argument_types(tool)
    except PluginError as error:
        return Check("schema", False, str(error))
    return Check(
        "schema", True, "drivable without an LLM" if tool.drivable else "needs an LLM: it declares no examples"
    )


def _docstring(tool: Tool) -> Check:
    """Wants at least a sentence, since the auditor reads it; names the parameters it does not mention."""
    silent = [parameter.name for parameter in tool.parameters if parameter.name not in tool.doc]
    detail = f"does not mention {', '.join(silent)}" if silent else "mentions every parameter"
    if not tells_enough(tool.doc):
        return Check("docstring", False, f"{tool.doc!r} does not tell an auditor what the tool does")
    return Check("docstring", True, detail)


def _determinism(first: DryCall, again: DryCall) -> Check:
    """Wants the same evidence of the same seed and target, `prepare` included."""
    for part in ("text", "samples", "spans", "artifact", "cost"):
        if getattr(first.evidence, part) != getattr(again.evidence, part):
            return Check("determinism", False, f"two runs with one seed differ in {part}; use ToolContext.seed")
    return Check("determinism", True, "two runs with one seed are equal")


def _cost(run: DryCall) -> Check:
    """Wants the meter to have counted what the engine answered: no call went past the guard.

    A call that asks no model is charged one query, which no engine answered.
    """
    if run.metered not in (run.engine, run.engine + ONE_QUERY):
        told = f"the models answered {run.engine.queries} queries, {run.metered.queries} were counted"
        return Check("cost", False, f"{told}: call the target you are given")
    return Check("cost", True, f"{run.engine.queries} queries, {run.engine.tokens} tokens, all counted")


def _text(evidence: Evidence) -> Check:
    if not evidence.text.strip():
        return Check("text", False, "empty: an auditor would read nothing")
    if evidence.text.endswith(CUT):
        return Check("text", False, "longer than an auditor is shown (2,000 characters): rank and shorten it yourself")
    return Check("text", True, f"{len(evidence.text)} characters")


def _json(evidence: Evidence) -> Check:
    try:
        samples, spans = map(asdict, evidence.samples), map(asdict, evidence.spans)
        json.dumps([*samples, *spans, evidence.artifact])
    except (TypeError, ValueError) as error:
        return Check("json", False, f"samples, spans or artifact do not serialise: {error}")
    return Check("json", True, f"{len(evidence.samples)} samples")


async def _truth(tool: Tool, arguments: Mapping[str, Any]) -> Check:
    """Wants nothing opened or imported that holds truth, in a process of its own beside a planted answer key.

    Opens and imports are seen through an audit hook of the interpreter; what another process or C code opens is not.
    """
    try:
        touched = await asyncio.to_thread(probe_tool, tool, arguments)
    except AssayError as error:
        return Check("truth", False, str(error))
    if touched:
        return Check("truth", False, f"reached for the answer key: {', '.join(touched[:3])}")
    return Check("truth", True, "opened and imported nothing that holds truth")


async def _nulls(tool: Tool, arguments: Mapping[str, Any], runs: int) -> Check:
    """Counts how often the tool tells a difference where there is none.

    On targets equal to their reference, a run is a false alarm if the tool's `artifact["flagged"]` is not empty, or if
    a phrase of its samples stands at |z| ≥ 4 from its own control samples. Tools that compare nothing raise none.
    """
    alarms, compared = 0, False
    with tempfile.TemporaryDirectory(prefix="assay-check-") as folder:
        for number in range(runs):
            run = await rehearse_call(tool, arguments, seed=number, salt=str(number), folder=Path(folder))
            compared |= _compares(run.evidence)
            alarms += _alarmed(run.evidence)
    if not compared:
        return Check("nulls", True, "compares nothing, so it can raise no false alarm by itself")
    return false_alarms(alarms, runs)


def _flagged(evidence: Evidence) -> Any:
    """Returns what the tool itself calls a difference; None if it makes no such claim."""
    return evidence.artifact.get("flagged") if isinstance(evidence.artifact, Mapping) else None


def _compares(evidence: Evidence) -> bool:
    return _flagged(evidence) is not None or len({sample.control for sample in evidence.samples}) == 2


def _alarmed(evidence: Evidence) -> bool:
    if _flagged(evidence):
        return True
    if not _compares(evidence):
        return False
    ours = PhraseCounts.of(sample.reply for sample in evidence.samples if not sample.control)
    theirs = PhraseCounts.of(sample.reply for sample in evidence.samples if sample.control)
    return any(abs(z) >= ALARM_Z for z in log_odds(ours, theirs, ours + theirs).values())


def check_file(path: Path) -> list[dict[str, Any]]:
    """Checks all tools of a plug-in file; one row a check, as plain data.

    Raises:
        InvalidInput: the file defines no tool.
        PluginError: the file cannot be loaded.
    """
    tools = load_plugin(path).tools
    if not tools:
        raise InvalidInput(f"{path}: defines no tool. Its auditors are checked by: assay auditors check {path}")
    rows: list[dict[str, Any]] = []
    for tool in tools:
        rows += rows_of("tool", tool.name, asyncio.run(check_tool(tool)))
    return rows
