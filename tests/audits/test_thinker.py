"""The language model in an auditor's hands: metered outside of it, retried where that is right, and its faults told."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from inspect_ai.model import ChatMessageUser, GenerateConfig, ModelAPI, ModelOutput, ModelUsage, get_model, modelapi
from tenacity import wait_none
from tests.scripted_model import NAME, Script, ask, run, submit

from assay.audits import thinker
from assay.audits.model_choice import ModelChoice, choose_model
from assay.audits.spoken_tools import as_calls, as_words
from assay.audits.thinker import Thinker, charged, meter_of, open_model
from assay.core.auditor import Brief, Kit, auditor
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel, ModelMeter, Price, parse_price
from assay.core.report import Report
from assay.errors import BudgetExceeded, InvalidInput, PluginError

pytestmark = pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning")  # tenacity's, of Inspect


@pytest.fixture(autouse=True)
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "assay.truth", raising=False)


class RateLimited(Exception):
    """What a provider raises that may pass."""


class NotThere(Exception):
    """What it raises that stays."""


@modelapi(name="faulty")
class Faulty(ModelAPI):
    """A provider that fails as it is told, and says what passes."""

    def __init__(self, model_name: str, base_url: Any = None, api_key: Any = None, config: Any = None, **args: Any):
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        self.faults: list[Any] = list(args.get("faults", ()))
        self.then = args["then"]
        self.tries = 0

    def should_retry(self, ex: Exception) -> bool:
        return isinstance(ex, RateLimited)

    def retry_wait(self) -> Any:
        return wait_none()

    async def generate(self, input: Any, tools: Any, tool_choice: Any, config: Any) -> Any:
        self.tries += 1
        if self.faults:
            fault = self.faults.pop(0)
            if fault == "hang":
                await asyncio.sleep(60)
            if isinstance(fault, tuple):  # a try that failed, as a value
                return fault[0]
            raise fault
        return self.then(input, tools, tool_choice, config)


def faulty(faults: list[Any], turns: list[Any], **config: Any) -> Any:
    settings = GenerateConfig(**{"max_retries": thinker.MODEL_RETRIES, "attempt_timeout": 1} | config)
    return get_model("faulty/model", faults=faults, then=Script(turns), config=settings, memoize=False)


PASSING = {
    "rate-limit": [RateLimited("429, wait")] * 3,
    "server-error": [RateLimited("503"), RateLimited("500")],
    "timeout": ["hang"],
    "nothing": [],
}


@pytest.mark.parametrize("fault", PASSING)
async def test_a_fault_that_passes_is_tried_again(fault: str, tmp_path: Path) -> None:
    model = faulty(list(PASSING[fault]), [ask(), submit()])
    row, _ = await run("investigator", None, tmp_path, model=model, choice=choose_model("faulty/model"))
    assert row.outcome == "completed", row.error
    assert row.model.calls == 2 and row.model.failed == len(PASSING[fault]) == model.api.tries - 2


STAYING = {
    "model-not-there": (NotThere("404: no such model"), 1),
    "stream-that-is-cut": (ConnectionResetError("the stream broke off"), 1),
    "always-busy": (RateLimited("429"), thinker.MODEL_RETRIES + 1),
    "as-a-value": ((NotThere("400: too large"),), 1),
}


@pytest.mark.parametrize("fault", STAYING)
async def test_a_fault_that_stays_ends_the_audit_and_is_recorded(fault: str, tmp_path: Path) -> None:
    raised, tries = STAYING[fault]
    model = faulty([raised] * 20, [ask()])
    row, _ = await run("investigator", None, tmp_path, model=model, choice=choose_model("faulty/model"))
    assert row.outcome == "crashed" and row.error.startswith("model: ModelFailed: faulty/model: "), row.error
    assert type(raised[0] if isinstance(raised, tuple) else raised).__name__ in row.error
    assert model.api.tries == row.model.failed == tries and row.model.calls == 0


@pytest.mark.attacks
async def test_a_key_that_a_provider_repeats_is_in_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTY_API_KEY", "sk-secret-0123456789")
    model = faulty([NotThere("401: no such key sk-secret-0123456789")], [ask()])
    row, _ = await run("investigator", None, tmp_path, model=model, choice=choose_model("faulty/model"))
    assert "sk-secret" not in str(row) and "[FAULTY_API_KEY]" in row.error


# The budget ----------------------------------------------------------------------------------------------------------


def slow(tokens: int = 400) -> Any:
    """A model that answers when all else had its turn, always with as many tokens."""

    async def answer(input: Any, tools: Any, tool_choice: Any, config: Any) -> ModelOutput:
        await asyncio.sleep(0.01)
        written = min(tokens, config.max_tokens)
        output = ModelOutput.from_content("mock", "word")
        output.usage = ModelUsage(input_tokens=7, output_tokens=written, total_tokens=7 + written)
        return output

    return answer


def thinking(budget: Budget, price: Price | None = None, script: Any = None) -> Thinker:
    choice = ModelChoice(name=NAME, price=price, config={"max_tokens": 500})
    opened = open_model(choice, get_model(NAME, custom_outputs=script or slow(), memoize=False))
    return Thinker(NAME, opened, meter_of(choice, budget))


@pytest.mark.attacks
async def test_many_calls_at_once_cannot_overspend() -> None:
    mind = thinking(Budget(auditor_tokens=5_000))
    with charged(mind.meter):
        asked = (mind.inspect.generate("Hello") for _ in range(60))
        results = await asyncio.gather(*asked, return_exceptions=True)
    assert any(isinstance(result, BudgetExceeded) for result in results)
    assert 0 < mind.meter.spent.tokens <= 5_000 and mind.meter.exceeded
    assert mind.tokens_left == 5_000 - mind.meter.spent.tokens


@pytest.mark.attacks
async def test_money_is_not_overspent_either() -> None:
    mind = thinking(Budget(money=0.01), Price(read=1.0, written=10.0))
    with charged(mind.meter):
        asked = (mind.inspect.generate("Hello") for _ in range(60))
        await asyncio.gather(*asked, return_exceptions=True)
    spent = mind.meter.spent
    assert spent.money is not None and 0 < spent.money <= 0.01 and spent.calls < 60
    assert spent.money == pytest.approx((spent.input_tokens + 10 * spent.output_tokens) / 1e6)


async def test_a_reply_is_as_long_as_what_is_left() -> None:
    mind = thinking(Budget(auditor_tokens=300))
    with charged(mind.meter):
        await mind.inspect.generate("Hello")
    assert mind.meter.spent.tokens <= 300 and mind.meter.spent.output_tokens < 400


async def test_a_part_is_charged_to_the_whole_and_cannot_take_more_than_its_share() -> None:
    mind = thinking(Budget(auditor_tokens=5_000))
    with charged(mind.meter), mind.shared(1_000, None) as part:
        with pytest.raises(BudgetExceeded):
            for _ in range(9):
                await part.inspect.generate("Hello")
        assert part.tokens_left < 500
    assert 0 < mind.meter.spent.tokens <= 1_000 and not mind.meter.exceeded


@pytest.mark.attacks
async def test_a_call_outside_an_audit_or_after_it_is_refused() -> None:
    mind = thinking(Budget())
    with pytest.raises(PluginError, match="outside"):
        await mind.inspect.generate("Hello")
    mind.meter.closed = True
    with charged(mind.meter), pytest.raises(PluginError, match="ended"):
        await mind.inspect.generate("Hello")


@pytest.mark.attacks
async def test_an_auditor_that_swallows_the_refusal_is_out_of_budget_all_the_same(tmp_path: Path) -> None:
    @auditor
    async def greedy(kit: Kit, brief: Brief, budget: Budget, model: LanguageModel) -> Report:
        """Think until the end, and say nothing of it."""
        await kit.tools["ask"](prompt="Hello")
        asked = (model.inspect.generate("Hello") for _ in range(30))
        await asyncio.gather(*asked, return_exceptions=True)
        return Report(p_hidden=0.5)

    row, _ = await run(greedy, slow(), tmp_path, budget=Budget(auditor_tokens=9_000))
    assert row.outcome == "out-of-budget" and row.report and row.model.tokens <= 9_000


def test_the_model_is_opened_or_the_reason_is_told() -> None:
    for choice, told in [
        (ModelChoice(name="nowhere/model"), "nowhere"),
        (ModelChoice(name=NAME, config={"warmth": 1}), "unknown setting 'warmth'"),
        (ModelChoice(name=NAME, config={"temperature": "hot"}), "temperature"),
    ]:
        with pytest.raises(InvalidInput, match=told):
            open_model(choice)


@pytest.mark.parametrize("wrong", ["x", "1", "1,2,3", "-1,2", "nan,1", "inf,1", ""])
def test_a_price_that_is_none_is_told(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="price"):
        parse_price(wrong, NAME)


def test_prices_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("models:\n  mockllm/model: {read: 2, written: 8.5}\n")
    assert parse_price(str(file), NAME) == Price(read=2, written=8.5)
    with pytest.raises(InvalidInput, match="no price of 'openai/x'"):
        parse_price(str(file), "openai/x")


def test_a_model_is_chosen_in_words() -> None:
    chosen = choose_model("openai/gpt-x", "temperature=0.5,reasoning_effort=high", "2,8")
    assert chosen == ModelChoice(
        name="openai/gpt-x",
        config={"temperature": 0.5, "reasoning_effort": "high"},
        price=Price(read=2, written=8),
    )
    assert choose_model("") is None
    for wrong in (("gpt",), ("a/",), ("a/b c",), ("", "temperature=1"), ("a/b", "temperature")):
        with pytest.raises(InvalidInput):
            choose_model(*wrong)


# A model that takes no tools -----------------------------------------------------------------------------------------


async def test_tools_are_told_in_words_and_calls_are_read() -> None:
    from inspect_ai.tool import ToolFunction, ToolInfo

    tools = [ToolInfo(name="ask", description="Ask it.\nMore."), ToolInfo(name="note", description="Note it.")]
    told = as_words([ChatMessageUser(content="Begin")], tools, ToolFunction(name="note"))
    assert [message.role for message in told] == ["system", "user"]
    assert "- ask(): Ask it." in told[0].text and "now: note" in told[0].text
    said = 'Let me see. <call>{"tool": "ask", "arguments": {"prompt": "x"}}</call> <call>{bad</call><call>{"tool": 3}'
    output = as_calls(ModelOutput.from_content("mock", said), tools)
    first, second, third = output.message.tool_calls or []
    assert (first.function, first.arguments, first.parse_error) == ("ask", {"prompt": "x"}, None)
    assert second.parse_error and third.parse_error and output.message.text == "Let me see."
    plain = ModelOutput.from_content("mock", "No call.")
    assert as_calls(plain, tools) is plain


def test_a_meter_without_a_price_counts_no_money() -> None:
    assert ModelMeter(10).spent.money is None and ModelMeter(10, price=Price(read=1, written=1)).spent.money == 0.0
