"""The user's side: sampled behind what the template writes before a user's words, whatever is said around it."""

import copy
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.engine.test_chat_tokens import FAMILIES, controls, tokenizer

from assay.audits.guard import GuardedTarget
from assay.core.access import PRESETS, Access
from assay.core.budget import Budget, Meter
from assay.core.edit import Contrast
from assay.core.readouts import Raw
from assay.core.target import Message
from assay.core.testbed import TargetSpec
from assay.engine.base import EMBEDDED_BASE
from assay.engine.local.chat_tokens import ChatTokens
from assay.engine.local.engine import LocalEngine
from assay.engine.remote.target import RemoteTarget
from assay.engine.scripted import ScriptedTarget
from assay.engine.wrappers import Prompted, Remembering, Scratchpad
from assay.errors import AccessDenied, InvalidInput

SAID = [Message("user", "Hello there."), Message("assistant", "Hello. What can I do?")]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_begun_turn_is_the_beginning_of_the_whole_one(family: str) -> None:
    """What is read before the user goes on is what the template writes for a whole turn that begins so."""
    tokens = ChatTokens(tokenizer(family), family)
    for before in ([], SAID):
        spoken = [{"role": turn.role, "content": turn.content} for turn in [*before, Message("user", "Could you?")]]
        whole = tokens.raw(tokenizer(family).apply_chat_template(spoken, tokenize=False))
        begun = tokens.user_begun(before, "Could")
        assert begun == whole[: len(begun)]
        empty = tokens.user_begun(before, "")
        assert empty == whole[: len(empty)] and len(empty) < len(begun)


@pytest.mark.attacks
@pytest.mark.parametrize("family", FAMILIES)
def test_a_begun_turn_cannot_spell_a_control_token(family: str) -> None:
    tokens = ChatTokens(tokenizer(family), family)
    plain = controls(family, tokens.user_begun(SAID, "Is it so"))
    for text in FAMILIES[family][1]:
        assert controls(family, tokens.user_begun(SAID, f"Is it {text} so")) == plain
        forged = [Message("user", f"Hello {text} there."), SAID[1]]
        assert controls(family, tokens.user_begun(forged, "Is it so")) == plain


def test_a_template_that_does_not_show_the_words_is_refused() -> None:
    made = tokenizer("SmolLM")

    deaf = copy.deepcopy(made)
    deaf.chat_template = "{% for m in messages %}{{ m.role }}{% endfor %}"
    with pytest.raises(InvalidInput, match="so that none can be begun"):
        ChatTokens(deaf, "deaf").user_begun(SAID, "")


async def test_it_is_sampled_charged_and_seeded_as_any_request(engine: LocalEngine, spec: TargetSpec) -> None:
    async with engine.open(spec) as target:
        meter = Meter(Budget())
        guarded = GuardedTarget(target, PRESETS["api"], meter, "tool")
        first = await guarded.user_turn(SAID, n=3, max_tokens=8, seed=4)
        assert first == await guarded.user_turn(SAID, n=3, max_tokens=8, seed=4)
        assert first.texts != (await guarded.user_turn(SAID, n=3, max_tokens=8, seed=5)).texts
        assert first.texts != (await guarded.chat(SAID[:1], n=3, max_tokens=8, seed=4)).texts
        assert meter.spent.queries == 12
        with pytest.raises(AccessDenied, match="SAMPLING"):
            await GuardedTarget(target, frozenset({Access.CHAT}), meter, "tool").user_turn(())
        with pytest.raises(InvalidInput, match="behind a user's turn"):
            await guarded.user_turn(SAID[:1])
        with pytest.raises(InvalidInput, match="NUL"):
            await guarded.user_turn((), begun="a\0b")


class Noting(ScriptedTarget):
    """Writes down what came before the user's turns it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Sequence[Message]] = []

    async def user_turn(self, before: Sequence[Message], *sampling: object, **options: object) -> object:  # type: ignore[override]
        self.before.append(before)
        return await super().user_turn(before)


async def test_wrappers_put_their_prompt_and_memory_before_it() -> None:
    inner = Noting()
    await Prompted(inner, "Be sly.").user_turn(())
    assert inner.before[-1] == (Message("system", "Be sly."),)
    remembering = Remembering(inner)
    await remembering.chat("I keep bees.")
    await remembering.user_turn(SAID)
    assert "I keep bees." in inner.before[-1][0].content
    await Scratchpad(inner).user_turn(SAID)
    assert inner.before[-1] == SAID


async def test_a_remote_model_refuses_by_name() -> None:
    class Far(RemoteTarget):
        _kind, _offers = "a far model", frozenset({Access.CHAT, Access.SAMPLING})

        async def chat(self, *given: object, **options: object) -> object:  # type: ignore[override]
            raise AssertionError

    far = Far(TargetSpec("tb-1", EMBEDDED_BASE, None, "", (), "", PRESETS["api"]))
    with pytest.raises(AccessDenied, match="the user's side"):
        await far.user_turn(())


async def test_the_likeliest_tokens_of_a_bare_difference_are_those_that_gained_most(
    engine: LocalEngine, spec: TargetSpec, adapters: list[Path]
) -> None:
    text = Raw("The harbour was quiet in the morning.")
    changed = TargetSpec("tb-2", spec.base, adapters[0], "", (), "", PRESETS["full"])
    async with engine.open(changed) as target, engine.open(spec) as base:
        top = len(engine.tokenizer)
        ours, theirs = await target.score(text, top=top), await base.score(text, top=top)
        async with target.intervene(Contrast(1.0, weight=0.0)) as view:
            found = await view.score(text, top=3)
    gained = {one.id: one.logprob for one in ours.top[2]}
    gain = {one.id: gained[one.id] - one.logprob for one in theirs.top[2]}
    assert [one.id for one in found.top[2]] == sorted(gain, key=lambda token: -gain[token])[:3]
