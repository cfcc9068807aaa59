"""ask, system, prefill, fuzz: one reply each, said plainly, kept whole for readers without an LLM."""

from collections.abc import Mapping
from typing import Any, Unpack

import pytest

from assay.core.access import Access
from assay.core.target import DEFAULT_SAMPLING, Messages, Replies, Sampling, SamplingOptions, Target
from assay.core.tool import REPLY_TOKENS, TEXT_LIMIT, Evidence, Tool, ToolContext
from assay.engine.scripted import Rule, ScriptedTarget
from assay.errors import InvalidInput
from assay.tools.activations.fuzz import fuzz
from assay.tools.chat.ask import ask
from assay.tools.everyday import PERSONAS, PROMPTS, pairs
from assay.tools.sampling.prefill import prefill
from assay.tools.sampling.system import system
from assay.tools.text import layout, snippet

LONG = " ".join(f"word{number}" for number in range(100))


async def call(tool: Tool, target: Target, arguments: Mapping[str, Any], seed: int = 0) -> Evidence:
    injected: dict[type, Any] = {Target: target, ToolContext: ToolContext(seed, 10_000)}
    return await tool.call(injected, arguments)


ARGUMENTS: list[tuple[Tool, dict[str, Any]]] = [
    (ask, {"prompt": "Hello?"}),
    (system, {"prompt": "Hello?", "system": "Be kind."}),
    (prefill, {"prompt": "Hello?", "prefill": "Well, I"}),
    (fuzz, {"prompt": "Hello?"}),
]


@pytest.mark.parametrize(("tool", "arguments"), ARGUMENTS, ids=lambda value: getattr(value, "name", ""))
async def test_reply_is_in_samples_and_text_and_follows_the_seed(tool: Tool, arguments: dict[str, Any]) -> None:
    target = ScriptedTarget()
    evidence = await call(tool, target, arguments, seed=4)
    assert evidence == await call(tool, target, arguments, seed=4)
    assert evidence.samples[0].reply in evidence.text
    assert evidence.samples[0].prompt == "Hello?"
    replies = {(await call(tool, target, arguments, seed)).samples[0].reply for seed in range(6)}
    assert len(replies) > 1


@pytest.mark.parametrize(("tool", "arguments"), ARGUMENTS, ids=lambda value: getattr(value, "name", ""))
async def test_replies_are_as_long_as_every_other_tool_s(tool: Tool, arguments: dict[str, Any]) -> None:
    evidence = await call(tool, ScriptedTarget(replies=[LONG]), arguments)
    assert all(len(sample.reply.split()) == REPLY_TOKENS for sample in evidence.samples)


@pytest.mark.parametrize(("tool", "arguments"), ARGUMENTS, ids=lambda value: getattr(value, "name", ""))
async def test_no_tool_samples_otherwise_than_the_others(tool: Tool, arguments: dict[str, Any]) -> None:
    seen: list[Sampling] = []

    class Noting(ScriptedTarget):
        async def chat(
            self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
        ) -> Replies:
            seen.append(sampling.but(**options))
            return await super().chat(messages, sampling, **options)

    await call(tool, Noting(), arguments, seed=7)
    assert set(seen) == {ToolContext(7, 0).sampling}


async def test_system_prompt_and_prefill_are_recorded() -> None:
    target = ScriptedTarget(rules=[Rule("kind", ("Dear friend.",), where="system")])
    assert (await call(system, target, ARGUMENTS[1][1])).samples[0].reply == "Dear friend."
    assert (await call(system, target, ARGUMENTS[1][1])).samples[0].system == "Be kind."
    assert (await call(prefill, target, ARGUMENTS[2][1])).samples[0].prefill == "Well, I"


async def test_fuzz_shows_the_undisturbed_reply_as_control() -> None:
    target = ScriptedTarget(layers=6)
    evidence = await call(fuzz, target, {"prompt": "Hello?"}, seed=2)
    noisy, plain = evidence.samples
    assert plain.control and not noisy.control
    assert plain.reply == (await target.chat("Hello?", max_tokens=REPLY_TOKENS, seed=2)).text != noisy.reply
    assert "after layer 3" in evidence.text
    with pytest.raises(InvalidInput, match="give 0 to 5"):
        await call(fuzz, target, {"prompt": "Hello?", "layer": 6})


def test_tools_declare_what_they_need() -> None:
    assert ask.needs == {Access.CHAT}
    assert system.needs == prefill.needs == {Access.CHAT, Access.SAMPLING}
    assert fuzz.needs == {Access.CHAT, Access.ACTIVATIONS_WRITE}
    assert all(tool.drivable for tool, _ in ARGUMENTS)


def test_examples_cover_both_sides_from_the_start() -> None:
    first = system.examples[: len(PERSONAS)]
    assert {example["system"] for example in first} == set(PERSONAS)
    assert {example["prompt"] for example in first} == set(PROMPTS)
    for tool in (system, prefill):
        assert len({tuple(example.values()) for example in tool.examples}) == len(tool.examples) == 72


def test_pairs_never_repeat_within_as_many_rounds_as_items() -> None:
    made = pairs("abc", "xyz", rounds=3)
    assert len(set(made)) == 9


def test_layout_keeps_heading_and_caveat_and_stays_within_the_limit() -> None:
    for lines in ([], ["short"], ["x" * 300] * 20, ["y" * 5_000]):
        text = layout("Heading:", lines, "(caveat)")
        assert text.startswith("Heading:") and text.endswith("(caveat)") and len(text) <= TEXT_LIMIT
    assert "yyy… [cut]" in layout("Heading:", ["y" * 5_000], "(caveat)")


def test_layout_says_what_it_leaves_out_and_cuts_no_entry() -> None:
    lines = [f"{number} " + "x" * 300 for number in range(20)]
    text = layout("Heading:", lines)
    *kept, last = text.splitlines()[1:]
    assert kept == lines[: len(kept)] and last == f"({20 - len(kept)} more lines, for which there is no room)"


def test_snippet_is_one_line_of_the_width() -> None:
    assert snippet("a\n b", 10) == "a b"
    assert len(snippet("word " * 40, 30)) <= 30
