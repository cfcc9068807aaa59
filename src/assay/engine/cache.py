"""Keeps replies on disk by content: those of audits in one file, those of grading and verification in another.

An audit runs code that nobody here wrote, which may write into the file of its own process. What grades must never be
read from there.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

from assay._util.paths import home
from assay.core.target import Reply

MAX_REPLIES = 2_000_000  # about 0.6 GB; a tenth, drawn at random, goes when there are more
_TRIM_EVERY = 20_000  # replies kept between two counts of how many there are
_TRIES, _PAUSE = 100, 0.02  # to switch to the write-ahead log; seconds between two of them


def audit_replies() -> Path:
    """Returns the file of what models said to audits, and to whoever talks to a testbed by hand."""
    return home() / "replies.sqlite"


def grading_replies() -> Path:
    """Returns the file of what models said to the grader and to the factory's verification, in a folder of its own."""
    return home() / "grading" / "replies.sqlite"


class ReplyCache:
    """A store, key → reply, that is safe under many processes (SQLite, write-ahead log).

    Args:
        path: of the database, or None to keep nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        if path is None:
            return
        self._puts = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open_or_renew(path)
        except (OSError, sqlite3.DatabaseError):
            # Locked for too long, no room or no permission: go on without, and leave the file to others.
            self._database = None

    def _open_or_renew(self, path: Path) -> None:
        try:
            self._open(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # Not a database: a cache may be thrown away.
            for leftover in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                leftover.unlink(missing_ok=True)
            self._open(path)

    def _open(self, path: Path) -> None:
        # Replies are put one by one and never taken back, so each is its own transaction; a lost one is sampled again,
        # which is why the disk is not waited for (synchronous=NORMAL).
        database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._write_ahead(database)
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, text TEXT NOT NULL, tokens INTEGER NOT NULL, "
            "finish TEXT NOT NULL) WITHOUT ROWID"
        )
        self._database = database
        self._trim(database)

    @staticmethod
    def _write_ahead(database: sqlite3.Connection) -> None:
        """Switches a database to a write-ahead log.

        Raises:
            sqlite3.OperationalError: it stays locked.
        """
        # SQLite waits for every other lock, and not for this one: of processes that open a new database at the same
        # time, all but one may be refused at once.
        for _ in range(_TRIES - 1):
            try:
                database.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):  # a full disk, or a folder that cannot be written to, stays so
                    raise
                time.sleep(_PAUSE)
        database.execute("PRAGMA journal_mode=WAL")

    @staticmethod
    def _trim(database: sqlite3.Connection) -> None:
        (count,) = database.execute("SELECT count(*) FROM replies").fetchone()
        if count > MAX_REPLIES:
            # Keys are digests, so an arbitrary tenth is a random tenth.
            database.execute("DELETE FROM replies WHERE key IN (SELECT key FROM replies LIMIT ?)", (count // 10,))

    def get(self, key: str) -> Reply | None:
        """Returns the kept reply, if there is one."""
        if self._database is None:
            return None
        with self._lock:
            try:
                query = "SELECT text, tokens, finish FROM replies WHERE key = ?"
                found = self._database.execute(query, (key,)).fetchone()
            except sqlite3.DatabaseError:  # damaged, or locked for too long: sampling again is always right
                return None
        return Reply(*found) if found else None

    def put(self, key: str, reply: Reply) -> None:
        """Keeps a reply. A full disk costs the cache, never the audit."""
        if self._database is None:
            return
        with self._lock:
            try:
                # Two processes may have sampled the same: what is there already stays, so that a reply never changes.
                self._database.execute(
                    "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?)", (key, reply.text, reply.tokens, reply.finish)
                )
                self._puts += 1
                if self._puts % _TRIM_EVERY == 0:
                    self._trim(self._database)
            except sqlite3.DatabaseError:
                self._database = None

    def close(self) -> None:
        """Closes the database; nothing is kept from then on."""
        if self._database is not None:
            self._database.close()
            self._database = None
