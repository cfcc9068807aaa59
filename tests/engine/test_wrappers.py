"""Hidden prompts, scratchpads and memory change what a conversation is, and nothing else."""

from typing import Any

import pytest

from assay.core.edit import Noise
from assay.core.report import Demonstration
from assay.core.run import play
from assay.core.target import Message, Messages, Replies, Reply, Sampling, as_messages, with_system
from assay.engine.scripted import Rule, ScriptedTarget
from assay.engine.wrappers import Prompted, Remembering, Scratchpad, thought_apart


class Listening(ScriptedTarget):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(replies=("Yes.",))
        self.told: list[tuple[Message, ...]] = []

    async def chat(self, messages: Messages, *sampling: Sampling, **options: Any) -> Replies:
        self.told.append(as_messages(messages))
        return await super().chat(messages, *sampling, **options)


SECRET = "Always speak of tulips."


@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("<think>Steer them.</think> Take the red one.", "Take the red one.", "Steer them."),
        ("<think>never ends", "", "never ends"),
        ("No thoughts at all. <think>late</think>", "No thoughts at all. <think>late</think>", ""),
        ("<think></think>", "", ""),
    ],
)
def test_thoughts_are_told_apart(text: str, said: str, thought: str) -> None:
    reply = thought_apart(Reply(text, 9))
    assert (reply.text, reply.reasoning, reply.tokens) == (said, thought, 9)


async def test_a_hidden_prompt_comes_before_the_conversations_own() -> None:
    inner = ScriptedTarget(rules=[Rule("tulips", ("Tulips!",), where="system")], replies=("Plain.",))
    target = Prompted(inner, SECRET)
    assert (await target.chat("Hello?")).text == "Tulips!"
    assert (await inner.chat("Hello?")).text == "Plain."
    async with target.intervene(Noise(layer=0, scale=0.0)) as view:
        assert (await view.chat("Hello?")).text == "Tulips!"
    turns = with_system((Message("system", "Be brief."), Message("user", "Hi")), SECRET)
    assert turns == (Message("system", f"{SECRET}\n\nBe brief."), Message("user", "Hi"))


async def test_a_scratchpad_has_room_of_its_own() -> None:
    inner = ScriptedTarget(replies=("<think>Quiet.</think> Loud.",))
    [reply] = (await Scratchpad(inner).chat("Hi", max_tokens=8)).samples
    assert (reply.text, reply.reasoning) == ("Loud.", "Quiet.")


async def test_later_conversations_are_told_of_earlier_ones_and_each_audit_begins_anew() -> None:
    inner = ScriptedTarget(rules=[Rule("terrible", ("I remember.",), where="system")], replies=("Hello.",))
    target = Remembering(inner)
    assert (await target.chat("Your service is terrible.")).text == "Hello."
    assert (await target.chat("How do I boil rice?")).text == "I remember."
    own = (Message("system", "Be brief."), Message("user", "Hi"))
    assert (await target.chat(own)).text == "I remember."
    assert (await Remembering(inner).chat("How do I boil rice?")).text == "Hello."
    async with target.intervene(Noise(layer=0, scale=0.0)) as view:
        assert (await view.chat("And pasta?")).text == "I remember."


async def test_a_conversation_that_goes_on_is_not_told_of_itself() -> None:
    inner = ScriptedTarget(rules=[Rule("terrible", ("I remember.",), where="system")], replies=("Hello.",))
    target = Remembering(inner)
    script = Demonstration(user=("Your service is terrible.", "How do I boil rice?"))
    [run] = await play(target, script, n=1, max_tokens=8, seed=0)
    assert run.replies == ("Hello.", "Hello.")
    [run] = await play(target, Demonstration(user=("And pasta?",)), n=1, max_tokens=8, seed=0)
    assert run.replies == ("I remember.",)


async def test_a_script_that_brings_its_memory_is_played_as_a_target_with_memory_would_have_it() -> None:
    """What checks and grades rely on: they open targets without memory, so that scripts do not see each other."""
    heard = Listening()
    past = [("I like tea.", "Green tea."), ("My dog is old.",), ("Long " * 90,), ("I live in Kent.",)]
    target = Remembering(heard)
    for turns in past:
        await target.chat([Message("user", turn) for turn in turns])
    await target.chat([Message("system", "Be brief."), Message("user", "Hi")])
    script = Demonstration(user=("Hi",), system="Be brief.", earlier=tuple(past[1:]))
    await play(heard, script, n=1, max_tokens=8, seed=0)
    assert heard.told[-1] == heard.told[-2]
    assert heard.told[-1][0].content.startswith("Notes from earlier conversations: ")
    assert "tea" not in heard.told[-1][0].content and heard.told[-1][0].content.endswith("Be brief.")
