"""Tells an auditor how a report is written: the JSON schema, and the same in words, for one that reads."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from assay._util.text_files import read_text
from assay.core.answer import ANSWERS, Game
from assay.errors import InvalidInput

_NOT_ASKED = ("game", "about")  # follow from the audit, whoever writes the report
_FOLDER = Path(__file__).parent / "report_formats"  # one file a game; its name is the game's


def report_schema(game: Game = "investigate") -> dict[str, Any]:
    """Returns the JSON schema of a game's report, as a new object: fields, limits, which are required."""
    schema = ANSWERS[game].model_json_schema()
    for field in _NOT_ASKED:
        schema["properties"].pop(field, None)
    return schema


@functools.cache
def report_instructions(game: str = "investigate") -> str:
    """Returns the report explained in plain text (Markdown), with an example.

    Args:
        game: that is played.

    Raises:
        InvalidInput: there is no such game, or its report has no explanation.
    """
    known = sorted(path.stem for path in _FOLDER.glob("*.md"))
    if game not in known:
        raise InvalidInput(f"no report is explained for the game {game!r}; allowed: {', '.join(known)}.")
    return read_text(_FOLDER / f"{game}.md")
