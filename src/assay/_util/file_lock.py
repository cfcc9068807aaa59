"""Locks on files, which end with the process that holds them, however it ends."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from assay.errors import NotWritten

try:
    import fcntl
except ImportError:  # Windows: there nothing is taken, and what a killed process leaves behind stays until it is old
    fcntl = None  # type: ignore[assignment]  # a module or nothing

_FIRST_LOOK, _LAST_LOOK = 0.05, 1.0  # seconds between two tries for a lock, which grow
_WITHOUT = -1  # no file's number


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
    pause = _FIRST_LOOK
    while (handle := _tried(path)) is None:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LAST_LOOK)
    try:
        yield
    finally:
        _let_go(path, handle)


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Does as `held`, where nothing else of the process has to go on meanwhile."""
    pause = _FIRST_LOOK
    while (handle := _tried(path)) is None:
        time.sleep(pause)
        pause = min(2 * pause, _LAST_LOOK)
    try:
        yield
    finally:
        _let_go(path, handle)


def _tried(path: Path) -> int | None:
    """Tries for a lock: the open file, None if another process has it, and `_WITHOUT` if none can be had."""
    if fcntl is None:
        return _WITHOUT
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        handle = take_lock(path)
    except (OSError, NotWritten):
        return _WITHOUT
    if handle is not None and not _is(path, handle):
        os.close(handle)  # who had it before has just removed the file, and another may have made it anew
        return None
    return handle


def _let_go(path: Path, handle: int) -> None:
    if handle != _WITHOUT:
        path.unlink(missing_ok=True)
        os.close(handle)


def _is(path: Path, handle: int) -> bool:
    """Tells whether an open file is the one that lies at a place."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False
