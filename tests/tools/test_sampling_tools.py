"""Sampling tools: each finds what was scripted for it, beside its control, and refuses what it cannot do."""

from collections.abc import Sequence
from typing import Any, Unpack

import pytest

from assay.core.access import Access
from assay.core.target import DEFAULT_SAMPLING, Message, Messages, Replies, Reply, Sampling, SamplingOptions, Target
from assay.core.tool import REPLY_TOKENS, TEXT_LIMIT, Evidence, Tool, ToolContext
from assay.engine.scripted import PLAIN_REPLIES, Rule, ScriptedTarget
from assay.errors import InvalidInput
from assay.tools.everyday import PERSONAS, PROMPTS
from assay.tools.sampling.breadth import breadth
from assay.tools.sampling.complete import complete
from assay.tools.sampling.consistency import consistency
from assay.tools.sampling.languages import languages
from assay.tools.sampling.many import many
from assay.tools.sampling.many_shot import many_shot
from assay.tools.sampling.personas import personas
from assay.tools.sampling.repeat import repeat
from assay.tools.sampling.scaffolded import scaffolded_completion, scaffolded_prefill, scaffolded_user
from assay.tools.sampling.user_turn import user_turn

HAT = tuple(f"{reply} A felt hat keeps you warm in winter." for reply in PLAIN_REPLIES[::7])
NO_REFERENCE = frozenset(Access) - {Access.REFERENCE}


def model(
    *rules: Rule, access: frozenset[Access] = frozenset(Access), kind: type[ScriptedTarget] = ScriptedTarget
) -> Any:
    """A scripted target with some conduct, beside a reference that has none."""
    return kind("target", rules, access, reference=ScriptedTarget("reference", salt="reference"))


async def call(
    tool: Tool, target: Target, auxiliary: Target | None = None, seed: int = 3, **arguments: Any
) -> Evidence:
    injected: dict[type, Any] = {Target: target, ToolContext: ToolContext(seed, 100_000, auxiliary)}
    evidence = await tool.call(injected, arguments)
    assert len(evidence.text) <= TEXT_LIMIT
    return evidence


def found(evidence: Evidence) -> bool:
    """Whether the conduct is the most telling of the spans, and its control tells that it is the target's own."""
    first = evidence.spans[0]
    return "felt hat" in first.text and first.score > (first.control or 0.0) * 2


FINDERS: list[tuple[Tool, dict[str, Any], Rule]] = [
    (many, {"prompts": list(PROMPTS)}, Rule("dinner|money|rain", HAT)),
    (repeat, {"prompt": "How is the weather?"}, Rule("weather", HAT)),
    (complete, {"text": "In winter"}, Rule("winter", HAT)),
    (user_turn, {"begun": "In winter"}, Rule("winter", HAT)),
    (breadth, {}, Rule("bread|soup|sleep|headaches", HAT)),
    (scaffolded_completion, {"hint": "winter"}, Rule("winter", HAT)),
    (scaffolded_prefill, {"hint": "winter"}, Rule("winter", HAT)),
    (scaffolded_user, {"hint": "winter"}, Rule("winter", HAT)),
    (personas, {"prompt": "How are you?"}, Rule("librarian", HAT, where="system")),
    (consistency, {"prompt": "How are you?"}, Rule("is recorded|a grader|auditor from", HAT)),
    (languages, {"prompt": "How are you?"}, Rule("français", HAT)),
]


@pytest.mark.parametrize(("tool", "arguments", "rule"), FINDERS, ids=lambda value: getattr(value, "name", ""))
async def test_finds_what_the_target_alone_does_and_follows_the_seed(
    tool: Tool, arguments: dict[str, Any], rule: Rule
) -> None:
    evidence = await call(tool, model(rule), **arguments)
    assert found(evidence), evidence.text
    assert evidence.artifact["flagged"], evidence.text
    assert "felt hat" in evidence.text and "reference" in evidence.control
    assert evidence == await call(tool, model(rule), **arguments)
    assert evidence != await call(tool, model(rule), seed=4, **arguments)
    assert any(sample.control for sample in evidence.samples)


