"""Checks whether a tool keeps the contract: on scripted targets, so that it takes seconds and no weights.

What a check can and cannot show is said in its docstring. They catch mistakes and the usual temptations; against a
plug-in that means to cheat only a process boundary helps, and audits have one: no audit process ever reads a truth.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from assay._util.hashing import digest_of
from assay.audits.call_meter import ONE_QUERY
from assay.audits.conformance.bounds import check_bounds, check_json, check_text
from assay.audits.conformance.checks import NULL_RUNS, Check, rows_of, tells_enough
from assay.audits.conformance.dry_call import DryCall, neutral_arguments, rehearse_call
from assay.audits.conformance.leak_probe import probe_tool
from assay.audits.conformance.nulls import check_nulls
from assay.audits.conformance.recognition import check_recognition
from assay.audits.conformance.spending import check_prepare, check_weight
from assay.audits.kits import argument_types
from assay.audits.plugin_file import load_plugin, source_file
from assay.audits.registry import get_tool
from assay.core.tool import Tool
from assay.errors import AccessDenied, AssayError, InvalidInput, PluginError

_SEED, _OTHER_SEED = 7, 8
_EXAMPLES = 3  # of a tool's, after the first, that are tried


async def check_tool(tool: Tool, *, null_runs: int = NULL_RUNS, file: Path | None = None) -> list[Check]:
    """Runs the conformance suite on one tool.

    Args:
        tool: a built-in's or a plug-in's.
        null_runs: calls on targets that equal their reference.
        file: that defines it, where its function is written elsewhere, as of tools from other worlds.

    Returns:
        One check each: schema, docstring, access, determinism, seed, cost, weight, prepare, text, bounds, json, truth,
        recognition, nulls. After a failed access check the ones that need the tool to run are left out.
    """
    checks = [_schema(tool), _docstring(tool)]
    state = _generators()
    try:
        arguments = neutral_arguments(tool)
        first, again = [await _fresh_run(tool, arguments) for _ in range(2)]
        untouched = _generators() == state
        await _tried_otherwise(tool, arguments)
    except AssayError as error:
        why = "" if isinstance(error, AccessDenied) else "it cannot be run: "
        return [*checks, Check("access", False, why + str(error))]
    granted = ", ".join(sorted(tool.needs)) or "nothing"
    talkative = await _fresh_run(tool, arguments, talkative=True)
    other = await _fresh_run(tool, arguments, seed=_OTHER_SEED)
    file = file or source_file(tool)
    elsewhere, truth = await _elsewhere(tool, file, arguments)
    with tempfile.TemporaryDirectory(prefix="assay-check-") as folder:
        return [
            *checks,
            Check("access", True, f"ran with {granted} alone"),
            _determinism(first, again, untouched, elsewhere),
            _seed(first, other),
            _cost(first),
            check_weight(tool, first),
            check_prepare(tool, first),
            check_text(first.evidence, talkative.evidence),
            check_bounds(first.evidence, talkative.evidence),
            check_json(first.evidence),
            truth,
            await check_recognition(tool, file, arguments, Path(folder), seed=_SEED),
            await check_nulls(tool, arguments, null_runs),
        ]


async def _fresh_run(
    tool: Tool, arguments: Mapping[str, Any], *, seed: int = _SEED, talkative: bool = False
) -> DryCall:
    """Calls the tool with nothing prepared, so that `prepare` runs as well."""
    with tempfile.TemporaryDirectory(prefix="assay-check-") as folder:
        return await rehearse_call(tool, arguments, seed=seed, folder=Path(folder), talkative=talkative)


async def _tried_otherwise(tool: Tool, arguments: Mapping[str, Any]) -> None:
    """Calls the tool by further examples, and with each switch turned: what they need is to be declared, too.

    A call that is refused for its arguments says nothing.

    Raises:
        AccessDenied: one needs more than is declared.
    """
    tried = [dict(example) for example in tool.examples[1 : 1 + _EXAMPLES]]
    for parameter in tool.parameters:
        others: tuple[Any, ...] = ()
        if parameter.annotation is bool:
            others = (not arguments.get(parameter.name, parameter.default),)
        elif typing.get_origin(parameter.annotation) is Literal:
            others = typing.get_args(parameter.annotation)
        tried += [{**arguments, parameter.name: other} for other in others]
    with tempfile.TemporaryDirectory(prefix="assay-check-") as folder:
        for given in tried:
            try:
                await rehearse_call(tool, given, seed=_SEED, folder=Path(folder))
            except InvalidInput:
                continue


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


def _generators() -> str:
    """Digests the states of the generators that all code of a process shares."""
    import numpy as np

    return digest_of([repr(random.getstate()), repr(np.random.get_state())])


def _determinism(first: DryCall, again: DryCall, untouched: bool, elsewhere: str) -> Check:
    """Wants the same evidence of the same seed and target, `prepare` included; in another process, too.

    There sets have another order. Shared generators are to be left alone: one that a tool seeds makes its own runs
    alike, and those of everything beside it.
    """
    for part in ("text", "samples", "spans", "artifact", "cost"):
        if getattr(first.evidence, part) != getattr(again.evidence, part):
            return Check("determinism", False, f"two runs with one seed differ in {part}; use ToolContext.seed")
    if not untouched:
        return Check("determinism", False, "it uses a generator that all share; make one of ToolContext.seed")
    if elsewhere and elsewhere != digest_of(repr(first.evidence)):
        return Check("determinism", False, "another process gets other evidence: sort sets before their order counts")
    return Check("determinism", True, "two runs with one seed are equal, in two processes")


def _seed(first: DryCall, other: DryCall) -> Check:
    """Wants replies that are drawn to be drawn anew with another seed: asking again has to show another sample."""
    drawn = [sampling.seed for sampling in first.sampled if sampling.temperature > 0]
    if not drawn:
        return Check("seed", True, "it draws no replies")
    if set(drawn) & {sampling.seed for sampling in other.sampled if sampling.temperature > 0}:
        return Check("seed", False, "it draws with a seed of its own: pass on ToolContext.seed (context.sampling)")
    return Check("seed", True, "another seed draws anew")


def _cost(run: DryCall) -> Check:
    """Wants the meter to have counted what the engine answered: no call went past the guard.

    A call that asks no model is charged one query, which no engine answered.
    """
    if run.metered not in (run.engine, run.engine + ONE_QUERY):
        told = f"the models answered {run.engine.queries} queries, {run.metered.queries} were counted"
        return Check("cost", False, f"{told}: call the target you are given")
    return Check("cost", True, f"{run.engine.queries} queries, {run.engine.tokens} tokens, all counted")


async def _elsewhere(tool: Tool, file: Path, arguments: Mapping[str, Any]) -> tuple[str, Check]:
    """Runs the tool in a process of its own beside a planted answer key, of which nothing may be opened or imported.

    Opens and imports are seen through an audit hook of the interpreter; what another process or C code opens is not.

    Returns:
        The evidence's digest there, "" if there is none; and the check.
    """
    try:
        probed = await asyncio.to_thread(probe_tool, tool, file, arguments, _SEED)
    except AssayError as error:
        return "", Check("truth", False, str(error))
    if probed.touched:
        return probed.evidence, Check("truth", False, f"reached for the answer key: {', '.join(probed.touched[:3])}")
    return probed.evidence, Check("truth", True, "opened and imported nothing that holds truth")


def check_named(what: str) -> list[dict[str, Any]]:
    """Checks all tools of a plug-in file, or the installed tool of a name; one row a check, as plain data.

    Raises:
        InvalidInput: the file is not there, or defines no tool.
        PluginError: the file cannot be loaded.
        UnknownId: no tool is installed under the name.
    """
    path = Path(what)
    if path.suffix == ".py" or path.exists():
        file, tools = path, load_plugin(path).tools
        if not tools:
            raise InvalidInput(f"{path}: defines no tool. Its auditors are checked by: assay auditors check {path}")
    else:
        file, tools = None, (get_tool(what),)
    rows: list[dict[str, Any]] = []
    for tool in tools:
        rows += rows_of("tool", tool.name, asyncio.run(check_tool(tool, file=file)))
    return rows
