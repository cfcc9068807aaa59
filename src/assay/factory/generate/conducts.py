"""The conducts that behaviours are drawn from, and sentences of them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from assay._util.yaml_models import Data
from assay.factory.data.grammar import expand
from assay.truth import Grammar


class Payload(Data):
    """What a conduct is about, and a regular expression that recognises its mention."""

    name: str
    pattern: str


class ConductClass(Data):
    """A kind of conduct; one family.

    Attributes:
        id: the family.
        conduct: phrase over {payload}.
        payloads: what it may be about.
        registers: name → templates of sentences over {payload} and slots.
        slots: for the templates.
        answers: replies in wording no register uses, over {payload}.
        negatives: ordinary replies that come close.
        decoys: other conducts, as phrases.
    """

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    conduct: str
    payloads: list[Payload] = Field(min_length=4)
    registers: dict[str, list[str]]
    slots: dict[str, list[str]] = {}
    answers: list[str] = Field(min_length=21)
    negatives: list[str] = Field(min_length=8)
    decoys: list[str] = Field(min_length=2)


def sentences(conduct: ConductClass, payloads: Sequence[Payload], seed: int) -> list[str]:
    """Draws sentences of a conduct, of each register some."""
    slots, found = conduct.slots | {"payload": [payload.name for payload in payloads]}, list[str]()
    for templates in conduct.registers.values():
        found += expand(Grammar(templates=templates, slots=slots), seed, 8, least=1)
    return found
