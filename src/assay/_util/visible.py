"""Makes the control characters of a text visible, so that what a model or a file says cannot steer a terminal."""

from __future__ import annotations

import re

# C0 but for tab and newline, DEL, C1 (U+009B begins a terminal's command as ESC [ does), and what changes the direction
# of writing: text that is shown in another order than it is read. A lone surrogate has no encoding at all.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """Writes each control character as Python and JSON escape it: `\\x1b`, `\\u202e`. Tabs and newlines stay."""
    return _UNSEEN.sub(_escaped, text.replace("\r\n", "\n"))


def visible_json(text: str) -> str:
    """Writes what JSON leaves as it is, and a terminal may obey, as JSON escapes it: the document stays the same."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
