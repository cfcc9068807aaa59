"""What is no conversation, text or number is refused in words of ours, at every entrance, and never by a traceback."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.audits.guard import GuardedTarget
from assay.core.access import Access
from assay.core.budget import Budget, Meter
from assay.core.readouts import Raw, WithRespectTo
from assay.core.report import Demonstration, conversation, parse_report
from assay.core.target import Message, Target, as_messages, plain_text
from assay.engine.scripted import ScriptedTarget
from assay.engine.wrappers import Prompted, Remembering, Scratchpad
from assay.errors import AssayError, InvalidInput, ReportInvalid

USER = Message("user", "Hi")
WRONG: dict[str, Any] = {
    "none": [],
    "empty": "",
    "an empty turn": [Message("user", "")],
    "half a pair": "\ud83d",
    "half a pair, later": [USER, Message("assistant", "a\udc00b"), USER],
    "nul": "a\0b",
    "a role": [Message("tool", "x")],  # type: ignore[arg-type]
    "no role": [Message(None, "x")],  # type: ignore[arg-type]
    "two systems": [Message("system", "a"), Message("system", "b"), USER],
    "a late system": [USER, Message("system", "b")],
    "assistant first": [Message("assistant", "a"), USER],
    "a prefill alone": [Message("system", "a"), Message("assistant", "a")],
    "a number": [Message("user", 7)],  # type: ignore[arg-type]
    "bytes": b"Hi",
    "nothing": None,
    "dictionaries": [{"role": "user", "content": "Hi"}],
    "strings": ["Hi"],
    "very many": [USER] * 1_001,
}


def entrances() -> list[Target]:
    """Targets as engines, wrappers and the guard offer them."""
    scripted = ScriptedTarget()
    guarded = GuardedTarget(scripted, frozenset(Access), Meter(Budget()), "tool")
    return [scripted, guarded, Prompted(scripted, "Be kind."), Remembering(scripted), Scratchpad(scripted)]


@pytest.mark.attacks
@pytest.mark.parametrize("name", WRONG)
async def test_what_is_no_conversation_is_refused_at_every_entrance(name: str) -> None:
    for target in entrances():
        with pytest.raises(InvalidInput, match=r"give|say something|Leave it out|begin with"):
            await target.chat(WRONG[name])
    guarded = entrances()[1]
    with pytest.raises(InvalidInput):
        await guarded.score(WRONG[name])
    with pytest.raises(InvalidInput):
        await guarded.activations(WRONG[name], [0])
    with pytest.raises(InvalidInput):
        await guarded.gradients(WRONG[name], WithRespectTo("inputs"), None)  # type: ignore[arg-type]


@pytest.mark.attacks
@pytest.mark.parametrize("text", ["a\0", "\udfff", b"x", None, 3])
async def test_raw_text_is_text(text: Any) -> None:
    guarded = entrances()[1]
    with pytest.raises(InvalidInput, match="a raw text"):
        await guarded.complete(text)
    with pytest.raises(InvalidInput, match="a raw text"):
        await guarded.score(Raw(text))


CONTENT = st.one_of(
    st.text(max_size=5), st.none(), st.integers(), st.binary(max_size=3), st.sampled_from(["\ud800", "\0"])
)
ROLE = st.one_of(st.sampled_from(["system", "user", "assistant", "tool", ""]), st.none(), st.lists(st.integers()))
TURN = st.one_of(st.builds(Message, ROLE, CONTENT), CONTENT, st.dictionaries(st.text(max_size=3), CONTENT, max_size=2))


@pytest.mark.attacks
@given(messages=st.one_of(CONTENT, st.lists(TURN, max_size=6), TURN))
@settings(max_examples=300, deadline=None)
def test_anything_is_a_conversation_or_refused(messages: Any) -> None:
    try:
        turns = as_messages(messages)
    except InvalidInput as error:
        assert str(error).encode()  # printable, whatever was given
        return
    assert turns == as_messages(turns) and all(type(turn.content) is str for turn in turns)
    for turn in turns:
        assert turn.content.encode() or turn.role != "user"


@pytest.mark.attacks
def test_a_string_of_another_class_is_read_once() -> None:
    class Liar(str):
        def __str__(self) -> str:
            return "<|im_start|>"

    assert type(plain_text(Liar("Hi"), "it")) is str and str(plain_text(Liar("Hi"), "it")) == "Hi"


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@given(
    user=st.lists(TEXTS, min_size=1, max_size=4),
    system=TEXTS,
    earlier=st.lists(st.lists(TEXTS, min_size=1, max_size=8), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_every_demonstration_is_a_conversation(user: list[str], system: str, earlier: list[list[str]]) -> None:
    script = Demonstration(user=tuple(user), system=system, earlier=tuple(map(tuple, earlier)))
    for turn in range(len(user)):
        assert as_messages(conversation(script, tuple("answer" for _ in range(turn))))


@pytest.mark.attacks
@pytest.mark.parametrize(
    "user",
    ['[""]', r'["a\u0000"]', r'["\ud800"]', "[]", "[null]", "[3]", '"Hi"', str(["x"] * 9).replace("'", '"')],
)
def test_a_report_whose_demonstration_is_no_conversation_is_refused(user: str) -> None:
    text = (
        '{"p_hidden": 1, "findings": [{"claim": "c", "trigger": "t", "confidence": 1, "predicate": {"phrases": ["p"]}, '
        f'"demonstrations": [{{"user": {user}}}]}}]}}'
    )
    with pytest.raises(ReportInvalid):
        parse_report(text)


@pytest.mark.attacks
@given(text=st.one_of(st.text(max_size=40), st.sampled_from(["\ud800", '{"p_hidden": 1e999}', "[" * 5_000, "\0"])))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_report_or_refused(text: str) -> None:
    try:
        parse_report(text)
    except AssayError as error:
        assert isinstance(error, ReportInvalid) and str(error).encode()
