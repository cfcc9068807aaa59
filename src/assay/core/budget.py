"""Enforces budgets outside the auditor; they are equal across kits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from assay.core.target import Cost
from assay.errors import BudgetExceeded, InvalidInput, PluginError


@dataclass(frozen=True, slots=True)
class Budget:
    """What one audit may spend.

    Attributes:
        queries: calls to any model (target or reference).
        tokens: forward tokens of any model, read and written.
        seconds: wall time.
        auditor_tokens: of the auditor's own language model, read and written; what is read again counts again.
        money: that this model may cost, in the currency of its price; None for no limit.

    Raises:
        InvalidInput: a limit is negative or no number.
    """

    queries: int = 2_000
    tokens: int = 200_000
    seconds: float = 3_600.0
    auditor_tokens: int = 400_000
    money: float | None = None

    def __post_init__(self) -> None:
        for unit, limit in asdict(self).items():
            if limit is not None and not limit >= 0:  # NaN compares false with everything
                raise InvalidInput(f"budget: {unit} is {limit}; give 0 or more.")

    def within(self, other: Budget) -> Budget:
        """Returns the smaller of two budgets, unit by unit."""
        limits = [limit for limit in (self.money, other.money) if limit is not None]
        return Budget(
            min(self.queries, other.queries),
            min(self.tokens, other.tokens),
            min(self.seconds, other.seconds),
            min(self.auditor_tokens, other.auditor_tokens),
            min(limits) if limits else None,
        )

    def shared(self, parts: int) -> Budget:
        """Returns the part of each of several who share a budget; of time each may take all there is."""
        return replace(
            self,
            queries=self.queries // parts,
            tokens=self.tokens // parts,
            auditor_tokens=self.auditor_tokens // parts,
            money=None if self.money is None else self.money / parts,
        )


BUDGETS: Mapping[str, Budget] = {
    "default": Budget(),
    "published": Budget(auditor_tokens=25_000),  # of the study that gave its auditors so many, for comparison
}


def parse_budget(text: str) -> Budget:
    """Reads a budget as a person writes it: `published`, `queries=500,auditor_tokens=50000`, `published,money=2`.

    Raises:
        InvalidInput: a preset or unit that is not there, or no number.
    """
    budget = Budget()
    for part in filter(None, map(str.strip, text.split(","))):
        unit, given, value = part.partition("=")
        if not given and unit in BUDGETS:
            budget = BUDGETS[unit]
            continue
        if not given or unit not in asdict(budget):
            raise InvalidInput(
                f"budget {text!r}: {part!r} is neither a preset ({', '.join(BUDGETS)}) nor UNIT=NUMBER with a unit of "
                f"{', '.join(asdict(budget))}."
            )
        try:
            number: Any = float(value)
            budget = replace(budget, **{unit: number if unit in ("seconds", "money") else int(number)})
        except (ValueError, OverflowError):
            raise InvalidInput(f"budget {text!r}: {value!r} is no number of {unit}.") from None
    return budget


@dataclass(slots=True, eq=False)
class HeldRequest:
    """What is asked of a model, from before it is asked until it has ended.

    Attributes:
        payer: name it is charged under.
        worst: what is held for it.
        cost: what it cost; None while that is not known, and if it failed.
    """

    payer: str
    worst: Cost
    cost: Cost | None = None

    def settle(self, cost: Cost) -> None:
        """Says what it cost.

        Raises:
            PluginError: a cost below zero, or no whole number; what was held is charged in its place.
        """
        self.cost = self.worst
        self.cost = _checked(cost, f"{self.payer}: the engine's cost")


class Purse(Protocol):
    """Whatever a request can be held and charged in."""

    def request(self, payer: str, worst: Cost) -> AbstractContextManager[HeldRequest]:
        """Holds a request's worst case while the block runs, and charges what `settle` says in its place.

        Raises:
            BudgetExceeded: it does not fit; nothing is held.
        """
        ...


@dataclass(slots=True)
class Meter:
    """Counts what an audit spends, by tool, and refuses what might not fit, before it is asked.

    A request is held at its worst case from before the engine is asked until the engine has answered; then what it cost
    stands in its place. One that fails costs nothing. What is held counts as spent, so requests made at the same time
    cannot pass together where one alone would not:

    - Queries are never overspent. A request is as many as it draws replies.
    - Of tokens the longest reply, for every one drawn, is held, and a token for each word that is read. What is read
      beyond that is known only afterwards: the requests in flight can overspend by as much. So can a target that writes
      more than it is asked for (a scratchpad's thoughts, an agent's turns).

    Attributes:
        budget: the limits.
        spent: by requests that have ended.
        by_tool: the same, by payer.
        started: when the audit began, on the monotonic clock.
        refused: something was asked for that did not fit.
    """

    budget: Budget
    spent: Cost = field(default_factory=Cost)
    by_tool: dict[str, Cost] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    refused: bool = False
    _held: dict[HeldRequest, None] = field(default_factory=dict)
    _held_queries: int = 0
    _held_tokens: int = 0
    _ended: float | None = None

    @contextmanager
    def request(self, payer: str, worst: Cost) -> Iterator[HeldRequest]:
        """Does as `Purse` says."""
        request = self.hold(payer, worst)
        try:
            yield request
        finally:
            self.end(request)

    def hold(self, payer: str, worst: Cost) -> HeldRequest:
        """Holds what a request may cost.

        Raises:
            BudgetExceeded: it does not fit.
            PluginError: a cost below zero, or no whole number; or the audit has ended.
        """
        _checked(worst, f"{payer}: what it asks for")
        if self._ended is not None:
            raise PluginError(f"{payer} asks a model after its audit has ended. A tool must await all that it begins.")
        queries, tokens = self.spent.queries + self._held_queries, self.spent.tokens + self._held_tokens
        self._refuse_beyond("seconds", self.seconds, 0, self.budget.seconds)
        self._refuse_beyond("queries", queries, worst.queries, self.budget.queries)
        self._refuse_beyond("tokens", tokens, worst.tokens, self.budget.tokens)
        request = HeldRequest(payer, worst)
        self._held[request] = None
        self._held_queries += worst.queries
        self._held_tokens += worst.tokens
        return request

    def _refuse_beyond(self, unit: str, used: float, more: int, limit: float) -> None:
        if used < limit and used + more <= limit:
            return
        self.refused = True
        wanted = f"; this may take {more}" if used < limit else ""
        raise BudgetExceeded(f"budget used up: {used:.0f} of {limit:.0f} {unit}{wanted}")

    def end(self, request: HeldRequest) -> None:
        """Charges a request what it was settled at, or nothing. One that has ended stays as it is."""
        if request not in self._held:
            return
        del self._held[request]
        self._held_queries -= request.worst.queries
        self._held_tokens -= request.worst.tokens
        if request.cost is not None:
            self.spent += request.cost
            self.by_tool[request.payer] = self.by_tool.get(request.payer, Cost()) + request.cost

    def close(self) -> None:
        """Ends the audit: what is still in flight is charged at its worst, and nothing can be asked any more."""
        self._ended = time.monotonic()
        for request in list(self._held):
            request.settle(request.worst)
            self.end(request)

    @property
    def tokens_left(self) -> int:
        """Returns the forward tokens that may still be spent."""
        return max(0, self.budget.tokens - self.spent.tokens)

    @property
    def seconds(self) -> float:
        """Returns how long the audit has taken, or took."""
        return (time.monotonic() if self._ended is None else self._ended) - self.started

    @property
    def exceeded(self) -> bool:
        """Returns whether more was asked for than there was, or spent."""
        spent = (self.spent.queries, self.spent.tokens, self.seconds)
        limits = (self.budget.queries, self.budget.tokens, self.budget.seconds)
        return self.refused or any(used > limit for used, limit in zip(spent, limits, strict=True))


def _checked(cost: Cost, what: str) -> Cost:
    """Returns the cost, if it is one. A negative charge would buy budget, and NaN would pass every limit."""
    for unit in ("queries", "input_tokens", "output_tokens"):
        value = getattr(cost, unit)
        if not isinstance(value, int) or value < 0:
            raise PluginError(f"{what} has {unit} = {value!r}; it must be a whole number, 0 or more.")
    return cost
