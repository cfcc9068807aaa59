"""Where Assay keeps what it makes on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

# In a sweep's folder; who reads a folder in which sweeps were run has to know what is theirs.
LEDGER, LOGS, SUMMARY, PAGE, BEST_CONSTANT = "ledger.sqlite", "logs", "summary.json", "report.html", "best-constant"


def home() -> Path:
    """The folder of bases, caches, checkpoints and added suites: `ASSAY_HOME`, or the user's cache folder."""
    return Path(os.environ.get("ASSAY_HOME") or platformdirs.user_cache_dir("assay", appauthor=False))
