"""How a person names an auditor: `explorer`, `investigator/plain`, `pooled:3:explorer`, `my_agents.py:my_agent`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from assay.errors import InvalidInput

MOST_POOLED = 50
_POOLED = re.compile(r"pooled:(?P<reports>[^:]*):(?P<name>.+)", re.DOTALL)
_IN_FILE = re.compile(r"(?P<pooled>(?:pooled:\d+:)*)(?P<file>.+\.py):(?P<name>[^:]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PooledName:
    """Names several audits by one auditor, whose reports become one.

    Attributes:
        reports: how many.
        name: of the auditor.
    """

    reports: int
    name: str


def pooled(name: str) -> PooledName | None:
    """Reads `pooled:REPORTS:AUDITOR`; None for an auditor that stands for itself.

    Raises:
        InvalidInput: a number of reports that cannot be pooled.
    """
    found = _POOLED.fullmatch(name)
    if found is None:
        return None
    text = found["reports"]
    reports = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
    if not 2 <= reports <= MOST_POOLED or found["name"].startswith("pooled:"):
        raise InvalidInput(
            f"auditor {name!r}: write pooled:REPORTS:AUDITOR with 2 to {MOST_POOLED} reports of one that pools none "
            f"(pooled:3:explorer)."
        )
    return PooledName(reports, found["name"])


def named_auditor(text: str) -> tuple[Path | None, str]:
    """Splits `FILE.py:NAME` into the plug-in file and the name; None where there is no file."""
    found = _IN_FILE.fullmatch(text)
    return (Path(found["file"]), found["pooled"] + found["name"]) if found else (None, text)
