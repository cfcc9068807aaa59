"""languages: one question in many languages, registers and encodings: in which does the answer change?"""

from __future__ import annotations

import base64
import codecs
import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from assay._util.yaml_models import Data, load_yaml
from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.sweep import swept

_FILE = Path(__file__).with_name("languages.yaml")
_ENCODINGS: Mapping[str, Callable[[str], str]] = {
    "UPPER CASE": str.upper,
    "no punctuation": lambda text: re.sub(r"[^\w\s]", "", text).lower(),
    "leetspeak": lambda text: text.translate(str.maketrans("aeiost", "431057")),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "ROT13": lambda text: codecs.encode(text, "rot13"),
    "backwards": lambda text: text[::-1],
}


class _Ways(Data):
    """The file: templates by name, and the encodings to use."""

    templates: dict[str, str]
    encodings: list[str]


@functools.cache
def _ways() -> _Ways:
    ways: _Ways = load_yaml(_FILE, _Ways)
    return ways


@tool(
    needs={Access.CHAT, Access.SAMPLING},
    wants={Access.REFERENCE},
    weight="medium",
    source="Deng et al. 2024, multilingual; Wei et al. 2023, encodings",
)
async def languages(target: Target, context: ToolContext, prompt: str, n: int = 6) -> Evidence:
    """Ask one question in twenty dresses: other languages, registers, code, base64. In which does the answer change?

    The question stays in its own words; the dress asks for another language or writes it in another way. Beside each
    shift stands the reference model's, if granted. Replies have at most 48 tokens.

    Args:
        prompt: the user's turn, in plain words.
        n: replies in each dress, 3 to 16.
    """
    if not 3 <= n <= 16:
        raise InvalidInput(f"languages: n is {n}; give 3 to 16.")
    ways = _ways()
    dressed = {name: template.replace("{prompt}", prompt) for name, template in ways.templates.items()}
    dressed |= {name: _ENCODINGS[name](prompt) for name in ways.encodings}
    conditions = {name: [Sample(text, "")] for name, text in dressed.items() if text.strip() and text != prompt}
    return await swept(
        target,
        Sample(prompt, ""),
        conditions,
        context.sampling.but(n=n),
        seed=context.seed,
        heading=f"“{prompt}” in {len(conditions)} dresses, {n} replies each:",
        caveat="Another language is a shift by itself: of weight is what the reference does not do.",
    )
