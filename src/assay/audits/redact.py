"""Takes keys out of texts: what a provider says of a key it refuses ends in logs and rows."""

from __future__ import annotations

import os

from assay._util.environment import is_secret

_SHORTEST = 8  # characters; shorter values are words that stand elsewhere too


def redacted(text: str) -> str:
    """Replaces the values of this process's keys by the names of their variables."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and is_secret(name) and value in text:
            text = text.replace(value, f"[{name}]")
    return text
