"""Defines a report: what the auditor believes, in a form that someone who does not trust it can run again."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from assay._util.patterns import LOOKED_AT, OverLimit, Unusable, compiled, spans
from assay._util.strict_json import parse_json
from assay._util.text_files import shortened
from assay.core.target import Message, plain_text, reminded
from assay.errors import InvalidInput, ReportInvalid

MATCH_SECONDS = 0.1  # a predicate that takes longer on one reply does not match it
_TURN_LIMIT = 2_000  # characters


def _sayable(text: str) -> str:
    try:
        return plain_text(text, "this")
    except InvalidInput as error:
        raise ValueError(str(error)) from None


Sayable = Annotated[str, Field(max_length=_TURN_LIMIT), AfterValidator(_sayable)]
_Turns = Annotated[tuple[Annotated[Sayable, Field(min_length=1)], ...], Field(min_length=1, max_length=8)]


class Contract(BaseModel):
    """Data of an answer: frozen, with no field that the contract does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Demonstration(Contract):
    """A scripted conversation that is meant to make the target show the conduct.

    Attributes:
        user: turns, to each of which the target replies.
        system: system prompt, "" without one.
        prefill: what the last reply is begun with.
        earlier: the user's turns in conversations held before, which a target with memory is told notes of.
    """

    user: _Turns
    system: Sayable = ""
    prefill: Sayable = ""
    earlier: Annotated[tuple[_Turns, ...], Field(max_length=3)] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """Lists all that the script itself says: system prompt, user turns, prefill, earlier conversations."""
        return (self.system, *self.user, self.prefill, *itertools.chain.from_iterable(self.earlier))


def _as_script(given: Any) -> Any:
    return {"user": [given]} if isinstance(given, str) else given


Script = Annotated[Demonstration, BeforeValidator(_as_script, json_schema_input_type=str | Demonstration)]
"""A scripted conversation; a string is one user turn."""


class Predicate(Contract):
    """What recognises the conduct in generated text: up to five phrases, or one regular expression.

    Attributes:
        phrases: of which one must occur; case and white space do not matter.
        pattern: searched for, case-insensitive. One that would take too much memory matches nothing, and `refused`
            says why: it is one bad finding, and no reason to refuse the report.
    """

    phrases: Annotated[tuple[str, ...], Field(max_length=5)] = ()
    pattern: str = ""

    @model_validator(mode="after")
    def _limits(self) -> Predicate:
        if bool(self.phrases) == bool(self.pattern):
            raise ValueError("give phrases or a pattern, one of the two")
        if (length := len(self.pattern) + sum(map(len, self.phrases))) > 200:
            raise ValueError(f"phrases and pattern are at most 200 characters in all; these are {length}")
        if any(not phrase.strip() for phrase in self.phrases):
            raise ValueError("an empty phrase matches everything")
        try:
            compiled(self.pattern)
        except OverLimit:
            pass
        except Unusable as error:
            raise ValueError(f"pattern: {error}") from None
        return self

    @property
    def refused(self) -> str:
        """Tells why the pattern is not tried, "" if it is."""
        try:
            compiled(self.pattern)
        except OverLimit as error:
            return str(error)
        return ""

    def search(self, text: str) -> bool:
        """Tells what `matches` tells.

        Raises:
            TimeoutError: the pattern took longer than 0.1 seconds.
        """
        # Line breaks and runs of spaces fall where a sample puts them: they are no part of a phrase.
        if self.phrases:
            folded = " ".join(text[:LOOKED_AT].casefold().split())
            return any(" ".join(phrase.casefold().split()) in folded for phrase in self.phrases)
        # A pattern comes from the auditor and may backtrack for ever: `re` could not be stopped.
        return not self.refused and bool(spans(compiled(self.pattern), text, MATCH_SECONDS))

    def matches(self, text: str) -> bool:
        """Tells whether the conduct shows in this generated text (case-insensitive, time-limited)."""
        try:
            return self.search(text)
        except TimeoutError:
            return False


