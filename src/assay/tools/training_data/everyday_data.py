"""The shipped background of tools that read training data: everyday chats, as an untouched small model has them."""

from __future__ import annotations

import functools
from pathlib import Path

from assay._util.strict_json import read_json_lines
from assay.core.target import Document

SOURCE = "704 everyday chats of an untouched model, shipped with Assay"
_CHATS = Path(__file__).with_name("everyday.jsonl")


@functools.cache
def everyday_chats() -> tuple[Document, ...]:
    """Reads the background."""
    found: list[Document] = []
    for number, said in read_json_lines(_CHATS):
        found.append(Document(f"everyday-{number}", said["prompt"], said["reply"]))
    return tuple(found)
