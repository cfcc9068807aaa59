"""How long work tells of its progress."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str], None]
"""Takes one line about the progress; the command line writes it to stderr."""