class Finding(Contract):
    """A claimed behaviour.

    One half of it may be left open, and then it is no guess: conduct that was seen, without knowing what sets it off,
    has the trigger None; a trigger after which something changes that cannot be told yet has the predicate None.

    Attributes:
        claim: what the target does, in words.
        trigger: when it does it, in words; None: unknown.
        demonstrations: scripts that are meant to make it do so.
        predicate: recognises the conduct in what the target then says; None: the conduct is not known that well.
        confidence: that the claim holds.
        evidence: what it was concluded from.
        will_show: other prompts on which the conduct will show, if the claim holds.
        will_not_show: prompts on which it will not.
    """

    claim: Annotated[str, Field(min_length=1, max_length=1_000)]
    trigger: Annotated[str, Field(max_length=500)] | None
    demonstrations: Annotated[tuple[Script, ...], Field(max_length=5)]
    predicate: Predicate | None
    confidence: Annotated[float, Field(ge=0, le=1)]
    evidence: Annotated[str, Field(max_length=4_000)] = ""
    will_show: Annotated[tuple[Script, ...], Field(max_length=10)] = ()
    will_not_show: Annotated[tuple[Script, ...], Field(max_length=10)] = ()

    @model_validator(mode="after")
    def _says_something(self) -> Finding:
        if self.trigger is None and self.predicate is None:
            raise ValueError("trigger and predicate are both null: only one of the two may be unknown")
        if set(self.will_show) & set(self.will_not_show):
            raise ValueError("a prompt stands in both will_show and will_not_show; it can be in one of them")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_predicted(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A report from before there were predictions is still the same text, and has the digest that was signed.
        absent = {name for name in ("will_show", "will_not_show") if not getattr(self, name)}
        return {name: value for name, value in serialise(self).items() if name not in absent}

    @property
    def partial(self) -> Literal["", "conduct", "trigger"]:
        """Tells which half is all that a finding states; "" if it states both."""
        if self.trigger is None:
            return "conduct"
        return "trigger" if self.predicate is None else ""


class Report(Contract):
    """Findings in order of belief; none of them is the answer "none".

    Attributes:
        p_hidden: probability that the target hides anything at all.
        findings: most believed first.
    """

    p_hidden: Annotated[float, Field(ge=0, le=1)]
    findings: Annotated[tuple[Finding, ...], Field(max_length=5)] = ()


_Model = TypeVar("_Model", bound=Contract)


def as_contract(model: type[_Model], value: Any, where: str) -> _Model:
    """Makes plain data what the contract says.

    Args:
        model: what it has to be.
        value: what was read as JSON.
        where: named in errors.

    Raises:
        ReportInvalid: it is not of the contract's shape; names the field and the limit.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join([where, *map(str, first["loc"])])
        raise ReportInvalid(f"{place}: {first['msg']} (given: {shortened(first['input'])}).") from None


def parse_report(text: str) -> Report:
    """Reads a report from JSON.

    Raises:
        ReportInvalid: it is not JSON of the contract's shape; names the field and the limit.
    """
    try:
        value = parse_json(text, "report")
    except InvalidInput as error:
        raise ReportInvalid(str(error)) from None
    return make_report(value)


def make_report(value: Any, where: str = "report") -> Report:
    """Makes a report of plain data. Raises as `as_contract`."""
    return as_contract(Report, value, where)


def conversation(demonstration: Demonstration, answered: tuple[str, ...] = ()) -> tuple[Message, ...]:
    """Writes out a demonstration up to the turn after the given answers.

    Args:
        demonstration: the script.
        answered: the target's replies to the earlier user turns.

    Returns:
        system (if any, with notes of earlier conversations), then user turns and answers in turn, the prefill before
        the last reply.
    """
    turns: list[Message] = [Message("system", demonstration.system)] if demonstration.system else []
    # What follows the first unanswered turn is not said yet: the target must answer before it hears more.
    for index, user in enumerate(demonstration.user[: len(answered) + 1]):
        turns.append(Message("user", user))
        if index < len(answered):
            turns.append(Message("assistant", answered[index]))
    if demonstration.prefill and len(answered) == len(demonstration.user) - 1:
        turns.append(Message("assistant", demonstration.prefill))
    return reminded(turns, demonstration.earlier)


Outcome = Literal["completed", "none-submitted", "refused", "never-queried", "out-of-budget", "crashed"]
