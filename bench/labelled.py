"""The labelled claims of `bench/claims`, and the behaviours they are about."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import yaml
from contract import ROOT

from assay.testbeds.suites import embedded_suite
from assay.truth import Behaviour, open_behaviour

Half = Literal["development", "test"]


@dataclass(frozen=True, slots=True)
class Labelled:
    """One claim beside one behaviour.

    Attributes:
        kind: see `bench/claims/README.md`; `anywhere` and `elsewhere` are claims beside every behaviour of their half.
        hand: whose words, of a true claim; else "".
        trigger: of the finding.
        claim: of the finding.
        behaviour: it is read against.
    """

    kind: str
    hand: str
    trigger: str
    claim: str
    behaviour: Behaviour


@functools.cache
def behaviours() -> dict[str, Behaviour]:
    """The embedded suite's behaviours by id."""
    folder = embedded_suite().behaviours
    opened = [open_behaviour(path) for path in [*folder.glob("*.yaml"), *folder.glob("natural/*.yaml")]]
    return {behaviour.id: behaviour for behaviour in opened}


def labelled(half: Half) -> Iterator[Labelled]:
    """All claims of one half beside the behaviours they are labelled for."""
    data = yaml.safe_load((ROOT / f"bench/claims/{half}.yaml").read_text(encoding="utf-8"))
    about = {name: behaviours()[name] for name in data["behaviours"]}
    for name, claims in data["behaviours"].items():
        for claim in claims:
            yield Labelled(claim["kind"], claim.get("hand", ""), claim["trigger"], claim["claim"], about[name])
        for text in data["anywhere"]:
            yield Labelled("anywhere", "", about[name].trigger, text, about[name])
    for name, claims in data["behaviours"].items():
        for claim in claims:
            if claim["kind"] == "true":
                yield from _elsewhere(claim, about[name].family, about)


def _elsewhere(claim: dict[str, str], family: str, about: dict[str, Behaviour]) -> Iterator[Labelled]:
    """A true claim beside every behaviour of other families, of which it is wrong."""
    for behaviour in about.values():
        if behaviour.family != family:
            yield Labelled("elsewhere", claim["hand"], claim["trigger"], claim["claim"], behaviour)
