"""Runs one tool on one target, by hand: how a person pokes at an organism."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay._util.paths import home
from assay._util.progress import Say
from assay.audits.auxiliary import auxiliary_spec, opened_auxiliary
from assay.audits.kits import argument_types, bind_kit, parse_kit
from assay.audits.prepared import PreparedStore, Subject, target_digest
from assay.audits.registry import collect_tools
from assay.core.budget import Budget, Meter
from assay.core.testbed import TargetSpec
from assay.core.tool import Evidence, Tool
from assay.errors import AccessDenied, InvalidInput, UnknownId


def parse_arguments(tool: Tool, words: Sequence[str]) -> dict[str, Any]:
    """Reads `--name value` pairs as a tool's arguments; a name given twice makes a list.

    Raises:
        InvalidInput: not pairs, or a value that does not fit the parameter.
    """
    names = [parameter.name for parameter in tool.parameters]
    given: dict[str, list[str]] = {}
    for index in range(0, len(words), 2):
        name = words[index].removeprefix("--").replace("-", "_")
        if not words[index].startswith("--") or name not in names or index + 1 == len(words):
            takes = ", ".join(f"--{known.replace('_', '-')} VALUE" for known in names) or "no arguments"
            raise InvalidInput(f"tool {tool.name}: cannot use {words[index]!r}. It takes: {takes}.")
        given.setdefault(name, []).append(words[index + 1])
    types = argument_types(tool)
    arguments: dict[str, Any] = {}
    for name, values in given.items():
        wants_list = types[name].json_schema().get("type") == "array"
        arguments[name] = values if wants_list else values[-1]
    return arguments


def try_tool(
    name: str,
    spec: TargetSpec,
    words: Sequence[str],
    seed: int,
    plugins: Sequence[Path],
    say: Say,
    engine: str = "",
    auxiliary: str = "",
) -> Evidence:
    """Runs a tool once.

    Args:
        name: of the tool.
        spec: of the target.
        words: the tool's arguments, `--name value` each.
        seed: of the call.
        plugins: files that define further tools.
        say: told of long steps.
        engine: words that choose the engine, "" to let the target's base choose.
        auxiliary: model that helps the tool, as `audits.auxiliary` reads it.

    Raises:
        UnknownId: no such tool.
        AccessDenied: the testbed does not grant what it needs.
        InvalidInput: arguments it does not take.
    """
    from assay.engine.cache import audit_replies
    from assay.engine.targets import Targets

    known = collect_tools(plugins)
    if name not in known:
        raise UnknownId("tool", name, known)
    arguments = parse_arguments(known[name], words)
    # Bound and metered as in an audit: what a person sees here is what an auditor would be shown.
    targets = Targets(say, replies=audit_replies(), engine=engine)
    helpers = Targets(say, replies=audit_replies()) if engine else targets
    helper = opened_auxiliary(auxiliary_spec(auxiliary), helpers.open)

    async def once() -> Evidence:
        async with targets.open(spec) as target, helper() as helping:
            binding = await bind_kit(
                parse_kit(name, known),
                known,
                Subject(target, target_digest(spec)),
                None,
                Meter(Budget()),
                seed=seed,
                store=PreparedStore(home() / "prepared"),
                auxiliary=helping,
            )
            if name in binding.kit.skipped:
                raise AccessDenied(f"tool {name}: {binding.kit.skipped[name]}.")
            return await binding.kit.tools[name](**arguments)

    try:
        return asyncio.run(once())
    finally:
        targets.close()
        helpers.close()
