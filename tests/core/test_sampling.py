"""How replies are drawn is one value, said by keyword or handed on whole."""

from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from assay.core.target import Sampling, SamplingOptions
from assay.core.tool import REPLY_TOKENS, TEMPERATURE, ToolContext
from assay.engine.scripted import ScriptedTarget
from assay.errors import InvalidInput


def test_what_may_be_said_by_keyword_are_its_fields() -> None:
    assert get_type_hints(SamplingOptions) == {
        field.name: get_type_hints(Sampling)[field.name] for field in fields(Sampling)
    }


@pytest.mark.parametrize(
    "wrong",
    [
        *({"n": value} for value in (0, -1, 10**9, 1.5, True, "2", None)),
        *({"max_tokens": value} for value in (0, 10**12, 8.0)),
        *({"temperature": value} for value in (-0.1, float("nan"), float("inf"), 1e9, "hot", True)),
        *({"seed": value} for value in (2**80, 0.5, "a")),
    ],
    ids=str,
)
@pytest.mark.attacks
def test_what_no_engine_can_sample_is_refused_when_it_is_made(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(InvalidInput, match=f"{name}=.*: give a "):
        Sampling(**wrong)
    with pytest.raises(InvalidInput, match=f"{name}=.*: give a "):
        Sampling().but(**wrong)


def test_numbers_stay_as_they_were_given() -> None:
    """Keys of kept replies are made of them, and 0 and 0.0 are two keys."""
    assert repr(Sampling(temperature=0).temperature) == "0"


async def test_keywords_and_a_whole_one_say_the_same_and_keywords_win() -> None:
    target = ScriptedTarget()
    by_keyword = await target.chat("Hello?", n=3, max_tokens=4, seed=9)
    assert await target.chat("Hello?", Sampling(n=3, max_tokens=4, seed=9)) == by_keyword
    assert await target.complete("Hello?", Sampling(n=2, max_tokens=4), n=3, seed=9) == by_keyword
    with pytest.raises(TypeError, match="top_p"):
        await target.chat("Hello?", top_p=0.9)  # type: ignore[call-arg]


def test_tools_are_offered_one_sampling_and_a_seed_of_their_call() -> None:
    expected = Sampling(n=1, max_tokens=REPLY_TOKENS, temperature=TEMPERATURE, seed=5)
    assert ToolContext(seed=5, tokens_left=0).sampling == expected
