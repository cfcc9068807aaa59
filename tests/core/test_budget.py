"""A meter holds before it charges: what might not fit is refused, what failed is free, and no charge is below zero."""

import asyncio
import math

import pytest

from assay.core.budget import Budget, Meter
from assay.core.target import Cost
from assay.errors import BudgetExceeded, InvalidInput, PluginError


def test_what_is_held_counts_until_what_it_cost_stands_in_its_place() -> None:
    meter = Meter(Budget(queries=3, tokens=100))
    with meter.request("ask", Cost(2, 0, 80)) as first:
        with pytest.raises(BudgetExceeded, match=r"2 of 3 queries; this may take 2"), meter.request("ask", Cost(2)):
            pass
        with pytest.raises(BudgetExceeded, match="80 of 100 tokens; this may take 21"):
            meter.hold("ask", Cost(1, 0, 21))
        first.settle(Cost(2, 5, 10))
    assert meter.spent == meter.by_tool["ask"] == Cost(2, 5, 10)
    with meter.request("ask", Cost(1, 0, 85)):
        pass
    assert meter.refused and meter.exceeded


def test_a_failed_request_costs_nothing() -> None:
    meter = Meter(Budget(queries=1))
    for _ in range(3):
        with pytest.raises(RuntimeError), meter.request("ask", Cost(1)):
            raise RuntimeError
    assert meter.spent == Cost() and not meter.exceeded
    meter.hold("ask", Cost(1))


def test_a_budget_that_is_all_spent_is_not_overspent() -> None:
    meter = Meter(Budget(queries=1, tokens=10))
    with meter.request("ask", Cost(1, 0, 10)) as request:
        request.settle(Cost(1, 4, 6))
    assert not meter.exceeded
    with pytest.raises(BudgetExceeded, match="1 of 1 queries"):
        meter.hold("ask", Cost())


def test_reading_beyond_what_was_held_is_charged_and_told() -> None:
    meter = Meter(Budget(tokens=10))
    with meter.request("ask", Cost(1, 2, 6)) as request:
        request.settle(Cost(1, 7, 6))
    assert meter.spent.tokens == 13 and meter.exceeded and not meter.refused


@pytest.mark.attacks
@pytest.mark.parametrize("bad", [-1, math.nan, math.inf, 0.5, "1", None])
@pytest.mark.parametrize("unit", ["queries", "input_tokens", "output_tokens"])
def test_a_charge_is_a_whole_number_not_below_zero(unit: str, bad: object) -> None:
    meter = Meter(Budget())
    wrong = Cost(**{unit: bad})  # type: ignore[arg-type]
    with pytest.raises(PluginError, match=unit):
        meter.hold("ask", wrong)
    with pytest.raises(PluginError, match=unit), meter.request("ask", Cost(2, 3, 4)) as request:
        request.settle(wrong)
    assert meter.spent == Cost(2, 3, 4)  # what was held is charged


@pytest.mark.parametrize("limits", [{"queries": -1}, {"tokens": math.nan}, {"seconds": -0.1}])
def test_a_budget_is_not_below_zero(limits: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="give 0 or more"):
        Budget(**limits)  # type: ignore[arg-type]


def test_the_smaller_of_two_budgets() -> None:
    assert Budget(1, 20, 3.0).within(Budget(10, 2, 30.0)) == Budget(1, 2, 3.0)


async def test_time_is_a_limit_too() -> None:
    meter = Meter(Budget(seconds=0.02))
    meter.hold("ask", Cost(1))
    await asyncio.sleep(0.03)
    with pytest.raises(BudgetExceeded, match="seconds"):
        meter.hold("ask", Cost(1))
    assert meter.exceeded


def test_the_end_charges_what_is_in_flight_and_lets_nothing_else_through() -> None:
    meter = Meter(Budget())
    late = meter.hold("ask", Cost(2, 1, 96))
    meter.close()
    late.settle(Cost())
    meter.end(late)
    assert meter.spent == Cost(2, 1, 96)
    with pytest.raises(PluginError, match="after its audit has ended"):
        meter.hold("ask", Cost(1))
