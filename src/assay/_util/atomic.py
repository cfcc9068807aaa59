"""Files and folders that appear whole or not at all.

A reader, or a process killed in the middle of writing, finds what was there before or what was to come, never a part.
What is new is made beside its place, under a name of its own, and then renamed; after a failure nothing of it is left.
A process killed by the system can leave its scratch, which is hidden and ends in `.partial`. Against a power cut there
is no guarantee: nothing is flushed to the disk.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.errors import NotWritten

SCRATCH = ".partial"  # ends the name of whatever is not finished


def write_bytes(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file whole or not at all, making the folder it lies in.

    Args:
        path: where it goes; what is there is replaced.
        data: its content.
        mode: permissions, less the process's umask. A secret is never readable by others, not even for a moment.

    Raises:
        NotWritten: it cannot be written; names the path and the reason.
    """
    with new_file(path, mode=mode) as scratch:
        scratch.write_bytes(data)


def write_once(path: Path, data: bytes, *, mode: int = 0o666) -> bool:
    """Write a file whole or not at all, unless it is there; of several processes that try at once, one writes.

    Args:
        path: where it goes; what is there stays as it is.
        data: its content.
        mode: as in `write_bytes`.

    Returns:
        Whether this call wrote it.

    Raises:
        NotWritten: it cannot be written; names the path and the reason.
    """
    with _named_errors(path), _scratch(path, mode) as scratch:
        scratch.write_bytes(data)
        try:
            os.link(scratch, path)  # renaming would replace the file of whoever was first
        except FileExistsError:
            return False
        return True


def write_text(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write a text as UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode(), mode=mode)


def write_json(path: Path, value: Any, indent: int | None = 1, *, mode: int = 0o666) -> None:
    """Write a value as JSON with a newline at its end, as `write_bytes` does.

    Raises:
        NotWritten: it cannot be written.
        TypeError, ValueError: it has no JSON; NaN has none. The file is left as it was.
    """
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n", mode=mode)


@contextmanager
def new_file(path: Path, *, mode: int = 0o666) -> Iterator[Path]:
    """Yield an empty file to be written, which takes `path`'s place when the block ends well.

    Raises:
        NotWritten: an OSError, of the block's own or of the renaming.
    """
    with _named_errors(path), _scratch(path, mode) as scratch:
        yield scratch
        scratch.replace(path)


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """Yield an empty folder to be filled, which takes `place`'s place when the block ends well.

    Raises:
        NotWritten: an OSError, of the block's own or of the renaming.
    """
    with _named_errors(place):
        make_folder(place.parent)
        scratch = _beside(place)
        try:
            scratch.mkdir()
            yield scratch
            replace_folder(scratch, place)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def replace_folder(made: Path, place: Path) -> None:
    """Move a finished folder to its place; the one that was there is deleted, or stays if moving fails.

    Args:
        made: on the same file system as `place`.
        place: where it goes.

    Raises:
        NotWritten: it cannot be moved; names the place and the reason.
    """
    with _named_errors(place):
        make_folder(place.parent)
        if not place.exists():
            made.rename(place)
            return
        earlier = _beside(place)  # a folder cannot be renamed onto one that holds files
        place.rename(earlier)
        try:
            made.rename(place)
        except BaseException:
            earlier.rename(place)
            raise
        shutil.rmtree(earlier, ignore_errors=True)


def make_folder(path: Path, *, mode: int = 0o777) -> Path:
    """Make a folder, and those it lies in, unless it is there.

    Args:
        path: where it goes.
        mode: permissions of a new one, less the process's umask; those it lies in get the usual ones.

    Raises:
        NotWritten: it cannot be made; names it and the reason.
    """
    try:
        path.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        raise NotWritten(path, error, "made") from None
    return path


@contextmanager
def _scratch(path: Path, mode: int) -> Iterator[Path]:
    """Yield an empty file beside a place, which is gone after the block unless it was renamed."""
    make_folder(path.parent)
    scratch = _beside(path)
    try:
        os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A name nobody else uses, in the same folder: two processes never write into one scratch."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{SCRATCH}")


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotWritten(path, error) from None
