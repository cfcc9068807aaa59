"""The parent's end of a worker process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from assay.errors import AssayError

_TAIL = 1_500  # characters of a dead worker's log that are shown


class WorkerProcess:
    """A process that serves jobs, started when the first one comes.

    Args:
        kind: of the jobs.
        log: file for what the process says on standard error.
    """

    def __init__(self, kind: Literal["audit", "grade"], log: Path) -> None:
        self._kind, self._log = kind, log
        self._process: subprocess.Popen[str] | None = None

    def run(self, job: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Hand over a job and yield what becomes of it: pairs of event and data.

        Args:
            job: plain data.

        Raises:
            AssayError: the job could not be done, or the process died; with the end of its log.
        """
        process = self._process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None
        for line in process.stdout:
            message = json.loads(line)
            if message["event"] == "done":
                return
            if message["event"] == "error":
                raise AssayError(message["data"])
            yield message["event"], message["data"]
        raise self._death()

    def _start(self) -> subprocess.Popen[str]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("w", encoding="utf-8") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "assay.studies.worker", self._kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which then stops its workers
            )

    def _death(self) -> AssayError:
        assert self._process is not None
        status = self._process.wait()
        tail = self._log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()
        return AssayError(f"the {self._kind} process ended with status {status}. The end of {self._log}:\n{tail}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process; at once if something went wrong, else when it has nothing more to do."""
        process = self._process
        if process is None:
            return
        if error is not None:
            process.terminate()
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
