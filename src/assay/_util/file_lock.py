"""Locks on files, which end with the process that holds them, however it ends."""

from __future__ import annotations

import os
from pathlib import Path

from assay.errors import NotWritten

try:
    import fcntl
except ImportError:  # Windows: there nothing is taken, and what a killed process leaves behind stays until it is old
    fcntl = None  # type: ignore[assignment]  # a module or nothing


def take_lock(path: Path) -> int | None:
    """Takes the lock on a file.

    Returns:
        The open file, which holds the lock until it is closed; None if another process holds it, if the file is gone,
        and where the system has no such locks.

    Raises:
        NotWritten: the file cannot be opened.
    """
    if fcntl is None:
        return None
    try:
        handle = os.open(path, os.O_RDWR)  # not inherited: no worker holds it on
    except FileNotFoundError:
        return None  # whoever held it has just done with it
    except OSError as error:
        raise NotWritten(path, error) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
