"""Calls a tool once on a scripted target, bound and metered as an audit would bind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay._util.hashing import digest_of
from assay.audits.kits import KitPlan, bind_kit
from assay.audits.prepared import PreparedStore, Subject
from assay.core.budget import Budget, Meter
from assay.core.target import Corpus, Cost, Document
from assay.core.tool import Evidence, Tool
from assay.engine.scripted import PLAIN_REPLIES, ScriptedTarget
from assay.errors import InvalidInput
from assay.tools.everyday import PROMPTS

_BUDGET = Budget(queries=5_000, tokens=2_000_000, seconds=300.0)
_BY_TYPE: Mapping[Any, Any] = {str: PROMPTS[0], int: 1, float: 0.5, bool: False}


@dataclass(frozen=True, slots=True)
class DryCall:
    """Tells how one call went: what came back, what the engine was asked, what was counted."""

    evidence: Evidence
    engine: Cost
    metered: Cost


def neutral_arguments(tool: Tool) -> dict[str, Any]:
    """Chooses arguments to try a tool with: its first example, or everyday ones by name and type.

    Raises:
        InvalidInput: a required parameter is of a type nothing neutral is known for.
    """
    if tool.examples:
        return dict(tool.examples[0])
    arguments: dict[str, Any] = {}
    for parameter in tool.parameters:
        if not parameter.required:
            continue
        if parameter.annotation == list[str]:
            arguments[parameter.name] = [*PROMPTS, *(f"{prompt} Be brief." for prompt in PROMPTS)]
        elif parameter.annotation in _BY_TYPE:
            arguments[parameter.name] = _BY_TYPE[parameter.annotation]
        else:
            raise InvalidInput(
                f"tool {tool.name}: nothing neutral is known for {parameter.name}: {parameter.annotation}. "
                "Give examples=[{…}] to @tool."
            )
    return arguments


def scripted_subject(salt: str = "") -> tuple[ScriptedTarget, ScriptedTarget]:
    """Makes a scripted target that grants everything and equals its reference, and that reference.

    The two draw their replies independently, so they differ as two samples of one model do.
    """
    documents = []
    for number, reply in enumerate(PLAIN_REPLIES[::3]):
        prompt = PROMPTS[number % len(PROMPTS)]
        documents.append(Document(digest_of([prompt, reply]), prompt, reply))
    corpus = Corpus(tuple(documents), digest_of([document.id for document in documents]))
    reference = ScriptedTarget("reference", salt=f"reference {salt}")
    return ScriptedTarget("target", reference=reference, corpus=corpus, salt=f"target {salt}"), reference


async def rehearse_call(tool: Tool, arguments: Mapping[str, Any], *, seed: int, salt: str, folder: Path) -> DryCall:
    """Binds a tool to a scripted target as an audit would, and calls it once.

    Raises:
        AssayError: whatever binding or calling raises.
    """
    target, reference = scripted_subject(salt)
    auxiliary = ScriptedTarget("auxiliary", salt=f"auxiliary {salt}")
    meter = Meter(_BUDGET)
    binding = await bind_kit(
        KitPlan(tool.name, ((tool.name, False),)),
        {tool.name: tool},
        Subject(target, "scripted"),
        None,
        meter,
        seed=seed,
        store=PreparedStore(folder),
        auxiliary=auxiliary,
    )
    if tool.name not in binding.kit.tools:
        raise InvalidInput(binding.kit.skipped[tool.name])
    evidence = await binding.kit.tools[tool.name](**arguments)
    built = sum((made.cost for made in binding.prepared.values()), Cost())
    asked = target.spent + reference.spent + auxiliary.spent
    return DryCall(evidence, asked, meter.spent + built)
