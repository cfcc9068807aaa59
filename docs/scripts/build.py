"""Builds the documentation into site/: pages of the API, then every page, refusing whatever anyone warns about.

Zensical's strict mode fails on dead links and on pages it cannot render. Griffe, which reads docstrings for it, only
prints: that a docstring names a parameter there is none of, for one. Here that fails, too.

Usage: python docs/scripts/build.py
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import api_pages

ROOT = Path(__file__).resolve().parents[2]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # Zensical colours each letter of what it quotes


def build() -> list[str]:
    """Build the site and return what was complained about; empty if all is well."""
    api_pages.write(api_pages.public_modules())
    words = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    output = COLOUR.sub("", done.stdout + done.stderr).splitlines()
    if done.returncode:
        return output
    return [line for line in output if line.startswith("griffe: ")]


if __name__ == "__main__":
    complaints = build()
    print("\n".join(complaints) or f"{ROOT / 'site' / 'index.html'}")
    sys.exit(1 if complaints else 0)
