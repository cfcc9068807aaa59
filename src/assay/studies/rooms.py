"""Gives each worker process a folder that tells nothing, and fetches what it leaves there.

A process that plays audits must not know where results go: grades of earlier audits lie there. So it works under
`ASSAY_HOME/rooms`, in a folder of a random name, and the desk moves its logs to the results. Which room is whose is
noted on the desk's side alone. The note is locked while its desk lives; whoever finds one without an owner, after a
kill, fetches what is in that room.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from assay._util.atomic import make_folder, new_file, write_text
from assay._util.file_lock import take_lock
from assay._util.paths import LOGS, home
from assay._util.visible import visible

_SAID = "said.log"
_NOTES = ".rooms"  # in a folder of logs
_OLD = 30 * 24 * 3_600.0  # seconds after which a room that no folder of results asks for is removed


class Room:
    """The working folder of one worker process.

    Args:
        path: the folder.
        log: where what the process said goes in the end; Inspect's logs go beside it.
    """

    def __init__(self, path: Path, log: Path) -> None:
        self.path, self._log = path, log
        self._note = log.parent / _NOTES / path.name
        self._lock: int | None = None

    @classmethod
    def open(cls, log: Path) -> Self:
        """Makes a fresh room, after what rooms without an owner hold for the same results was fetched.

        Raises:
            NotWritten: `ASSAY_HOME` or the folder of results cannot be written.
        """
        log = log.absolute()
        _fetch_left_over(log.parent)
        _remove_old()
        room = cls(home() / "rooms" / secrets.token_hex(8), log)
        make_folder(room.path / LOGS)
        room.path.chmod(0o700)
        # Inspect looks for such a file here and in all folders above, and takes over what it says. This one is mute.
        write_text(room.path / ".env", "")
        write_text(room._note, f"{room.path}\n{log.name}\n")
        room._lock = take_lock(room._note)
        return room

    @property
    def said(self) -> Path:
        """The file that takes the process's standard error, and whatever prints on standard output."""
        return self.path / _SAID

    def fetch_logs(self) -> None:
        """Moves the logs of evaluations that have ended to the results.

        Raises:
            NotWritten: they cannot be written there; they stay in the room.
        """
        for path in sorted((self.path / LOGS).glob("*.eval")):
            # A link would bring another file's content among the results.
            if path.is_file() and not path.is_symlink():
                _move(path, self._free(path.name))

    def close(self) -> None:
        """Fetches all that is left, and gives the room up. The process has ended.

        Raises:
            NotWritten: the results cannot be written; the room is kept, and fetched by the next run.
        """
        try:
            self.fetch_logs()
            if self.said.is_file() and not self.said.is_symlink():
                text = self.said.read_text(encoding="utf-8", errors="replace")
                write_text(self._log, visible(text))
            shutil.rmtree(self.path, ignore_errors=True)
            self._note.unlink(missing_ok=True)
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _free(self, name: str) -> Path:
        """Says where a log goes; none of an earlier run is written over."""
        place = self._log.parent / name
        return self._log.parent / f"{self.path.name}-{name}" if place.exists() else place


def _move(path: Path, place: Path) -> None:
    # Copied, since the two may lie on different file systems; whole or not at all, and only then gone from the room.
    with new_file(place) as scratch:
        shutil.copyfile(path, scratch)
    path.unlink()


def _fetch_left_over(logs: Path) -> None:
    """Fetches what the rooms of desks that were killed hold for a folder of logs."""
    for note in sorted((logs / _NOTES).glob("*")):
        lock = take_lock(note)
        if lock is None:
            continue  # its desk lives
        where, _, name = note.read_text(encoding="utf-8").partition("\n")
        room = Room(Path(where), logs / (name.strip() or _SAID))
        room._lock = lock
        room.close()


def _remove_old() -> None:
    """Removes rooms that nobody has asked for in a long time: the results they were for are gone."""
    for folder in (home() / "rooms").glob("*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _OLD:
                shutil.rmtree(folder, ignore_errors=True)
