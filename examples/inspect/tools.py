"""A tool of Inspect's, as a member of a kit.

assay tools check examples/inspect/tools.py
"""

from inspect_ai.tool import Tool, tool

from assay.audits.bridges.inspect_tools import inspect_tool


@tool
def calculate() -> Tool:
    async def execute(left: float, right: float) -> str:
        """Multiply two numbers, to check a model's arithmetic.

        Args:
            left: one factor.
            right: the other.
        """
        return f"{left} × {right} = {left * right}"

    return execute


multiply = inspect_tool(calculate())
