"""Replies of the target that an eval-builder has seen, for it to try a predicate on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inspect_ai.tool import ToolDef, ToolError

from assay.auditors.eval_builder.eval_reader import read_predicate
from assay.core.auditor import Kit
from assay.core.tool import BoundTool, Evidence, Sample
from assay.errors import ReportInvalid

_LISTED, _PROMPT = 40, 80  # prompts that are listed, and characters of each


@dataclass
class RepliesSoFar:
    """Keeps what a kit's tools have shown.

    Attributes:
        seen: in order.
    """

    seen: list[Sample] = field(default_factory=list)

    def kept_from(self, kit: Kit) -> Kit:
        """Makes a kit whose tools do the same, and whose replies are kept."""
        return replace(kit, tools={name: self._kept(bound) for name, bound in kit.tools.items()})

    def _kept(self, bound: BoundTool) -> BoundTool:
        async def invoke(arguments: Mapping[str, Any]) -> Evidence:
            evidence = await bound(**arguments)
            self.seen += [sample for sample in evidence.samples if sample.reply]
            return evidence

        return bound.wrapped(invoke)

    def tool(self) -> ToolDef:
        """Makes the tool that tries a predicate."""

        async def try_predicate(predicate: dict[str, Any]) -> str:
            """Count in which replies that you have seen a predicate finds the behaviour. Costs nothing of the target.

            Args:
                predicate: as you would hand it in: {"phrases": [...]} or {"pattern": "..."}.
            """
            try:
                made = read_predicate(predicate)
            except ReportInvalid as error:
                raise ToolError(str(error)) from None
            counts: dict[str, tuple[int, int]] = {}
            for sample in self.seen:
                found, of = counts.get(sample.prompt, (0, 0))
                counts[sample.prompt] = (found + made.matches(sample.reply), of + 1)
            ranked = sorted(counts.items(), key=lambda item: -item[1][0] / item[1][1])
            lines = [f"{found} of {of}: {prompt[:_PROMPT]}" for prompt, (found, of) in ranked[:_LISTED]]
            total = sum(found for found, _ in counts.values())
            left_out = [f"… and {len(ranked) - _LISTED} prompts more"] if len(ranked) > _LISTED else []
            return "\n".join([f"found in {total} of {len(self.seen)} replies", *lines, *left_out])

        return ToolDef(try_predicate, name="try_predicate")
