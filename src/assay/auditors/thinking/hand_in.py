"""How a language model hands in its answer: checked at once, told what is wrong, mended while there is budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from inspect_ai.tool import ToolDef, ToolError, ToolParams
from inspect_ai.util import JSONSchema

from assay.errors import ReportInvalid

_Answer = TypeVar("_Answer")
DRAFT = "draft"


@dataclass
class HandIn(Generic[_Answer]):
    """Takes one answer.

    Attributes:
        name: of the tool that hands it in.
        described: what the model reads of that tool.
        fields: of an answer → what each holds. What is wrong with an answer is said by `read`, not by a schema.
        read: makes the answer of what was given; raises ReportInvalid with all that is wrong with it.
        drafts: whether a draft can be left, which counts where the budget ends first.
        answer: the one that was taken; None while there is none.
        draft: the last one that was left.
        refused: how many were not taken.
        over: nothing but handing in is left to do, and a draft is taken as the answer.
    """

    name: str
    described: str
    fields: Mapping[str, str]
    read: Callable[[dict[str, Any]], _Answer]
    drafts: bool = False
    answer: _Answer | None = None
    draft: _Answer | None = None
    refused: int = 0
    over: bool = False

    @property
    def best(self) -> _Answer | None:
        """Returns the answer or, where none was taken, the draft."""
        return self.draft if self.answer is None else self.answer

    def tool(self) -> ToolDef:
        """Makes the tool that hands it in."""
        properties = {name: JSONSchema(description=told) for name, told in self.fields.items()}
        if self.drafts:
            told = "true: keep this for the case that your budget ends, and go on. A later one takes its place."
            properties[DRAFT] = JSONSchema(type="boolean", default=False, description=told)
        parameters = ToolParams(properties=properties, additionalProperties=True)
        return ToolDef(self._take, name=self.name, description=self.described, parameters=parameters, parallel=False)

    async def _take(self, **given: Any) -> str:
        goes_on = self.drafts and given.pop(DRAFT, False) is True and not self.over
        try:
            answer = self.read(given)
        except ReportInvalid as error:
            self.refused += 1
            raise ToolError(f"It was not taken. What is wrong:\n{error}\nMend it and hand it in again.") from None
        if goes_on:
            self.draft = answer
            return "It is kept as a draft. Go on."
        self.answer = answer
        return "It was taken."
