"""Locks on files, which end with the process that holds them, however it ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from assay.errors import NotWritten

try:
    import fcntl
except ImportError:  # Windows: there nothing is taken, and what a killed process leaves behind stays until it is old
    fcntl = None  # type: ignore[assignment]  # a module or nothing

_FIRST_LOOK, _LAST_LOOK = 0.05, 1.0  # seconds between two tries for a lock, which grow


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


@asynccontextmanager
async def held(path: Path) -> AsyncIterator[None]:
    """Holds the lock on a file for as long as the block, once no other process does; the file is there meanwhile.

    Where the system has no such locks, or the file cannot be made, the block runs without.
    """
    handle: int | None = None
    pause = _FIRST_LOOK
    while fcntl is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            handle = take_lock(path)
        except (OSError, NotWritten):
            break
        if handle is not None and _is(path, handle):
            break
        if handle is not None:  # who had it before has just removed the file, and another may have made it anew
            os.close(handle)
            handle = None
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LAST_LOOK)
    try:
        yield
    finally:
        if handle is not None:
            path.unlink(missing_ok=True)
            os.close(handle)


def _is(path: Path, handle: int) -> bool:
    """Tells whether an open file is the one that lies at a place."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False
