"""Defines the model under audit, as everything above the engine sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal, Protocol, TypedDict, Unpack, get_args

from assay.core.access import Access
from assay.core.edit import Edit
from assay.core.readouts import (
    Activations,
    Array,
    Divergence,
    Gradients,
    Loss,
    NearTokens,
    Raw,
    TokenLogprobs,
    Vocabulary,
    Weights,
    WithRespectTo,
)
from assay.errors import InvalidInput

if TYPE_CHECKING:
    from assay.core.testbed import TargetSpec

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)
MAX_TURNS = 1_000
_RANGES = {"n": (1, 100_000), "max_tokens": (1, 1_000_000), "seed": (-(2**63), 2**63)}  # models stop long before
_HOTTEST = 100
_HALF = re.compile(r"[\ud800-\udfff]")
_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")
THINK = ("<think>", "</think>")  # what a scratchpad stands between
_REMEMBERED, _NOTE = 3, 160  # conversations; characters of each one's note


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. A final assistant message is a prefill: the reply goes on from it."""

    role: Role
    content: str


Messages = str | Sequence[Message]
Prompt = Messages | Raw


def plain_text(text: object, what: str, *, nul: bool = False) -> str:
    """Returns a text that any tokenizer, server and file can hold, as a plain string.

    Args:
        text: whatever was given.
        what: it is, for the error.
        nul: it may hold NUL, as what a model once said may.

    Raises:
        InvalidInput: no string, or one with a NUL or half a surrogate pair.
    """
    if not isinstance(text, str):
        raise InvalidInput(f"{what} is {type(text).__name__}; give a string.")
    if found := (_HALF if nul else _NO_TEXT).search(text):
        raise InvalidInput(
            f"{what} has U+{ord(found[0]):04X} at character {found.start()}, which is NUL or half a surrogate pair. "
            f"Leave it out."
        )
    return "".join((text,))  # a string of a tool's own class could say one thing here, and another where it is used


def as_messages(messages: Messages) -> tuple[Message, ...]:
    """Returns the turns of a conversation; a plain string is one user turn.

    Raises:
        InvalidInput: none, or more than 1,000; one that is empty or no text; another role; a system turn that is not
            the first; an assistant's turn before any user's.
    """
    turns: list[Message] = []
    given = (Message("user", messages),) if isinstance(messages, str) else messages
    if not isinstance(given, Iterable):
        raise InvalidInput(f"a conversation is {type(given).__name__}; give a string, or a sequence of messages.")
    for number, turn in enumerate(given, start=1):
        if number > MAX_TURNS:
            raise InvalidInput(f"a conversation of more than {MAX_TURNS} turns; give fewer.")
        turns.append(_checked_turn(turn, number, turns))
    if not turns:
        raise InvalidInput("a conversation without turns; give one user turn at least.")
    return tuple(turns)


def as_history(before: Sequence[Message]) -> tuple[Message, ...]:
    """Returns the turns that come before a user's; there may be none.

    Raises:
        InvalidInput: what `as_messages` refuses, or a user's turn at the end: nobody answered it.
    """
    if not before:
        return ()
    turns = as_messages(before)
    if turns[-1].role == "user":
        raise InvalidInput("a user's turn is asked for behind a user's turn; end with the assistant's, or hand it on.")
    return turns


def _checked_turn(turn: object, number: int, before: Sequence[Message]) -> Message:
    """Returns a turn as a plain value, if it may follow those before it."""
    if not isinstance(turn, Message):
        raise InvalidInput(f"turn {number} is {type(turn).__name__}; give Message(role, content).")
    role = turn.role
    content = plain_text(turn.content, f"the content of turn {number}", nul=role == "assistant")
    if role not in ROLES:
        raise InvalidInput(f"turn {number} has the role {role!r}; give {', '.join(ROLES)}.")
    if role == "system" and before:
        raise InvalidInput(f"turn {number} is a system turn; give one at most, and give it first.")
    if role == "assistant" and not any(earlier.role == "user" for earlier in before):
        raise InvalidInput(f"turn {number} is the assistant's, before any user's; begin with a user turn.")
    if role == "user" and not content:
        raise InvalidInput(f"turn {number}, the user's, is empty; say something in it.")
    return Message(ROLES[ROLES.index(role)], content)  # its own string, not one that only compares like it


def with_system(turns: Sequence[Message], prompt: str) -> tuple[Message, ...]:
    """Puts a system prompt before a conversation, and before the one it may have."""
    # One system turn, since some chat templates and providers take no second one.
    own = [turn.content for turn in turns if turn.role == "system"]
    rest = [turn for turn in turns if turn.role != "system"]
    return (Message("system", "\n\n".join([prompt, *own])), *rest)


def reminded(turns: Sequence[Message], earlier: Sequence[Sequence[str]]) -> tuple[Message, ...]:
    """Puts notes of the last earlier conversations into the system prompt, as a target with memory is given them.

    Args:
        turns: of the conversation.
        earlier: the user's turns in each conversation before.
    """
    if not earlier:
        return tuple(turns)
    notes: list[str] = []
    for user in earlier[-_REMEMBERED:]:
        said = " ".join(user)[:_NOTE]
        notes.append(f'The user said: "{said}"')
    return with_system(turns, "Notes from earlier conversations: " + " ".join(notes))


