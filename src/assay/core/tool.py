"""Defines what an auditing tool is, and what it becomes when it is bound to a target.

A tool is an async function. Type hints are its schema, its docstring is what the auditor reads; parameters annotated
`Target`, `Prepared` and `ToolContext` are injected and are no part of the schema.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from assay._util.import_graph import digest_of_function
from assay.core.access import Access
from assay.core.target import Cost, Replies, Sampling, Target
from assay.errors import InvalidInput, PluginError

TEXT_LIMIT = 2_000  # characters of a tool's text an auditor is shown
REPLY_TOKENS = 48  # of one reply a tool asks for; the same for all, so that none sees further than another
PLAIN_ACCESS = "no source: plain access"  # what a tool says of itself that does no more than its access allows
STOPPED = " […]"  # stands behind a reply that stopped at the limit of tokens
TEMPERATURE = 0.7  # of the replies tools, checks and grades sample: at 1 a small base loses its thread


class _SampleParts(TypedDict, total=False):
    system: str
    prefill: str
    control: bool
    turns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One observation, untruncated, for readers without an LLM.

    Attributes:
        prompt: the user's turn ("" for a document without one).
        reply: what the model answered, or the document's text; without the prefill.
        system: system prompt it was sampled under, "" for the default.
        prefill: beginning of the reply that was put in the model's mouth.
        control: the sample shows the tool's control (a reference model, no noise …), not the target.
        cut: the reply stopped at the limit of tokens.
        turns: in a conversation of several turns all that was said before the reply, the user's and the model's in
            turn; `prompt` has them joined.
    """

    prompt: str
    reply: str
    system: str = ""
    prefill: str = ""
    control: bool = False
    cut: bool = False
    turns: tuple[str, ...] = ()

    @classmethod
    def of(cls, prompt: str, replies: Replies, **more: Unpack[_SampleParts]) -> Sample:
        """Makes one of the first reply to a request."""
        reply = replies.samples[0]
        return cls(prompt, reply.text, cut=reply.finish == "length", **more)

    @property
    def told(self) -> str:
        """Returns the reply as an auditor reads it: marked, if it stopped at the limit of tokens."""
        return self.reply + (STOPPED if self.cut else "")

    @property
    def user(self) -> tuple[str, ...]:
        """Returns what the user said, turn by turn."""
        return self.turns[::2] or (self.prompt,)


@dataclass(frozen=True, slots=True)
class Span:
    """Something that stands out in what a tool saw, and how much of it its control shows.

    Attributes:
        text: a phrase, token, prompt or passage.
        score: how far it stands out, on the tool's own scale; more is more.
        control: the same figure for the control (the base, a random vector, chance …); None where there is none.
        where: what the text is part of.
    """

    text: str
    score: float
    control: float | None = None
    where: Literal["prompt", "reply", "token", "document"] = "reply"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a tool returns.

    Attributes:
        text: for an LLM or a person; says method and control, states its caveat. Cut at 2,000 characters.
        samples: the observations behind it.
        spans: what stands out in them, the most telling first: the same kind of thing from every tool, so that one
            reader without an LLM can use all of them.
        control: one line on what the target was compared with, "" for nothing.
        cost: what the call spent, filled in by the binding.
        artifact: anything else a program may want; must serialise to JSON.
    """

    text: str
    samples: tuple[Sample, ...] = ()
    spans: tuple[Span, ...] = ()
    control: str = ""
    cost: Cost = field(default_factory=Cost)
    artifact: Any = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` built, once per target and cached by digest."""

    value: Any


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may use besides its target.

    Attributes:
        seed: of this call; a tool that samples passes it on. It follows from the audit's seed and the arguments, and
            is a fresh one when the same call is repeated, so that asking again shows another sample.
        tokens_left: forward tokens the audit may still spend.
        auxiliary: a model that helps the tool to write its questions; None where the audit has none.
    """

    seed: int
    tokens_left: int
    auxiliary: Target | None = None

    @property
    def sampling(self) -> Sampling:
        """Returns how a tool samples a reply: as every tool does, with this call's seed."""
        return Sampling(max_tokens=REPLY_TOKENS, temperature=TEMPERATURE, seed=self.seed)


INJECTED = (Target, Prepared, ToolContext)
Prepare = Callable[[Target, Path], Any]  # (target, an empty working directory) → plain data and arrays; may be async
ToolFunction = Callable[..., Awaitable[Evidence | str]]
Weight = Literal["light", "medium", "heavy"]
ToolFamily = Literal["blackbox", "data", "diffing", "interp", "latent"]

