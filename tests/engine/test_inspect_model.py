"""A model behind Inspect is a target: chat with all its settings, honest costs, and clear refusals of the rest."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    get_model,
    modelapi,
)
from inspect_ai.util import LimitExceededError, token_limit

from assay.audits.guard import GuardedTarget
from assay.core.access import PRESETS, Access
from assay.core.budget import Budget, Meter
from assay.core.edit import Noise
from assay.core.readouts import NegativeLogLikelihood, Raw, WithRespectTo
from assay.core.target import Cost, Message, Target
from assay.core.testbed import TargetSpec
from assay.engine.remote.inspect_model import InspectTarget, open_target
from assay.errors import AccessDenied, BackendFailed, InvalidInput, TooLong

# Inspect 0.3.285 calls tenacity 9.2 in a way that tenacity has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning")
Call = tuple[list[tuple[str, str]], GenerateConfig]


class Heard:
    """What the provider double was asked, and how it behaves."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.choices = 1  # it can give at once
        self.usage: ModelUsage | None = ModelUsage(input_tokens=7, output_tokens=12, total_tokens=19)
        self.answer: Callable[[GenerateConfig, int], ChatCompletionChoice] = self.plain
        self.closed = 0

    @staticmethod
    def plain(config: GenerateConfig, index: int) -> ChatCompletionChoice:
        text = f"seed {config.seed} choice {index}"
        return ChatCompletionChoice(message=ChatMessageAssistant(content=text), stop_reason="stop")


HEARD = Heard()


@modelapi(name="parrot")
class Parrot(ModelAPI):
    """A provider that writes down what it is asked."""

    async def generate(
        self, input: list[ChatMessage], tools: Any, tool_choice: Any, config: GenerateConfig
    ) -> ModelOutput:
        HEARD.calls.append(([(turn.role, turn.text) for turn in input], config))
        count = min(config.num_choices or 1, HEARD.choices)
        choices = [HEARD.answer(config, index) for index in range(count)]
        return ModelOutput(model="parrot", choices=choices, usage=HEARD.usage)

    async def aclose(self) -> None:
        HEARD.closed += 1


def spec_of(base: str) -> TargetSpec:
    return TargetSpec("tb-0a0a0a0a", base, None, "", (), "", PRESETS["full"])


@pytest.fixture
def heard() -> Heard:
    vars(HEARD).update(vars(Heard()))
    return HEARD


@pytest.fixture
async def target(heard: Heard) -> AsyncIterator[Target]:
    async with open_target(spec_of("inspect:parrot/green")) as opened:
        yield opened


async def test_a_conversation_and_its_settings_reach_the_model(target: Target, heard: Heard) -> None:
    turns = [Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "He")]
    replies = await target.chat(turns, max_tokens=9, temperature=0.5, seed=3)
    [(said, config)] = heard.calls
    assert said == [("system", "Be brief."), ("user", "Hi"), ("assistant", "He")]
    assert (config.max_tokens, config.temperature, config.num_choices) == (9, 0.5, None)
    assert replies.texts == (f"seed {config.seed} choice 0",)
    assert replies.cost == Cost(1, 7, 12) and replies.samples[0].tokens == 12
    await target.chat([Message("user", "Hi"), Message("assistant", "")])
    assert heard.calls[-1][0] == [("user", "Hi")]


async def test_missing_choices_are_asked_for_one_by_one(target: Target, heard: Heard) -> None:
    one_by_one = await target.chat("Hi", n=4)
    assert [config.num_choices for _, config in heard.calls] == [4, None, None, None]
    assert len(set(one_by_one.texts)) == 4
    assert one_by_one.cost == Cost(4, 28, 48)
    assert one_by_one == await target.chat("Hi", n=4)
    heard.choices = 8
    at_once = await target.chat("Hi", n=4)
    assert len(at_once.samples) == 4 and at_once.cost == Cost(4, 7, 12)
    assert sum(sample.tokens for sample in at_once.samples) == 12
    heard.choices = 3
    assert (await target.chat("Hi", n=4)).cost == Cost(4, 14, 24)


async def test_neighbouring_seeds_share_no_draw(target: Target, heard: Heard) -> None:
    for seed in range(4):
        await target.chat("Hi", n=4, seed=seed)
    seeds = [config.seed for _, config in heard.calls]
    assert len(set(seeds)) == 16 and all(seed is not None and 0 <= seed < 2**31 for seed in seeds)


async def test_cached_tokens_are_paid_for(target: Target, heard: Heard) -> None:
    heard.usage = ModelUsage(
        input_tokens=1, input_tokens_cache_read=20, input_tokens_cache_write=300, output_tokens=4, total_tokens=325
    )
    assert (await target.chat("Hi")).cost == Cost(1, 321, 4)


async def test_without_usage_tokens_are_estimated_and_that_is_said(
    target: Target, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    heard.usage = None
    heard.answer = lambda *_: ChatCompletionChoice(
        message=ChatMessageAssistant(content="nine char"), stop_reason="stop"
    )
    with caplog.at_level(logging.WARNING):
        costs = [(await target.chat("12345678")).cost for _ in range(2)]
    assert costs == [Cost(1, 2, 3)] * 2
    assert [record.getMessage() for record in caplog.records if "estimated" in record.message] == [
        "parrot/green reports no usage: its tokens are estimated, four characters each."
    ]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("stop", "stop"), ("max_tokens", "length"), ("model_length", "length"), ("content_filter", "stop")],
)
async def test_how_a_reply_ended(target: Target, heard: Heard, reason: Any, finish: str) -> None:
    heard.answer = lambda *_: ChatCompletionChoice(message=ChatMessageAssistant(content=""), stop_reason=reason)
    [sample] = (await target.chat("Hi")).samples
    assert (sample.text, sample.finish) == ("", finish)