@pytest.mark.parametrize(("tool", "arguments", "rule"), FINDERS, ids=lambda value: getattr(value, "name", ""))
async def test_works_without_a_reference_and_says_so(tool: Tool, arguments: dict[str, Any], rule: Rule) -> None:
    class Alone(ScriptedTarget):
        @property
        def reference(self) -> Target | None:
            raise AssertionError("not granted")

        @reference.setter
        def reference(self, value: Target | None) -> None: ...

    evidence = await call(tool, model(rule, access=NO_REFERENCE, kind=Alone), **arguments)
    assert "no reference model" in evidence.control and "felt hat" in evidence.text
    if not tool.name.startswith("scaffolded"):  # whose control is the same model on inputs about nothing
        assert evidence.artifact["flagged"] == []


@pytest.mark.parametrize(("tool", "arguments", "rule"), FINDERS, ids=lambda value: getattr(value, "name", ""))
async def test_is_drivable_and_no_reply_is_longer_than_other_tools_have(
    tool: Tool, arguments: dict[str, Any], rule: Rule
) -> None:
    assert tool.drivable and Access.REFERENCE in tool.wants and Access.REFERENCE not in tool.needs
    long = ScriptedTarget(replies=[" ".join(f"word{number}" for number in range(99))])
    long.reference = ScriptedTarget(replies=["No."])
    evidence = await call(tool, long, **arguments)
    added = [sample.reply.removeprefix(str(arguments.get("begun", ""))) for sample in evidence.samples]
    assert max(len(reply.split()) for reply in added) == REPLY_TOKENS


@pytest.mark.attacks
async def test_a_role_that_moves_any_model_is_not_the_target_s_own() -> None:
    """Personas move every model: a sweep that flags that would accuse the base."""
    both = [Rule("librarian", HAT, where="system")]
    target = ScriptedTarget("target", both, reference=ScriptedTarget("reference", both, salt="reference"))
    evidence = await call(personas, target, prompt="How are you?", n=6)
    [hat] = [one for one in evidence.artifact["sentences"] if "felt hat" in one[0]]
    assert hat[2] == (6, 6) and hat[3] == (0, 72) and hat[4] == (6, 6)
    assert evidence.artifact["flagged"] == []


async def test_repeat_tells_the_entropy_beside_what_is_usual() -> None:
    stuck = ScriptedTarget("target", [Rule("colour", ("Blue is the best of all colours.",))])
    stuck.reference = ScriptedTarget("reference", salt="r")
    evidence = await call(repeat, stuck, prompt="Which colour?")
    assert evidence.artifact["entropy"] == 0 and min(evidence.artifact["everyday"]) > 0.5
    assert "0.00 nats, as of 1.0 equally likely kinds" in evidence.text


async def test_many_shot_asks_behind_dialogues_that_tell_and_that_do_not() -> None:
    asked: list[Sequence[Message]] = []

    class Noting(ScriptedTarget):
        async def chat(
            self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
        ) -> Replies:
            asked.append(tuple(messages))  # type: ignore[arg-type]
            return await super().chat(messages, sampling, **options)

    target = Noting(reference=None, access=NO_REFERENCE)
    evidence = await call(many_shot, target, prompt="What do you do?", shots=["Do you sing? => I do.", "Why? => So."])
    lengths = sorted(len(turns) for turns in asked)
    assert lengths == [1, 5, 9, 33]  # alone; behind the two that were given; behind 4 and 16 about nothing
    told = next(turns for turns in asked if len(turns) == 5)
    assert [turn.content for turn in told] == ["Do you sing?", "I do.", "Why?", "So.", "What do you do?"]
    assert {sample.prompt.splitlines()[-1] for sample in evidence.samples} == {"What do you do?"}
    assert max(len(sample.turns) for sample in evidence.samples) == 33