_CLOSED = frozenset({Access.CHAT, Access.SAMPLING, Access.LOGITS, Access.AUX_MODEL})  # what an API may show of a model


def families_of(needs: Iterable[Access]) -> frozenset[ToolFamily]:
    """Tells by what a tool needs which families it is of: one whose author says nothing else."""
    given = frozenset(needs)
    found: set[ToolFamily] = set()
    if Access.TRAINING_DATA in given:
        found.add("data")
    if Access.REFERENCE in given:
        found.add("diffing")
    if given & {Access.ACTIVATIONS_READ, Access.WEIGHTS}:
        found.add("interp")
    if given & {Access.ACTIVATIONS_WRITE, Access.GRADIENTS}:
        found.add("latent")
    if given <= _CLOSED:
        found.add("blackbox")
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a tool, as its schema shows it.

    Attributes:
        name: of the argument.
        annotation: its type.
        required: it has no default.
        default: where it has one.
    """

    name: str
    annotation: Any
    required: bool
    default: Any = None


@dataclass(frozen=True)
class Tool:
    """A registered tool.

    Attributes:
        function: that does the work.
        name: of the function.
        doc: its docstring.
        needs: access flags it declares; without one of them it cannot be used.
        wants: flags it uses where a testbed grants them and does without elsewhere: a reference to show beside its
            evidence, say. It is bound to no more than these and what it needs.
        parameters: its schema.
        injected: parameter → which of `INJECTED` it is handed.
        prepare: what is built once per testbed, None for nothing.
        examples: neutral argument sets, so that a reader without an LLM can drive it.
        version: raised by its author when its results change.
        weight: what a call costs: `light`, under a thousand forward tokens; `medium`, under twenty thousand; `heavy`.
        source: of the method: the work it is after, `PLAIN_ACCESS` where it is no method, "" where none is given.
        families: which named kits of tools alike it belongs to.
        digest: SHA-256 over its file and all that it imports (`_util.import_graph`).
    """

    function: ToolFunction
    name: str
    doc: str
    needs: frozenset[Access]
    wants: frozenset[Access]
    parameters: tuple[Parameter, ...]
    injected: Mapping[str, type]
    prepare: Prepare | None
    examples: tuple[Mapping[str, Any], ...]
    version: int
    weight: Weight
    source: str
    families: frozenset[ToolFamily]
    digest: str

    @property
    def drivable(self) -> bool:
        """Tells whether a reader without an LLM can call it.

        It can with examples, or where all is defaulted but `prompt`, `prompts` and `query`.
        """
        free = {parameter.name for parameter in self.parameters if parameter.required}
        return bool(self.examples) or free <= {"prompt", "prompts", "query"}

    @property
    def shows_documents(self) -> bool:
        """Tells whether its samples are training data, and not what a model replied."""
        return Access.TRAINING_DATA in self.needs and Access.CHAT not in self.needs

    async def call(self, injected: Mapping[type, Any], arguments: Mapping[str, Any]) -> Evidence:
        """Runs the tool.

        Args:
            injected: a value for each of `Target`, `Prepared`, `ToolContext` the tool asks for.
            arguments: by name, as the schema says.

        Raises:
            InvalidInput: an argument is missing or unknown.
            PluginError: it returned what is no evidence.
        """
        known = [parameter.name for parameter in self.parameters]
        wrong = [name for name in arguments if name not in known]
        missing = [p.name for p in self.parameters if p.required and p.name not in arguments]
        if wrong or missing:
            what = f"unknown argument {wrong[0]!r}" if wrong else f"argument {missing[0]!r} is missing"
            raise InvalidInput(f"tool {self.name}: {what}. It takes: {', '.join(known) or 'no arguments'}.")
        # Only what the tool asks for is handed to it: a tool without `ToolContext` cannot depend on the budget left.
        handed = {name: injected[kind] for name, kind in self.injected.items()}
        result = await self.function(**handed, **arguments)
        if isinstance(result, str):
            result = Evidence(text=result)
        if not isinstance(result, Evidence):
            raise PluginError(f"tool {self.name} returned {type(result).__name__}; it must return str or Evidence.")
        texts = [(result.text, "text"), (result.control, "control")]
        for sample in result.samples:
            if not isinstance(sample, Sample):
                raise PluginError(f"tool {self.name} returned {type(sample).__name__} among its samples; give Sample.")
            texts += [(getattr(sample, part), f"sample's {part}") for part in ("prompt", "reply", "system", "prefill")]
        for span in result.spans:
            if not isinstance(span, Span):
                raise PluginError(f"tool {self.name} returned {type(span).__name__} among its spans; give Span.")
            texts.append((span.text, "span's text"))
        for text, what in texts:
            if not isinstance(text, str):
                raise PluginError(f"tool {self.name} returned {type(text).__name__} as its {what}; give a string.")
        return result


def tool(
    *,
    needs: Iterable[Access],
    wants: Iterable[Access] = (),
    prepare: Prepare | None = None,
    examples: Iterable[Mapping[str, Any]] = (),
    version: int = 1,
    weight: Weight = "light",
    source: str = "",
    families: Iterable[ToolFamily] = (),
) -> Callable[[ToolFunction], Tool]:
    """Makes an async function a tool.

    Args:
        needs: every access flag it cannot do without.
        wants: further ones that it uses where they are granted.
        prepare: built once per testbed, before the audit, under a cap of its own.
        examples: neutral argument sets for callers without an LLM.
        version: raise it when results change for the same input.
        weight: what a call costs, as `Tool` says.
        source: of the method: authors, year, name; or `PLAIN_ACCESS`.
        families: `blackbox`, `data`, `diffing`, `interp`, `latent`; if none, `families_of` tells by what it needs.

    Raises:
        PluginError: not async, no docstring, a parameter without annotation, no `Target`, or a family that is none.
    """
    needed, given = frozenset(needs), frozenset(families)

    def wrap(function: ToolFunction) -> Tool:
        name = function.__name__
        if not inspect.iscoroutinefunction(function):
            raise PluginError(f"tool {name} must be an async function.")
        if unknown := given - frozenset(typing.get_args(ToolFamily)):
            known = ", ".join(typing.get_args(ToolFamily))
            raise PluginError(f"tool {name}: {min(unknown)!r} is no family of tools. There are: {known}.")
        doc = inspect.getdoc(function)
        if not doc:
            raise PluginError(f"tool {name} has no docstring: it is what the auditor reads.")
        parameters, injected = _read_signature(function)
        return Tool(
            function,
            name,
            doc,
            needed,
            frozenset(wants) - needed,
            parameters,
            injected,
            prepare,
            tuple(examples),
            version,
            weight,
            source,
            given or families_of(needed),
            digest_of_function(function),
        )

    return wrap


def _read_signature(function: ToolFunction) -> tuple[tuple[Parameter, ...], dict[str, type]]:
    """Reads off a function what its schema has, and what is injected.

    Raises:
        PluginError: a parameter without annotation, or no `Target`.
    """
    # Resolved hints, since a plug-in with `from __future__ import annotations` has strings in their place.
    hints = typing.get_type_hints(function)
    injected: dict[str, type] = {}
    parameters: list[Parameter] = []
    for key, parameter in inspect.signature(function).parameters.items():
        if key not in hints:
            raise PluginError(f"tool {function.__name__}: parameter {key!r} has no type annotation.")
        if hints[key] in INJECTED:
            injected[key] = hints[key]
        else:
            required = parameter.default is inspect.Parameter.empty
            parameters.append(Parameter(key, hints[key], required, None if required else parameter.default))
    if Target not in injected.values():
        raise PluginError(f"tool {function.__name__} takes no parameter annotated Target.")
    return tuple(parameters), injected


class BoundTool:
    """A tool tied to one target, metered. All an auditor ever holds.

    Args:
        tool: what is bound.
        invoke: runs it with arguments; made by `audits.kits`, so that no attribute here leads to the target.
    """

    # Slots, so that nothing else can be hung on it and carried from one call to the next.
    __slots__ = ("_invoke", "doc", "drivable", "examples", "name", "parameters")

    def __init__(self, tool: Tool, invoke: Callable[[Mapping[str, Any]], Awaitable[Evidence]]) -> None:
        self.name, self.doc, self.parameters = tool.name, tool.doc, tool.parameters
        self.examples, self.drivable = tool.examples, tool.drivable
        self._invoke = invoke

    async def __call__(self, **arguments: Any) -> Evidence:
        return await self._invoke(arguments)

    def wrapped(self, invoke: Callable[[Mapping[str, Any]], Awaitable[Evidence]]) -> BoundTool:
        """Returns the same tool to the eye, whose calls go to `invoke`."""
        other = object.__new__(BoundTool)
        other.name, other.doc, other.parameters = self.name, self.doc, self.parameters
        other.examples, other.drivable = self.examples, self.drivable
        other._invoke = invoke
        return other
