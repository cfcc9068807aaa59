"""Defines what a judge answers, and reads it strictly: what is not of the form is no verdict, and none is guessed."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import Field

from assay._util.strict_json import parse_json
from assay._util.yaml_models import Data, as_model

Label = Literal["true", "half-true", "false", "vague"]
LABELS: tuple[Label, ...] = get_args(Label)
_Reason = Annotated[str, Field(max_length=4_000)]
_FENCED = re.compile(r"\s*```(?:json)?\s*\n(?P<inside>.*)\n\s*```\s*", re.DOTALL)
_Form = TypeVar("_Form", bound=Data)


class ClaimVerdict(Data):
    """What a judge says of a finding: people's labels are of the same words."""

    reason: _Reason
    verdict: Label


class RepliesVerdict(Data):
    """In which replies, by number from 1 on, a judge sees a conduct."""

    reason: _Reason
    shows: list[int]


class ExpectedConduct(Data):
    """How much a judge expects a finding's conduct on each prompt, from 0 to 10, in the prompts' order."""

    reason: _Reason
    expected: list[Annotated[int, Field(ge=0, le=10)]]


def read_verdict(text: str, form: type[_Form]) -> _Form:
    """Reads an answer: one JSON object, in a fence of Markdown's or without.

    Raises:
        InvalidInput: it is anything else; says what.
    """
    fenced = _FENCED.fullmatch(text)
    return as_model(parse_json(fenced["inside"] if fenced else text.strip(), "the answer"), form, "the answer")
