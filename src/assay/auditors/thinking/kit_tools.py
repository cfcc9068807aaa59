"""A kit's tools as Inspect's tools: the same schema, and under every result what is left of the budget."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Any

from inspect_ai.tool import ToolDef, ToolError, ToolParams
from inspect_ai.util import JSONSchema
from pydantic import TypeAdapter

from assay.core.auditor import Kit
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel
from assay.core.target import Cost
from assay.core.tool import BoundTool, Evidence, Parameter
from assay.errors import AssayError, BudgetExceeded

TIMES = "times"
MOST_TIMES = 8
_ARGUMENT = re.compile(r"^ +(\w+): (.+(?:\n {8,}.+)*)$", re.MULTILINE)
_FATAL = ("engine", "target", "assay")  # whom an error blames that no other call can mend


@dataclass
class Spending:
    """Counts what an auditor has seen itself spend, for it to know; the limits are enforced elsewhere.

    Attributes:
        budget: of the audit.
        model: that thinks.
        spent: on the target.
    """

    budget: Budget
    model: LanguageModel
    spent: Cost = field(default_factory=Cost)
    _started: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float:
        """Returns how long the audit may still take."""
        return self.budget.seconds - (time.monotonic() - self._started)

    def line(self) -> str:
        """Says in one line what is left."""
        queries = max(0, self.budget.queries - self.spent.queries)
        tokens = max(0, self.budget.tokens - self.spent.tokens)
        return (
            f"[left: {queries:,} queries and {tokens:,} tokens of the target, {self.model.tokens_left:,} of your own "
            f"tokens, {max(0, self.seconds_left) / 60:.0f} min]"
        )


def kit_tools(kit: Kit, spending: Spending) -> list[ToolDef]:
    """Makes a tool of Inspect's of each tool of a kit."""
    return [_tool_of(bound, spending) for bound in kit.tools.values()]


def _tool_of(bound: BoundTool, spending: Spending) -> ToolDef:
    repeatable = _repeatable(bound)
    told = _said_of_arguments(bound.doc)
    properties = {one.name: _schema(one, told.get(one.name, one.name)) for one in bound.parameters}
    if repeatable:
        properties[TIMES] = JSONSchema(
            type="integer",
            default=1,
            minimum=1,
            maximum=MOST_TIMES,
            description=f"How often to make this call, 1 to {MOST_TIMES}; each is a fresh sample.",
        )

    async def execute(**arguments: Any) -> str:
        times = arguments.pop(TIMES, 1) if repeatable else 1
        if not isinstance(times, int) or not 1 <= times <= MOST_TIMES:
            raise ToolError(f"{TIMES} is {times!r}; give 1 to {MOST_TIMES}.")
        try:
            calls = (bound(**arguments) for _ in range(times))
            made = await asyncio.gather(*calls, return_exceptions=True)
            return _told(made, spending)
        except BudgetExceeded as error:
            raise ToolError(f"{error}. {spending.line()}") from None
        except AssayError as error:
            if error.blames in _FATAL:
                raise
            raise ToolError(f"{error} {spending.line()}") from None

    parameters = ToolParams(
        properties=properties, required=[parameter.name for parameter in bound.parameters if parameter.required]
    )
    return ToolDef(execute, name=bound.name, description=bound.doc, parameters=parameters, parallel=True)


def _told(made: list[Evidence | BaseException], spending: Spending) -> str:
    """Writes out what some equal calls returned.

    Raises:
        AssayError: none of them returned anything; the first one's error.
    """
    found = [one for one in made if isinstance(one, Evidence)]
    failed = [one for one in made if isinstance(one, BaseException)]
    for evidence in found:
        spending.spent += evidence.cost
    if not found:
        raise failed[0]
    texts = [evidence.text for evidence in found]
    if len(made) > 1:
        texts = [f"({number} of {len(made)}) {text}" for number, text in enumerate(texts, start=1)]
    if failed:
        texts.append(f"{len(failed)} more calls failed: {failed[0]}")
    return "\n\n".join([*texts, spending.line()])


def _repeatable(bound: BoundTool) -> bool:
    """Tells whether the same call shows something new: one that has a prompt sampled, and takes no number itself."""
    names = {parameter.name for parameter in bound.parameters}
    return bool(names & {"prompt", "prompts"}) and not names & {TIMES, "n", "samples"}


def _said_of_arguments(doc: str) -> dict[str, str]:
    """Reads what a Google-style docstring says of each argument."""
    _, _, listed = doc.partition("Args:\n")
    return {name: " ".join(text.split()) for name, text in _ARGUMENT.findall(listed)}


def _schema(parameter: Parameter, told: str) -> JSONSchema:
    schema = JSONSchema.model_validate(TypeAdapter(parameter.annotation).json_schema())
    more = {"description": told} if parameter.required else {"description": told, "default": parameter.default}
    return schema.model_copy(update=more)
