"""Hidden prompts, scratchpads and memory change what a conversation is, and nothing else."""

import pytest

from assay.core.edit import Noise
from assay.core.target import Message, Reply
from assay.engine.manner import NOTES, Prompted, Remembering, Scratchpad, thought_apart, with_system
from assay.engine.scripted import Rule, ScriptedTarget

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
    own = (Message("system", "Notes: none."), Message("user", "Hi"))
    assert (await target.chat(own)).text == "Hello."  # a system prompt of its own takes the place of the notes
    assert (await Remembering(inner).chat("How do I boil rice?")).text == "Hello."
    async with target.intervene(Noise(layer=0, scale=0.0)) as view:
        assert (await view.chat("And pasta?")).text == "I remember."
    assert NOTES.startswith("Notes from earlier conversations")
