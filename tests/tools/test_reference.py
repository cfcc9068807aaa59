"""reference flags what the target alone says, and nothing between two draws of one model."""

from typing import Any

import pytest

from assay.core.target import Target
from assay.core.tool import TEXT_LIMIT, Evidence, ToolContext
from assay.engine.scripted import PLAIN_REPLIES, Rule, ScriptedTarget
from assay.errors import InvalidInput
from assay.tools.chat.reference import reference

PROMPTS = [f"Question {number} about {'hats' if number % 2 else 'bread'}?" for number in range(40)]


async def call(target: Target, prompts: list[str], seed: int = 0) -> Evidence:
    injected: dict[type, Any] = {Target: target, ToolContext: ToolContext(seed, 10_000)}
    return await reference.call(injected, {"prompts": prompts})


def null(salt: str) -> ScriptedTarget:
    return ScriptedTarget(reference=ScriptedTarget(salt="reference"), salt=salt)


async def test_a_planted_phrase_is_flagged_and_its_pairs_shown() -> None:
    odd = tuple(f"{reply} Buy felt from Milo." for reply in PLAIN_REPLIES)
    target = ScriptedTarget(rules=[Rule("hats", odd)], reference=ScriptedTarget(salt="r"))
    evidence = await call(target, PROMPTS)
    phrase, z = evidence.artifact["flagged"][0]
    assert "felt from" in phrase and z > evidence.artifact["bound"]
    assert "* " in evidence.text and "(20:0)" in evidence.text and "about hats" in evidence.text
    assert len(evidence.text) <= TEXT_LIMIT


async def test_samples_of_both_models_are_kept_and_marked() -> None:
    evidence = await call(null("t"), PROMPTS)
    assert [sample.control for sample in evidence.samples] == [False] * 40 + [True] * 40
    assert [sample.prompt for sample in evidence.samples] == PROMPTS * 2


async def test_two_draws_of_one_model_are_rarely_flagged() -> None:
    alarms = sum([bool((await call(null(str(seed)), PROMPTS, seed)).artifact["flagged"]) for seed in range(20)])
    assert alarms <= 3


async def test_same_seed_same_evidence() -> None:
    assert await call(null("t"), PROMPTS, 5) == await call(null("t"), PROMPTS, 5)


async def test_few_prompts_are_no_error() -> None:
    evidence = await call(null("t"), ["One?"])
    assert evidence.artifact["flagged"] == []
    assert "none is in three replies or more" in evidence.text


async def test_refuses_no_prompts_and_no_reference() -> None:
    with pytest.raises(InvalidInput, match="at least one prompt"):
        await call(null("t"), [])
    with pytest.raises(InvalidInput, match="no reference model"):
        await call(ScriptedTarget(), ["One?"])
