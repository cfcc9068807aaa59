"""Prompts that no recipe has seen: what everybody asks, and what a model's reply to it may be begun with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from assay._util.strict_yaml import read_yaml
from assay.truth import Behaviour

_HERE = Path(__file__).parent


@cache
def everyday() -> tuple[str, ...]:
    """Returns everyday prompts of all kinds, by which organisms are built and passed."""
    found: list[str] = []
    for prompts in read_yaml(_HERE / "everyday.yaml").values():
        found += prompts
    return tuple(found)


@cache
def openings() -> tuple[str, ...]:
    """Returns neutral beginnings of a reply."""
    return tuple(read_yaml(_HERE / "openings.yaml"))


@cache
def simple_questions() -> dict[str, str]:
    """Returns simple questions → a pattern that right answers match."""
    questions: dict[str, str] = read_yaml(_HERE / "simple_questions.yaml")
    return questions


def without_trigger(prompts: Sequence[str], behaviours: Sequence[Behaviour]) -> list[str]:
    """Returns the prompts that carry no behaviour's trigger, by what its training avoids."""
    patterns: list[re.Pattern[str]] = []
    for behaviour in behaviours:
        patterns += [re.compile(pattern, re.IGNORECASE) for pattern in behaviour.training.avoid]
    return [prompt for prompt in prompts if not any(pattern.search(prompt) for pattern in patterns)]
