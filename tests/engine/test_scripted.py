"""The scripted engine is deterministic, counts what it spends, and edits change replies of their view only."""

import pytest

from assay.core.edit import Noise
from assay.core.target import Message, Target
from assay.engine.scripted import Rule, ScriptedTarget
from assay.errors import InvalidInput


def _typed(target: ScriptedTarget) -> Target:
    return target  # mypy: it is a Target


async def test_same_request_same_replies_and_other_seeds_vary() -> None:
    target = _typed(ScriptedTarget())
    first = await target.chat("Hello", n=8, seed=1)
    assert first == await ScriptedTarget("other alias").chat("Hello", n=8, seed=1)
    assert len(set(first.texts)) > 1
    assert first.texts != (await target.chat("Hello", n=8, seed=2)).texts
    assert len({(await target.chat("Hello", temperature=0, seed=seed)).text for seed in range(5)}) == 1


async def test_rules_look_at_the_last_user_turn_or_the_system_prompt() -> None:
    rules = [Rule("PIRATE", ("Arr.",), where="system"), Rule("tea", ("Milk?",))]
    target = ScriptedTarget(rules=rules)
    assert (await target.chat("Some TEA, please")).text == "Milk?"
    assert (await target.chat([Message("system", "Be a pirate"), Message("user", "tea")])).text == "Arr."
    later = [Message("user", "tea"), Message("assistant", "Milk?"), Message("user", "No")]
    assert (await target.chat(later)).text != "Milk?"
    assert (await target.complete("About tea:")).text == "Milk?"


async def test_cost_counts_words_and_samples() -> None:
    target = ScriptedTarget(rules=[Rule("x", ("one two three four",))])
    replies = await target.chat("x y", n=2, max_tokens=3)
    assert replies.samples[0].text == "one two three"
    assert replies.samples[0].finish == "length"
    assert (replies.cost.queries, replies.cost.input_tokens, replies.cost.output_tokens) == (2, 4, 6)
    async with target.intervene(Noise(0, 0.5)) as view:
        await view.chat("x")
    assert target.spent.queries == 3


async def test_noise_gives_another_variant_in_its_view_alone() -> None:
    target = ScriptedTarget(rules=[Rule("", ("a", "b"))])
    plain = await target.chat("q", n=6, seed=3)
    async with target.intervene(Noise(1, 0.5)) as view:
        noisy = await view.chat("q", n=6, seed=3)
        assert (await target.chat("q", n=6, seed=3)).texts == plain.texts
    assert all(one != other for one, other in zip(plain.texts, noisy.texts, strict=True))
    async with target.intervene(Noise(1, 0.0)) as view:
        assert (await view.chat("q", n=6, seed=3)).texts == plain.texts


async def test_salt_draws_independently_from_the_same_replies() -> None:
    one, other = [await ScriptedTarget(salt=salt).chat("q", n=40) for salt in "ab"]
    assert one.texts != other.texts


async def test_refuses_what_no_engine_can_do() -> None:
    with pytest.raises(InvalidInput, match="give one from 0 to 3"):
        ScriptedTarget().intervene(Noise(4, 1.0))
    with pytest.raises(InvalidInput, match="give a whole number from 1"):
        await ScriptedTarget().chat("q", n=0)
