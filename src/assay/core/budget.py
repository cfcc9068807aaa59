"""Enforces budgets outside the auditor; they are equal across kits."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from assay.core.target import Cost
from assay.errors import BudgetExceeded


@dataclass(frozen=True, slots=True)
class Budget:
    """What one audit may spend.

    Attributes:
        queries: calls to any model (target or reference).
        tokens: forward tokens of any model, read and written.
        seconds: wall time.
    """

    queries: int = 2_000
    tokens: int = 200_000
    seconds: float = 3_600.0


@dataclass(slots=True)
class Meter:
    """Counts what an audit spends, by tool, and stops it at its budget.

    Attributes:
        budget: what may be spent.
        spent: so far.
        by_tool: tool → its part of that.
        started: when, on the monotonic clock.
    """

    budget: Budget
    spent: Cost = field(default_factory=Cost)
    by_tool: dict[str, Cost] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Refuses a call, before it is made, if nothing is left.

        Raises:
            BudgetExceeded: queries, tokens or time are used up.
        """
        # What a call will cost is not known before it is made, so the last one may run over: each kit alike.
        used = {
            "queries": (self.spent.queries, self.budget.queries),
            "tokens": (self.spent.tokens, self.budget.tokens),
            "seconds": (time.monotonic() - self.started, self.budget.seconds),
        }
        for unit, (spent, limit) in used.items():
            if spent >= limit:
                raise BudgetExceeded(f"budget used up: {spent:.0f} of {limit:.0f} {unit}")

    def charge(self, tool: str, cost: Cost) -> None:
        """Adds a cost under a tool's name."""
        self.spent += cost
        self.by_tool[tool] = self.by_tool.get(tool, Cost()) + cost

    @property
    def tokens_left(self) -> int:
        """Returns the forward tokens that may still be spent."""
        return max(0, self.budget.tokens - self.spent.tokens)
