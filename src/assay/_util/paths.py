"""Where Assay keeps what it makes on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from assay.errors import InvalidInput

# In a sweep's folder; who reads a folder in which sweeps were run has to know what is theirs.
LEDGER, LOGS, SUMMARY, PAGE = "ledger.sqlite", "logs", "summary.json", "report.html"
BEST_CONSTANT, EVIDENCE, DETAILS = "best-constant", "evidence.json", "report-audits"
EXAMINATION, EXAMINED_PAGE, REPRODUCTIONS = "examination.json", "examination.html", "reproductions.json"


def home() -> Path:
    """The folder of bases, caches, checkpoints and added suites: `ASSAY_HOME`, or the user's cache folder.

    Raises:
        InvalidInput: `ASSAY_HOME` names a file.
    """
    given = os.environ.get("ASSAY_HOME", "")
    return named_folder("ASSAY_HOME", given) if given else Path(platformdirs.user_cache_dir("assay", appauthor=False))


def named_folder(variable: str, given: str) -> Path:
    """The folder a variable names, which need not be there yet.

    Args:
        variable: its name, for the error.
        given: its value. A relative one is of the working folder now, wherever the process goes later.

    Raises:
        InvalidInput: it is something else than a folder.
    """
    path = Path(given).absolute()
    if path.exists() and not path.is_dir():
        raise InvalidInput(f"{variable} is {given!r}, which is a file. Give a folder, or unset it.")
    return path
