"""Keeps what agents do in the audits they are served: one file an audit, of lines that are only added to.

A line is on the disk before the agent hears what it says, so that nothing an agent was told is lost, however a process
ends. The file is locked while a desk hands out its audit; a lock ends with the process that holds it. When the audit
has ended, its file is the transcript.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any, Self

from assay._util.atomic import make_folder
from assay._util.file_lock import take_lock
from assay.audits.serve.messages import AgentCard, Entry
from assay.errors import InvalidInput, NotWritten

_FOLDER = "served"  # in a sweep's folder


class Journal:
    """One audit's calls, held by this process. Take one with `Journal.take`.

    Args:
        path: of the file.
        lock: the open file that holds its lock.

    Attributes:
        agent: who plays, None in a new one.
        name: under which the client knows the target now, "" in a new one.
        entries: the calls.
        ended: the audit has a report.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self._lock = path, lock
        self.agent: AgentCard | None = None
        self.name = ""
        self.entries: list[Entry] = []
        self.ended = False
        try:
            for line in _whole_lines(lock):
                self._apply(line)
        except ValueError:
            self.close()
            raise InvalidInput(
                f"{path} cannot be read: it was written by an earlier Assay, or is damaged. Move it away."
            ) from None

    @classmethod
    def take(cls, out: Path, run_key: str) -> Self | None:
        """Takes the journal of an audit, making it if it is not there; None if another process has it.

        Raises:
            NotWritten: it cannot be made or read.
        """
        path = make_folder(out / _FOLDER) / f"{run_key}.jsonl"
        try:
            path.touch()
        except OSError as error:
            raise NotWritten(path, error) from None
        lock = take_lock(path)
        return None if lock is None else cls(path, lock)

    @classmethod
    def there(cls, out: Path, run_key: str) -> bool:
        """Tells whether an audit was begun."""
        path = out / _FOLDER / f"{run_key}.jsonl"
        return path.is_file() and path.stat().st_size > 0

    @classmethod
    def find(cls, out: Path, name: str) -> Self | None:
        """Takes the journal of the audit that a client knows by a name; None if there is none, or it is held."""
        for path in sorted((out / _FOLDER).glob("*.jsonl")):
            # Looked at without its lock first: those that others hold are none of ours.
            if json.dumps(name).encode() in path.read_bytes() and (lock := take_lock(path)) is not None:
                found = cls(path, lock)
                if found.name == name:
                    return found
                found.close()
        return None

    @classmethod
    def entries_of(cls, out: Path, run_key: str) -> list[Entry] | None:
        """Reads the calls of an audit, whoever has its journal; None where there is none that can be read."""
        try:
            lines = _lines((out / _FOLDER / f"{run_key}.jsonl").read_bytes())
            return [Entry.model_validate(line["entry"]) for line in lines if "entry" in line]
        except (OSError, ValueError):  # it is gone, or was written by an earlier Assay
            return None

    @property
    def run_key(self) -> str:
        """Returns the audit's."""
        return self.path.stem

    def offer(self, agent: AgentCard) -> str:
        """Notes that the audit is handed out, and returns the name that its target has from now on."""
        self._write({"name": f"T-{secrets.token_hex(5)}", "agent": agent.model_dump()})
        return self.name

    def add(self, entry: Entry) -> None:
        """Adds a call."""
        self._write({"entry": entry.model_dump(mode="json")})

    def end(self) -> None:
        """Notes that the audit has its report, and lets go of it."""
        self._write({"ended": True})
        self.close()

    def close(self) -> None:
        """Lets go of the audit, which may then be taken up again."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _apply(self, line: dict[str, Any]) -> None:
        if "name" in line:
            self.name, self.agent = line["name"], AgentCard.model_validate(line["agent"])
        elif "entry" in line:
            self.entries.append(Entry.model_validate(line["entry"]))
        self.ended = self.ended or "ended" in line

    def _write(self, line: dict[str, Any]) -> None:
        """Adds a line and waits until it is on the disk; one that was not written whole is taken back.

        Raises:
            NotWritten: there is no room.
        """
        data = json.dumps(line).encode() + b"\n"
        end = os.lseek(self._lock, 0, os.SEEK_END)
        try:
            if os.write(self._lock, data) != len(data):
                raise OSError("the disk is full")
            os.fsync(self._lock)
        except OSError as error:
            os.ftruncate(self._lock, end)
            raise NotWritten(self.path, error) from None
        self._apply(line)


def _whole_lines(handle: int) -> list[dict[str, Any]]:
    """Reads the lines of a journal; one that a kill cut short is taken away."""
    size = os.lseek(handle, 0, os.SEEK_END)
    content = os.pread(handle, size, 0)
    whole = content.rfind(b"\n") + 1
    if whole < size:
        os.ftruncate(handle, whole)
    return _lines(content)


def _lines(content: bytes) -> list[dict[str, Any]]:
    """Reads the lines that were written whole."""
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]
