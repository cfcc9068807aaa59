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
from typing import Any

from assay._util.disk_faults import told
from assay.errors import AssayError


class JobServer:
    """Serves the jobs of the process that started this one. Make one, first of all, in a process of its own."""

    def __init__(self) -> None:
        self._out, sys.stdout = sys.stdout, sys.stderr  # a library's print must not look like an answer
        warnings.simplefilter("ignore")
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()

    def tell(self, event: str, data: Any) -> None:
        """Send an event; the process ends where nobody listens any more.

        Args:
            event: its name.
            data: what serialises to JSON.
        """
        try:
            self._out.write(json.dumps({"event": event, "data": data}, default=str) + "\n")
            self._out.flush()
        except BrokenPipeError:
            os._exit(1)  # at once: whatever is still computed would be lost

    def run(self, answer: Callable[[Any], Awaitable[None]]) -> None:
        """Serve jobs one after the other until standard input ends.

        Args:
            answer: does one job, given as plain data. An `AssayError` it raises, or a fault of the disk, is told as the
                event `error`, after which the next job is served; any other exception ends the process.
        """

        async def one(job: Any) -> None:
            try:
                await answer(job)
            except AssayError as error:
                self.tell("error", str(error))
            except OSError as error:
                if not told(error):
                    raise
                self.tell("error", told(error))

        for line in sys.stdin:
            asyncio.run(one(json.loads(line)))
            self.tell("done", None)


def _end_with(parent: int) -> None:
    """End with the parent: a killed sweep must not leave a process that goes on computing."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
