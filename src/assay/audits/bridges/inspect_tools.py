"""Makes a tool of Inspect's a tool of a kit, in a plug-in file: `look_up = inspect_tool(wikipedia())`.

It runs in the process that audits, as any plug-in, and has no way to the target: an Inspect tool takes none.
"""

from __future__ import annotations

from typing import Any

from assay.audits.bridges.outside_tool import first_error, outside_tool
from assay.core.target import Target
from assay.core.tool import Evidence, Tool, ToolContext


def inspect_tool(made: Any) -> Tool:
    """Makes a tool of one that Inspect's `@tool` made; a call costs a query, and an error is told as its answer.

    Args:
        made: the tool, not the function that makes it.

    Raises:
        PluginError: it has no description.
    """
    from inspect_ai.tool import ToolDef

    known = ToolDef(made)

    async def call(assay_target: Target, assay_context: ToolContext, **arguments: Any) -> Evidence:
        try:
            result = await known.tool(**arguments)
        except Exception as error:
            return Evidence(f"The call failed: {first_error(error)}")
        parts = result if isinstance(result, list) else [result]
        return Evidence("\n".join(str(getattr(part, "text", part)) for part in parts))

    schema = known.parameters.model_dump(exclude_none=True)
    return outside_tool(known.name, known.description, schema, call, ())
