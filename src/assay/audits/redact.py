"""Takes keys and paths out of texts: what goes wrong is told in logs and rows, and to agents."""

from __future__ import annotations

import os
import re

from assay._util.environment import is_secret
from assay._util.visible import visible

_SHORTEST = 8  # characters; shorter values are words that stand elsewhere too
_PATH = re.compile(r"(?:/[\w.@~-]+)+/([\w.@-]+)")


def redacted(text: str) -> str:
    """Replaces the values of this process's keys by the names of their variables."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and is_secret(name) and value in text:
            text = text.replace(value, f"[{name}]")
    return text


def scrub(text: str) -> str:
    """Takes paths out of an error's text, as they can tell where weights come from; control characters are shown."""
    return visible(_PATH.sub(r"\1", redacted(text)))[:2_000]