class SamplingOptions(TypedDict, total=False):
    """What a call may say of its sampling by keyword; the fields of `Sampling`, which a test holds it to."""

    n: int
    max_tokens: int
    temperature: float
    seed: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are drawn.

    Attributes:
        n: replies of one request.
        max_tokens: of each reply.
        temperature: 0 is greedy.
        seed: of the draws; each of the n replies has draws of its own.

    Raises:
        InvalidInput: a value that is no such number, or out of range.
    """

    n: int = 1
    max_tokens: int = 64
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            whole = isinstance(value, Integral) and not isinstance(value, bool)
            if not whole or not least <= int(value) <= most:
                raise InvalidInput(f"{name}={value!r}: give a whole number from {least} to {most}.")
            object.__setattr__(self, name, int(value))  # numpy's, say
        heat = self.temperature
        if not isinstance(heat, Real) or isinstance(heat, bool) or not 0 <= heat <= _HOTTEST:  # nor NaN
            raise InvalidInput(f"temperature={heat!r}: give a number from 0 to {_HOTTEST}.")

    def but(self, **options: Unpack[SamplingOptions]) -> Sampling:
        """Returns this sampling with some fields changed.

        Raises:
            InvalidInput: a value no engine can sample with.
        """
        return replace(self, **options) if options else self


DEFAULT_SAMPLING = Sampling()  # frozen, so that all calls may share it


@dataclass(frozen=True, slots=True)
class Cost:
    """What was spent on models (cached replies cost the same).

    Attributes:
        queries: replies, or passes of another kind.
        input_tokens: read, those of a prompt once a call however many replies there are.
        output_tokens: written.
    """

    queries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Cost) -> Cost:
        read, written = self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens
        return Cost(self.queries + other.queries, read, written)

    @property
    def tokens(self) -> int:
        """Returns the forward tokens, read and written."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool a target with tools called while it made its reply.

    Attributes:
        tool: its name.
        arguments: as JSON.
        result: what the tool gave back, as text.
    """

    tool: str
    arguments: str
    result: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One sampled continuation, without the prefill it continues.

    Attributes:
        text: what the user is told.
        tokens: written, thoughts included.
        finish: why it ended.
        reasoning: thoughts before the reply, "" without any.
        calls: of tools, in order.
    """

    text: str
    tokens: int
    finish: Literal["stop", "length"] = "stop"
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()

    @property
    def done(self) -> str:
        """Returns what was said, and after it what was done with tools: all that a conduct can show in."""
        return "\n".join([self.text, *(f"[{call.tool}] {call.arguments}" for call in self.calls)])


@dataclass(frozen=True, slots=True)
class Replies:
    """The n samples of one request."""

    samples: tuple[Reply, ...]
    cost: Cost = field(default_factory=Cost)

    @property
    def text(self) -> str:
        """Returns the first sample's text."""
        return self.samples[0].text

    @property
    def texts(self) -> tuple[str, ...]:
        """Returns all samples' texts."""
        return tuple(sample.text for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Document:
    """One item of a target's training data, or of the ordinary data it lies in.

    Attributes:
        id: content digest, so that the order of ids carries no information.
        prompt: the user's turn of a chat, "" for raw text.
        text: the reply of a chat, or the raw text.
    """

    id: str
    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents in an order that carries no information, and the digest of their content."""

    documents: tuple[Document, ...]
    digest: str


class Target(Protocol):
    """A model that can be asked. A call beyond the granted access raises `AccessDenied`.

    How replies are drawn may be said by keyword (`chat(prompt, n=4, max_tokens=48)`), as tools do, or handed on whole
    (`chat(prompt, sampling)`), as wrappers and engines do; keywords change what is handed on.
    """

    @property
    def alias(self) -> str: ...
    @property
    def access(self) -> frozenset[Access]: ...
    @property
    def layers(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def reference(self) -> Target | None: ...
    @property
    def corpus(self) -> Corpus | None: ...

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        """Samples n replies to a conversation (n ≥ 1; temperature 0 is greedy)."""
        ...

    async def complete(
        self, text: str, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        """Samples n continuations of raw text, no chat template."""
        ...

    async def user_turn(
        self,
        before: Sequence[Message],
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        begun: str = "",
        **options: Unpack[SamplingOptions],
    ) -> Replies:
        """Samples n times what the user would say next.

        Args:
            before: the turns so far, ending with the assistant's; none, or a system prompt alone, for a first turn.
            begun: beginning of the user's turn, which the samples go on from.
        """
        ...

    async def score(self, prompt: Prompt, *, top: int = 0) -> TokenLogprobs:
        """Computes log-probabilities of a given text; a conversation's last assistant turn is what is scored.

        Args:
            prompt: conversation or raw text.
            top: most likely next tokens to give at each position.
        """
        ...

    async def divergence(self, prompt: Prompt) -> Divergence:
        """Computes how far the next-token distributions of a given text are from the reference's."""
        ...

    async def activations(self, prompt: Prompt, layers: Sequence[int]) -> Activations:
        """Reads the residual stream after some layers, at every token of a prompt (of a chat, with no reply begun)."""
        ...

    async def nearest_tokens(self, vectors: Array, *, top: int = 10, by: Vocabulary = "unembedding") -> NearTokens:
        """Reads vectors of the residual stream as tokens.

        Args:
            vectors: (rows, width).
            top: tokens to give for each.
            by: `unembedding` passes a vector through the last norm and the head, as the stream after the last layer is
                (the logit lens); `embedding` compares it with the tokens' embeddings, by cosine.
        """
        ...

    async def gradients(self, prompt: Prompt, wrt: WithRespectTo, loss: Loss) -> Gradients:
        """Computes gradients of a loss at one prompt."""
        ...

    async def weights(self, names: Sequence[str]) -> Weights:
        """Copies weights; a name may be a pattern (`layers.*.mlp.up_proj.weight`).

        Raises:
            UnknownId: a name or pattern that nothing matches.
        """
        ...

    def intervene(self, *edits: Edit) -> AbstractAsyncContextManager[Target]:
        """Opens a view of this target whose requests, and no others, carry the edits."""
        ...


OpenTarget = Callable[["TargetSpec"], AbstractAsyncContextManager[Target]]
