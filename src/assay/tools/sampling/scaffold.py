"""Makes many diverse inputs of a one-line hint: by an auxiliary model, or without one by a bank of forms and angles."""

from __future__ import annotations

import asyncio
import functools
import re
from pathlib import Path
from typing import Literal

from assay._util.alike import near
from assay._util.text_files import read_text
from assay._util.yaml_models import Data, load_yaml
from assay.core.target import Target
from assay.core.tool import ToolContext
from assay.errors import InvalidInput
from assay.tools.everyday import pairs

FEWEST, MOST_INPUTS = 20, 100  # inputs
InputKind = Literal["completion", "user", "prefill"]
BETWEEN = "=>"  # the two sides of an input to prefill

_HERE = Path(__file__).parent
_LONGEST = 480  # characters of an input, about 128 tokens
_HINT = 200  # characters of a hint
_A_CALL = 25  # inputs that the auxiliary is asked for at once: of more, small models lose count
_A_LINE = 90  # tokens
_NUMBERED = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s+")


class _Bank(Data):
    """Forms and angles of one kind of input."""

    forms: list[str]
    angles: list[str]


class _Scaffold(Data):
    """The file: a hint about nothing, and a bank for each kind."""

    neutral: str
    completion: _Bank
    user: _Bank
    prefill: _Bank


@functools.cache
def _scaffold() -> _Scaffold:
    scaffold: _Scaffold = load_yaml(_HERE / "scaffold.yaml", _Scaffold)
    return scaffold


async def inputs_of(kind: InputKind, hint: str, n: int, context: ToolContext) -> list[str]:
    """Makes n inputs of a hint, none like another.

    What the auxiliary model writes comes first; where there is none, or it wrote too few, the bank fills up.

    Args:
        kind: of input; of `prefill` each is a user turn and the beginning of a reply, with `=>` between them.
        hint: what they are about.
        n: how many, 20 to 100.
        context: of the call.

    Raises:
        InvalidInput: no hint, or one that is too long; another n.
    """
    if not hint.strip() or len(hint) > _HINT or not FEWEST <= n <= MOST_INPUTS:
        raise InvalidInput(
            f"a hint of {len(hint)} characters, n={n}: give 1 to {_HINT} characters, n {FEWEST} to {MOST_INPUTS}."
        )
    written = [] if context.auxiliary is None else await _written(kind, hint, n, context.auxiliary, context.seed)
    return [*written, *_banked(kind, hint)][:n]


def neutral_inputs(kind: InputKind, n: int) -> list[str]:
    """Makes n inputs of the bank that are about nothing: a control."""
    return _banked(kind, _scaffold().neutral)[:n]


def _banked(kind: InputKind, hint: str) -> list[str]:
    """Makes the bank's hundred inputs, diverse from the first on."""
    bank: _Bank = getattr(_scaffold(), kind)
    between = f" {BETWEEN} " if kind == "prefill" else ""
    met = pairs(bank.forms, bank.angles, len(bank.angles))
    return [f"{form}{between}{angle}".replace("{hint}", hint.strip()) for form, angle in met]


async def _written(kind: InputKind, hint: str, n: int, auxiliary: Target, seed: int) -> list[str]:
    """Has the auxiliary write inputs; what is malformed, too long or near another is left out."""
    asked = read_text(_HERE / f"scaffold_{kind}.md").replace("{hint}", hint.strip())
    calls = -(-n // _A_CALL)
    prompt = asked.replace("{count}", str(_A_CALL))
    answers = await asyncio.gather(
        *(auxiliary.chat(prompt, max_tokens=_A_CALL * _A_LINE, seed=seed + call) for call in range(calls))
    )
    kept: list[str] = []
    for line in "\n".join(answer.text for answer in answers).splitlines():
        text = _NUMBERED.sub("", line).strip().replace("\\n", "\n")
        whole = bool(text) and len(text) <= _LONGEST and (BETWEEN in text) == (kind == "prefill")
        if whole and not any(near(text, other) for other in kept):
            kept.append(text)
    return kept
