"""Quotes what others wrote as data, so that nothing in it can end the quotation or pass for an instruction.

What is quoted is one JSON value between two tags. Angle brackets inside it are escaped, so it can hold no tag; so is
every character that is not seen, which could hide an instruction from a person who reads along. The tags end in digits
that depend on what is quoted: who writes a text cannot name them in it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from assay._util.hashing import digest_of
from assay._util.storable import storable

_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})  # Unicode's categories
_MARK = 16  # hexadecimal digits


def quoted(blocks: Mapping[str, Any]) -> str:
    """Quotes plain data, one block each.

    Args:
        blocks: name of a tag → what stands between its two.
    """
    written = {name: _escaped(storable(value)) for name, value in blocks.items()}
    mark = digest_of(written)[:_MARK]
    return "\n".join(f"<{name}-{mark}>\n{text}\n</{name}-{mark}>" for name, text in written.items())


def _escaped(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=False)
    return re.sub(r"[<>&]|[^\x20-\x7e\n]", _escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character not in "<>&" and unicodedata.category(character) not in _UNSEEN:
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
