"""Kits: `NAME(+NAME)*` into bound, metered tools."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

from assay._util.storable import storable
from assay.audits.call_meter import CallMeter
from assay.audits.guard import GuardedTarget
from assay.audits.named_kits import NAMED_KITS
from assay.audits.plugin_file import plugin_failure, source_file
from assay.audits.prepared import PreparedStore, Subject
from assay.core.access import PRESETS, Access
from assay.core.auditor import Kit
from assay.core.budget import Meter
from assay.core.record import Preparation
from assay.core.target import Target
from assay.core.tool import TEXT_LIMIT, BoundTool, Evidence, Prepared, Tool, ToolContext
from assay.errors import AssayError, BudgetExceeded, InvalidInput, PluginError, TooLong, UnknownId

PLACEBO = "~"
CUT = "… [cut]"


@dataclass(frozen=True, slots=True)
class KitPlan:
    """What a kit's name asks for.

    Attributes:
        name: canonical: equal for equal sets of tools, however they were written.
        tools: name and whether it is wired to another testbed, in order of name.
    """

    name: str
    tools: tuple[tuple[str, bool], ...]

    @property
    def placebo(self) -> bool:
        """Whether any tool needs another testbed."""
        return any(placebo for _, placebo in self.tools)


@dataclass(frozen=True, slots=True)
class Binding:
    """A bound kit and the counts that are no business of the auditor's.

    Attributes:
        kit: for the auditor; its name does not tell placebos from real tools.
        calls: tool → calls so far.
        prepared: tool → what was prepared for it and its cost, apart from what the audit spends.
    """

    kit: Kit
    calls: Counter[str] = field(default_factory=Counter)
    prepared: dict[str, Preparation] = field(default_factory=dict)


def parse_kit(text: str, known_tools: Iterable[str]) -> KitPlan:
    """Read a kit's name.

    Args:
        text: `NAME(+NAME)*`, each a tool or one of `NAMED_KITS`; `~NAME` wires it to another testbed (the placebo).
        known_tools: installed tools and those of plug-ins.

    Raises:
        UnknownId: a name is neither a tool nor a named kit.
        InvalidInput: no name at all, or a tool both real and placebo.
        PluginError: a tool has the name of a kit.
    """
    known = set(known_tools)
    if both := known & NAMED_KITS.keys():
        raise PluginError(f"tool {min(both)!r} has the name of a kit ({', '.join(NAMED_KITS)}). Rename the tool.")
    wired: dict[str, bool] = {}
    for part in (part.strip() for part in text.split("+")):
        placebo, name = part.startswith(PLACEBO), part.removeprefix(PLACEBO)
        if not name:
            raise InvalidInput(f"kit {text!r}: a name is missing. Write NAME(+NAME)*, or prior-only for no tools.")
        if name not in NAMED_KITS and name not in known:
            raise UnknownId("tool or kit", name, known | NAMED_KITS.keys())
        for tool in NAMED_KITS.get(name, (name,)):
            if wired.setdefault(tool, placebo) != placebo:
                raise InvalidInput(f"kit {text!r}: {tool} is both real and a placebo. Leave out one of the two.")
    return KitPlan(_canonical(wired), tuple(sorted(wired.items())))


def _canonical(wired: Mapping[str, bool]) -> str:
    """Names a set of tools by the largest named kits that fit into it and have something new, and the tools left over.

    A named kit of one tool is called by the tool: kits are compared by the parts of their names.
    """
    parts: dict[tuple[str, bool], None] = {}
    rest = dict(wired)
    for name, tools in sorted(NAMED_KITS.items(), key=lambda item: -len(item[1])):
        for placebo in (False, True):
            fits = len(tools) > 1 and all(wired.get(tool) is placebo for tool in tools)
            if fits and not rest.keys().isdisjoint(tools):
                parts[name, placebo] = None
                rest = {tool: kind for tool, kind in rest.items() if tool not in tools}
    order = [*NAMED_KITS, *sorted(rest)]
    parts |= dict.fromkeys(rest.items())
    named = sorted(parts, key=lambda part: order.index(part[0]))
    return "+".join((PLACEBO if placebo else "") + name for name, placebo in named) or "prior-only"


async def bind_kit(
    plan: KitPlan,
    tools: Mapping[str, Tool],
    subject: Subject,
    donor: Subject | None,
    meter: Meter,
    *,
    seed: int,
    store: PreparedStore,
    auxiliary: Target | None = None,
    earlier: Iterable[tuple[str, Mapping[str, Any]]] = (),
) -> Binding:
    """Tie a kit's tools to a target, each guarded to what it declares, metered and seeded.

    A tool that cannot be used here (access not granted, preparing beyond its cap) is skipped with the reason. Preparing
    one may spend no more than the audit itself.

    Args:
        plan: from `parse_kit`.
        tools: by name; at least those of the plan.
        subject: the target under audit.
        donor: the other target that placebos are wired to; None if the plan has none.
        meter: of the audit.
        seed: of the audit.
        store: of prepared values.
        auxiliary: a model that helps tools which want one; to grant `AUX_MODEL` is the audit's, and no testbed's.
        earlier: calls of an audit that is taken up again, tool and arguments: what is asked again is sampled afresh.

    Raises:
        InvalidInput: a placebo without a donor, or with the subject itself as donor.
        PluginError: a tool's `prepare` failed.
    """
    if plan.placebo and (donor is None or donor.digest == subject.digest):
        raise InvalidInput(f"kit {plan.name!r} has a placebo, which must be wired to a testbed other than the audited.")
    bound: dict[str, BoundTool] = {}
    skipped: dict[str, str] = {}
    binding = Binding(Kit(plan.name.replace(PLACEBO, ""), bound, skipped))
    repeats = _asked(earlier, tools, binding.calls)
    for name, placebo in plan.tools:
        tool, wired = tools[name], donor if placebo and donor is not None else subject
        # a placebo is there exactly when the real tool would be
        granted = (subject.target.access & wired.target.access) - {Access.AUX_MODEL}
        granted |= {Access.AUX_MODEL} if auxiliary is not None else frozenset()
        missing = tool.needs - granted
        if missing:
            skipped[name] = f"needs {', '.join(sorted(missing))}, which this {_granting(missing)} does not grant"
            continue
        prepared = Prepared(None)
        if tool.prepare is not None:
            try:
                prepared, binding.prepared[name] = await store.get(tool, wired, meter.budget)
            except BudgetExceeded as error:
                skipped[name] = str(error)
                continue
        access = granted & (tool.needs | tool.wants)
        counts = {"calls": binding.calls, "repeats": repeats}
        invoke = _invoker(tool, wired.target, access, prepared, auxiliary=auxiliary, meter=meter, seed=seed, **counts)
        bound[name] = BoundTool(tool, invoke)
    return binding


def _asked(
    earlier: Iterable[tuple[str, Mapping[str, Any]]], tools: Mapping[str, Tool], calls: Counter[str]
) -> Counter[str]:
    """Counts earlier calls, by tool into `calls`, and by what they asked."""
    repeats: Counter[str] = Counter()
    for name, arguments in earlier:
        calls[name] += 1
        with suppress(InvalidInput):  # it was refused then, too
            repeats[_said(name, _typed(tools[name], argument_types(tools[name]), arguments))] += 1
    return repeats


def _invoker(
    tool: Tool,
    target: Target,
    granted: frozenset[Access],
    prepared: Prepared,
    *,
    auxiliary: Target | None,
    meter: Meter,
    seed: int,
    calls: Counter[str],
    repeats: Counter[str],
) -> Callable[[Mapping[str, Any]], Awaitable[Evidence]]:
    types = argument_types(tool)

    async def invoke(given: Mapping[str, Any]) -> Evidence:
        calls[tool.name] += 1
        arguments = _typed(tool, types, given)
        said = _said(tool.name, arguments)
        call_meter = CallMeter(meter, tool.name)
        helper: Target | None = None
        if auxiliary is not None and Access.AUX_MODEL in granted:
            helper = GuardedTarget(auxiliary, PRESETS["api"], call_meter, tool.name)
        context = ToolContext(call_seed(seed, repeats[said]), meter.tokens_left, helper)
        repeats[said] += 1
        guarded = GuardedTarget(target, granted, call_meter, tool.name)
        injected = {Target: guarded, Prepared: prepared, ToolContext: context}
        try:
            evidence = await call_meter.run(lambda: tool.call(injected, arguments))
        except TooLong as error:
            # Known to whoever chose the words alone, so told to the auditor, as a tool's answer: the audit goes on.
            evidence = Evidence(f"The call failed: {error}")
        except AssayError:
            raise
        except (Exception, SystemExit) as error:
            raise plugin_failure(error, source_file(tool)) from error
        return replace(evidence, text=_capped(evidence.text), cost=call_meter.spent)

    return invoke


def _said(tool: str, arguments: Mapping[str, Any]) -> str:
    """Names a call by what it asks, so that one made again is known."""
    return json.dumps([tool, arguments], sort_keys=True, default=str)


def _granting(missing: frozenset[Access]) -> str:
    return "audit" if missing == {Access.AUX_MODEL} else "testbed"


def argument_types(tool: Tool) -> dict[str, TypeAdapter[Any]]:
    """What checks each argument of a tool.

    Raises:
        PluginError: a parameter's type has no JSON schema.
    """
    types: dict[str, TypeAdapter[Any]] = {}
    for parameter in tool.parameters:
        try:
            types[parameter.name] = TypeAdapter(parameter.annotation)
            types[parameter.name].json_schema()
        except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema):
            raise PluginError(
                f"tool {tool.name}: {parameter.name}: {parameter.annotation} has no JSON schema; use plain types."
            ) from None
    return types


def _typed(tool: Tool, types: Mapping[str, TypeAdapter[Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as the types the schema says; `Tool.call` refuses unknown and missing ones."""
    try:
        return {name: types[name].validate_python(value) if name in types else value for name, value in given.items()}
    except ValidationError as error:
        parameters = ", ".join(f"{p.name}: {getattr(p.annotation, '__name__', p.annotation)}" for p in tool.parameters)
        first = error.errors()[0]
        raise InvalidInput(
            f"tool {tool.name}: {first['msg']} (given: {first['input']!r}). It takes: {parameters}."
        ) from None


def call_seed(seed: int, repeat: int) -> int:
    """Seed of a call: the same for every tool and kit, so that equal prompts get equal replies and are sampled once.

    Draws differ by prompt in the engine; the same call made again gets another seed, and so a fresh sample.
    """
    return zlib.crc32(f"{seed}/{repeat}".encode())


def _capped(text: str) -> str:
    text = str(storable(text))
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - len(CUT)] + CUT