@pytest.mark.attacks
async def test_a_providers_error_is_no_reply(target: Target, heard: Heard) -> None:
    """Inspect puts the text of a refused, over-long request where the reply would be."""
    told = ChatMessageAssistant(content="This model's maximum context length is 8192 tokens.")
    heard.answer = lambda *_: ChatCompletionChoice(message=told, stop_reason="model_length")
    heard.usage = None
    with pytest.raises(TooLong, match="asked more than it takes: This model's maximum context length is 8192"):
        await target.chat("Hi " * 9_000)


async def test_no_choice_at_all_is_an_empty_reply(target: Target, heard: Heard) -> None:
    heard.choices = 0
    replies = await target.chat("Hi", n=2)
    assert replies.texts == ("", "")


async def test_a_failing_provider_is_told_apart_from_a_wrong_request(target: Target, heard: Heard) -> None:
    def broken(*_: object) -> ChatCompletionChoice:
        raise ConnectionError("quota exceeded")

    heard.answer = broken
    with pytest.raises(
        BackendFailed, match=r"parrot/green did not answer: ConnectionError: quota exceeded\. Check key"
    ):
        await target.chat("Hi")
    with pytest.raises(InvalidInput, match="n=0"):
        await target.chat("Hi", n=0)


async def test_a_limit_of_the_evaluation_passes_through(target: Target) -> None:
    with pytest.raises(LimitExceededError), token_limit(5):
        await target.chat("Hi")


async def test_what_an_api_cannot_give_is_refused_by_name(target: Target) -> None:
    with pytest.raises(
        AccessDenied, match=r"target\.complete, raw text \(SAMPLING\) is not to be had from a model behind"
    ):
        await target.complete("Once")
    with pytest.raises(AccessDenied, match=r"LOGITS.*offers CHAT, SAMPLING.*local engine"):
        await target.score(Raw("Once"))
    with pytest.raises(AccessDenied, match="ACTIVATIONS_READ"):
        await target.activations("Hi", [0])
    with pytest.raises(AccessDenied, match="GRADIENTS"):
        await target.gradients("Hi", WithRespectTo("inputs"), NegativeLogLikelihood())
    with pytest.raises(AccessDenied, match="WEIGHTS"):
        await target.weights(["*"])
    with pytest.raises(AccessDenied, match=r"intervene\(Noise\) \(ACTIVATIONS_WRITE\)"):
        target.intervene(Noise(0, 1.0))
    for name in ("layers", "width"):
        with pytest.raises(AccessDenied, match=f"target.{name}"):
            getattr(target, name)
    async with target.intervene() as view:
        assert view is target
    assert target.alias == "tb-0a0a0a0a" and target.reference is None and target.corpus is None
    assert target.access == {Access.CHAT, Access.SAMPLING, Access.TRAINING_DATA}


async def test_under_the_guard_it_is_metered(target: Target) -> None:
    meter = Meter(Budget())
    guarded = GuardedTarget(target, target.access, meter, "ask")
    await asyncio.gather(*(guarded.chat("Hi", n=2) for _ in range(3)))
    assert meter.spent == Cost(6, 42, 72)
    with pytest.raises(AccessDenied, match="LOGITS"):
        await guarded.score("Hi")


async def test_the_client_is_closed_and_is_nobody_elses(heard: Heard) -> None:
    async with open_target(spec_of("inspect:parrot/green")) as one:
        async with open_target(spec_of("inspect:parrot/green")):
            pass
        assert heard.closed == 1
        assert (await one.chat("Hi")).text
    assert heard.closed == 2


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("smollm2-135m-instruct", "is no model of Inspect's. Name it inspect:<provider>/<model>"),
        ("inspect:gpt-4o", "is no model of Inspect's"),
        ("inspect:nowhere/gpt-4o", r"Inspect cannot make 'nowhere/gpt-4o' \(ValueError: .*not recognized.*set its key"),
    ],
)
async def test_a_base_that_is_none_of_inspects(base: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        async with open_target(spec_of(base)):
            pass


async def test_an_adapter_has_no_place_behind_an_api(tmp_path: Any) -> None:
    spec = TargetSpec("tb-0a0a0a0a", "inspect:parrot/green", tmp_path, "abc", (), "", PRESETS["api"])
    with pytest.raises(InvalidInput, match="an API takes no adapter") as caught:
        async with open_target(spec):
            pass
    assert str(tmp_path) not in str(caught.value)


async def test_inspects_own_mock_is_a_target() -> None:
    output = ModelOutput.from_content("mockllm/model", "Hello there", stop_reason="max_tokens")
    output.usage = ModelUsage(input_tokens=3, output_tokens=2, total_tokens=5)
    target = InspectTarget(get_model("mockllm/model", custom_outputs=[output]), spec_of("inspect:mockllm/model"))
    replies = await target.chat("Hi")
    assert replies.text == "Hello there" and replies.samples[0].finish == "length" and replies.cost == Cost(1, 3, 2)
