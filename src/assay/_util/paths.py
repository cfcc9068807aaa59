"""Where Assay keeps what it makes on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """The folder of bases, caches, checkpoints and added suites: `ASSAY_HOME`, or the user's cache folder."""
    return Path(os.environ.get("ASSAY_HOME") or platformdirs.user_cache_dir("assay", appauthor=False))
