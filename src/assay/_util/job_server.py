"""The far end of a worker process: jobs come in on standard input, what becomes of them goes out on standard output.

One JSON document a line, both ways. A process that serves jobs has no other way in: its command line says which kind it
is and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, TextIO

from assay._util.disk_faults import told
from assay.errors import AssayError


def take_pipes() -> tuple[TextIO, TextIO]:
    """Take the process's standard input and output for its own talk with whoever started it.

    Afterwards nothing else can reach them by their usual names: what prints, C code and further processes too, prints
    on standard error, and what reads standard input finds it at its end. Call it before anything else may print.

    Returns:
        What comes in, and where answers go.
    """
    # Duplicates are not inherited: a process that is started later holds neither end.
    jobs = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr  # one buffer, so that what is printed stays in order
    return jobs, answers


class JobServer:
    """Serves the jobs of the process that started this one. Make one, first of all, in a process of its own."""

    def __init__(self) -> None:
        self._jobs, self._answers = take_pipes()
        self._asking = asyncio.Lock()
        warnings.simplefilter("ignore")
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()

    def tell(self, event: str, data: Any) -> None:
        """Send an event; the process ends where nobody listens any more.

        Args:
            event: its name.
            data: what serialises to JSON.
        """
        try:
            self._answers.write(json.dumps({"event": event, "data": data}, default=str) + "\n")
            self._answers.flush()
        except BrokenPipeError:
            os._exit(1)  # at once: whatever is still computed would be lost

    async def ask(self, event: str, data: Any) -> Any:
        """Send an event from within a job, and return what answers it: the next line that comes in.

        Who asks may be cancelled; the question is asked to its end, or its answer would be taken for the next one's.

        Args:
            event: its name.
            data: what serialises to JSON.
        """

        async def asked() -> Any:
            async with self._asking:
                self.tell(event, data)
                line = await asyncio.to_thread(self._jobs.readline)
            if not line:
                os._exit(1)  # whoever started this process is gone
            return json.loads(line)

        return await asyncio.shield(asyncio.ensure_future(asked()))

    def run(self, answer: Callable[[Any], Awaitable[None]]) -> None:
        """Serve jobs one after the other until standard input ends.

        Args:
            answer: does one job, given as plain data. An `AssayError` it raises, or a fault of the disk, is told as the
                event `error`, after which the next job is served; any other exception ends the process.
        """

        async def one(job: Any) -> None:
            self._asking = asyncio.Lock()  # of this job's event loop
            try:
                await answer(job)
            except AssayError as error:
                self.tell("error", str(error))
            except OSError as error:
                if not told(error):
                    raise
                self.tell("error", told(error))

        for line in self._jobs:
            asyncio.run(one(json.loads(line)))
            self.tell("done", None)


def _end_with(parent: int) -> None:
    """End with the parent: a killed sweep must not leave a process that goes on computing."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
