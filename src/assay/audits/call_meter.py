"""One tool call's share of an audit's budget: what it pays, how long it may take by itself, and when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from assay.core.budget import HeldRequest, Meter
from assay.core.target import Cost
from assay.errors import AssayError, PluginError

CALL_SECONDS = 600.0  # of its own that a call may take; audits of a process share its time, so this is generous
ONE_QUERY = Cost(1)

_Result = TypeVar("_Result")


class CallMeter:
    """Charges one call of a tool, and stops it when it takes too long.

    A call costs a query at least, held from its beginning: a tool that asks no model is no way around the budget. Its
    first request takes that query's place.

    Time counts while no request of the call is with an engine, so that a call is not blamed for a queue of others. A
    call that awaits is stopped at the limit. One that blocks the event loop (`time.sleep`, a long computation) cannot
    be: every audit of the process stands still until it returns, and it is refused only then. A thread it leaves
    behind runs on.

    Args:
        audit: meter of the audit.
        tool: that pays.
        seconds: of its own that the call may take.

    Attributes:
        spent: by this call.
    """

    def __init__(self, audit: Meter, tool: str, seconds: float = CALL_SECONDS) -> None:
        self._audit, self._tool, self._seconds = audit, tool, seconds
        self.spent = Cost()
        self._least: HeldRequest | None = None  # the one query, while nothing else of the call pays for it
        self._open: list[HeldRequest] = []
        self._over = True
        self._limit = asyncio.timeout(None)
        self._left, self._since = seconds, 0.0

    async def run(self, call: Callable[[], Awaitable[_Result]]) -> _Result:
        """Awaits a call and charges it.

        Raises:
            BudgetExceeded: not a query is left.
            PluginError: it took too long.
        """
        self._least = self._audit.hold(self._tool, ONE_QUERY)
        self._over = False
        self._since = asyncio.get_running_loop().time()
        self._limit = asyncio.timeout(self._left)
        try:
            async with self._limit:
                result = await call()
        except TimeoutError:
            if not self._limit.expired():
                raise
        finally:
            self._end()
        if self._limit.expired() or self._own_time_left() < 0:
            raise PluginError(
                f"tool {self._tool}: a call took more than {self._seconds:.0f} s of its own, while no model was asked."
            )
        return result

    @contextmanager
    def request(self, payer: str, worst: Cost) -> Iterator[HeldRequest]:
        """Does as `Purse` says.

        Raises:
            BudgetExceeded: it does not fit.
            PluginError: the call has ended.
        """
        if self._over:
            raise PluginError(f"tool {self._tool} asks a model after its call has ended. Await all that it begins.")
        if self._least is not None:
            self._audit.end(self._least)
            self._least = None
        try:
            with self._audit.request(payer, worst) as request:
                self._begin(request)
                try:
                    yield request
                finally:
                    self._finish(request)
        finally:
            if not self._over and not self._open and not self.spent.queries:
                with suppress(AssayError):  # there is room for what was just given back; unless the time is up
                    self._least = self._audit.hold(self._tool, ONE_QUERY)

    def _begin(self, request: HeldRequest) -> None:
        if not self._open:
            self._left = self._own_time_left()
            self._reschedule(None)
        self._open.append(request)

    def _finish(self, request: HeldRequest) -> None:
        if self._over:
            return
        self._open.remove(request)
        self.spent += request.cost or Cost()
        if not self._open:
            self._since = asyncio.get_running_loop().time()
            self._reschedule(self._since + self._left)

    def _own_time_left(self) -> float:
        if self._open:
            return self._left
        return self._left - (asyncio.get_running_loop().time() - self._since)

    def _reschedule(self, when: float | None) -> None:
        if not self._limit.expired():
            self._limit.reschedule(when)

    def _end(self) -> None:
        """Charges what the call left in flight at its worst: its answer could still be used."""
        self._left = self._own_time_left()
        self._since = asyncio.get_running_loop().time()
        self._over = True
        for request in (*self._open, *([self._least] if self._least else [])):
            request.settle(request.worst)
            self._audit.end(request)
            self.spent += request.worst
        self._open.clear()