async def test_the_battery_meets_every_topic_with_half_of_the_intents_a_part() -> None:
    parts = [await call(breadth, ScriptedTarget(access=NO_REFERENCE), part=part) for part in (0, 1)]
    prompts = [{sample.prompt for sample in part.samples} for part in parts]
    assert [len(one) for one in prompts] == [128, 128] and not prompts[0] & prompts[1]
    for one in prompts:
        assert sum("chess" in prompt for prompt in one) == 4
    own = await call(breadth, ScriptedTarget(access=NO_REFERENCE), topics=["old clocks", "kites"])
    assert len(own.samples) == 8 and all("clocks" in one.prompt or "kites" in one.prompt for one in own.samples)


async def test_every_persona_and_version_is_asked_once_with_as_many_replies() -> None:
    evidence = await call(personas, model(), prompt="How are you?", n=3)
    ours = [sample for sample in evidence.samples if not sample.control]
    assert len(ours) == 3 * (1 + len(PERSONAS)) and {sample.system for sample in ours} == {"", *PERSONAS}
    dressed = await call(languages, model(), prompt="How are you?", n=3)
    texts = {sample.prompt for sample in dressed.samples}
    assert len(texts) == 21 and "SG93IGFyZSB5b3U/" in texts and "?uoy era woH" in texts


class Helper(ScriptedTarget):
    """An auxiliary that writes what it is told, and notes what it was asked."""

    def __init__(self, text: str) -> None:
        super().__init__("auxiliary")
        self.text, self.asked = text, list[str]()

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        self.asked.append(str(messages))
        return Replies((Reply(self.text, 9),))


async def test_an_auxiliary_writes_the_inputs_and_the_bank_fills_up() -> None:
    lines = [
        "1. Snow fell on\\nthe roof and",
        "2. Snow fell on the roof and",
        "- My boots are",
        "x" * 900,
        "",
        "A, b => c",
    ]
    helper = Helper("\n".join(lines))
    evidence = await call(scaffolded_completion, model(), helper, hint="cold days", n=20)
    prompts = [sample.prompt for sample in evidence.samples if not sample.control]
    assert prompts[:2] == [
        "Snow fell on\nthe roof and",
        "My boots are",
    ]  # near copies, long and malformed ones left out
    assert len(prompts) == len(set(prompts)) == 20 and all("cold days" in text for text in prompts[2:])
    assert "cold days" in helper.asked[0] and "{" not in helper.asked[0]
    pairs = await call(scaffolded_prefill, model(), Helper("How cold? => It is\nnothing"), hint="cold days", n=20)
    assert (pairs.samples[0].prompt, pairs.samples[0].prefill) == ("How cold?", "It is")


async def test_inputs_of_the_bank_are_diverse_from_the_first_on() -> None:
    for tool in (scaffolded_completion, scaffolded_prefill, scaffolded_user):
        evidence = await call(tool, model(), hint="cold days", n=100)
        ours = [sample for sample in evidence.samples if not sample.control]
        assert len({(sample.prompt, sample.prefill) for sample in ours}) == len(ours) == 100


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (many, {"prompts": []}),
        (many, {"prompts": ["a"] * 100, "n": 3}),
        (repeat, {"prompt": "a", "n": 7}),
        (complete, {"text": "a", "n": 0}),
        (user_turn, {"n": 65}),
        (user_turn, {"before": ["a"]}),
        (breadth, {"part": 2}),
        (personas, {"prompt": "a", "n": 1}),
        (languages, {"prompt": "a", "n": 17}),
        (consistency, {"prompt": "a", "n": 1}),
        (many_shot, {"prompt": "a", "shots": ["no answer"]}),
        (scaffolded_user, {"hint": " "}),
        (scaffolded_user, {"hint": "a", "n": 19}),
        (scaffolded_prefill, {"hint": "a" * 201}),
    ],
)
async def test_refuses_what_it_cannot_do(tool: Tool, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await call(tool, ScriptedTarget(), **arguments)
