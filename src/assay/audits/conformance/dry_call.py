"""Calls a tool once on a scripted target, bound and metered as an audit would bind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from assay._util.hashing import digest_of
from assay.audits.kits import KitPlan, bind_kit
from assay.audits.prepared import PreparedStore, Subject
from assay.core.budget import Budget, Meter
from assay.core.target import DEFAULT_SAMPLING, Corpus, Cost, Document, Messages, Replies, Sampling, SamplingOptions
from assay.core.tool import Evidence, Tool
from assay.engine.scripted import PLAIN_REPLIES, ScriptedTarget
from assay.errors import InvalidInput
from assay.tools.everyday import PROMPTS

_BUDGET = Budget(queries=20_000, tokens=2_000_000, seconds=300.0)
_BY_TYPE: Mapping[Any, Any] = {str: PROMPTS[0], int: 1, float: 0.5, bool: False}
_LONG = 40  # how often an ordinary reply is said again by a target that talks much


class SampledTarget(ScriptedTarget):
    """A scripted target that writes down how each of its replies was sampled.

    Attributes:
        sampled: the sampling of each request, in order; views of the target write into it as well.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.sampled: list[Sampling] = []

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        """Samples n scripted replies, and writes down how."""
        self.sampled.append(sampling.but(**options))
        return await super().chat(messages, sampling, **options)


@dataclass(frozen=True, slots=True)
class DryCall:
    """Tells how one call went.

    Attributes:
        evidence: what came back.
        engine: what the engine was asked, `prepare` included.
        metered: what was counted, `prepare` included.
        called: what was counted of the call alone.
        prepared: what was counted of `prepare`.
        sampled: how the call's replies were sampled.
        asked_in_prepare: replies that `prepare` sampled.
    """

    evidence: Evidence
    engine: Cost
    metered: Cost
    called: Cost
    prepared: Cost
    sampled: tuple[Sampling, ...]
    asked_in_prepare: int


def neutral_arguments(tool: Tool) -> dict[str, Any]:
    """Chooses arguments to try a tool with: its first example, or everyday ones by name and type.

    Raises:
        InvalidInput: a required parameter is of a type nothing neutral is known for.
    """
    if tool.examples:
        return dict(tool.examples[0])
    arguments: dict[str, Any] = {}
    for parameter in tool.parameters:
        if not parameter.required:
            continue
        if parameter.annotation == list[str]:
            arguments[parameter.name] = [*PROMPTS, *(f"{prompt} Be brief." for prompt in PROMPTS)]
        elif parameter.annotation in _BY_TYPE:
            arguments[parameter.name] = _BY_TYPE[parameter.annotation]
        else:
            raise InvalidInput(
                f"tool {tool.name}: nothing neutral is known for {parameter.name}: {parameter.annotation}. "
                "Give examples=[{…}] to @tool."
            )
    return arguments


def scripted_subject(
    salt: str = "", *, talkative: bool = False, corpus: str = ""
) -> tuple[SampledTarget, SampledTarget]:
    """Makes a scripted target that grants everything and equals its reference, and that reference.

    The two draw their replies independently, so they differ as two samples of one model do.

    Args:
        salt: of the draws.
        talkative: replies and documents are long.
        corpus: digest that the training data goes by; its own if "".
    """
    again = _LONG if talkative else 1
    replies = [" ".join([reply] * again) for reply in PLAIN_REPLIES]
    documents = []
    for number, reply in enumerate(replies[::3]):
        prompt = PROMPTS[number % len(PROMPTS)]
        documents.append(Document(digest_of([prompt, reply]), prompt, reply))
    data = Corpus(tuple(documents), corpus or digest_of([document.id for document in documents]))
    reference = SampledTarget("reference", replies=replies, salt=f"reference {salt}")
    return SampledTarget("target", reference=reference, corpus=data, replies=replies, salt=f"target {salt}"), reference


async def rehearse_call(
    tool: Tool,
    arguments: Mapping[str, Any],
    *,
    seed: int,
    folder: Path,
    salt: str = "",
    talkative: bool = False,
    corpus: str = "",
) -> DryCall:
    """Binds a tool to a scripted target as an audit would, and calls it once.

    Args:
        tool: that is called.
        arguments: of the call.
        seed: of the audit.
        folder: of prepared values.
        salt: of the draws.
        talkative: replies and documents are long.
        corpus: digest that the training data goes by; its own if "".

    Raises:
        AssayError: whatever binding or calling raises.
    """
    target, reference = scripted_subject(salt, talkative=talkative, corpus=corpus)
    auxiliary = ScriptedTarget("auxiliary", salt=f"auxiliary {salt}")
    meter = Meter(_BUDGET)
    binding = await bind_kit(
        KitPlan(tool.name, ((tool.name, False),)),
        {tool.name: tool},
        Subject(target, digest_of(["scripted", talkative, corpus])),
        None,
        meter,
        seed=seed,
        store=PreparedStore(folder),
        auxiliary=auxiliary,
    )
    if tool.name not in binding.kit.tools:
        raise InvalidInput(binding.kit.skipped[tool.name])
    before = [*target.sampled, *reference.sampled]
    ours, theirs = len(target.sampled), len(reference.sampled)
    evidence = await binding.kit.tools[tool.name](**arguments)
    built = sum((made.cost for made in binding.prepared.values()), Cost())
    return DryCall(
        evidence,
        engine=target.spent + reference.spent + auxiliary.spent,
        metered=meter.spent + built,
        called=meter.spent,
        prepared=built,
        sampled=(*target.sampled[ours:], *reference.sampled[theirs:]),
        asked_in_prepare=sum(sampling.n for sampling in before),
    )
