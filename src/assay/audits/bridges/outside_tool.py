"""Makes a tool of a kit of one from another world, by its name, its description and its JSON schema."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import Parameter, Tool, ToolContext, ToolFunction, families_of
from assay.errors import PluginError

_TYPES: Mapping[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "object": dict[str, Any]}


def outside_tool(
    name: str, doc: str, schema: Mapping[str, Any], function: ToolFunction, needs: Iterable[Access]
) -> Tool:
    """Makes a tool; what a plug-in file is made of becomes its digest.

    Args:
        name: in its own world; what is no letter, digit or underscore becomes an underscore.
        doc: what an auditor reads.
        schema: of its arguments, `properties` and `required`.
        function: takes `assay_target`, `assay_context` and the arguments.
        needs: access of what it asks the target.

    Raises:
        PluginError: it has no description.
    """
    if not doc.strip():
        raise PluginError(f"tool {name} has no description: it is what the auditor reads.")
    required = set(schema.get("required", ()))
    parameters: list[Parameter] = []
    for key, one in schema.get("properties", {}).items():
        parameters.append(Parameter(key, _type_of(one), key in required, one.get("default")))
    return Tool(
        function=function,
        name=re.sub(r"\W", "_", name, flags=re.ASCII),
        doc=doc,
        needs=frozenset(needs),
        wants=frozenset(),
        parameters=tuple(parameters),
        injected={"assay_target": Target, "assay_context": ToolContext},
        prepare=None,
        examples=(),
        version=1,
        weight="light",
        source="",
        families=families_of(needs),
        digest="",
    )


def first_error(error: BaseException) -> str:
    """Tells an error's kind and text; of a group, those of the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _type_of(schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type") or ""
    if kind == "array":
        inner = _TYPES.get((schema.get("items") or {}).get("type") or "", Any)
        return list[inner]  # type: ignore[valid-type]
    return _TYPES.get(kind, Any)
