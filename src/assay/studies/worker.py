"""Processes that hold an engine: `python -m assay.studies.worker audit` and `… grade`.

One job a line on standard input, as JSON; what becomes of it, line by line, on standard output. An audit process and a
grading process are never the same one: only the second may read truths.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
import warnings
from dataclasses import asdict
from typing import Any, TextIO

from assay.errors import AssayError


def main(kind: str) -> None:
    """Serve jobs of one kind until standard input ends."""
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    out, sys.stdout = sys.stdout, sys.stderr  # a library's print must not look like an answer
    warnings.simplefilter("ignore")

    def tell(event: str, data: Any) -> None:
        _write(out, {"event": event, "data": data})

    from assay.engine.targets import Targets

    targets = Targets(lambda text: tell("say", text))
    try:
        for line in sys.stdin:
            try:
                asyncio.run(_serve(kind, json.loads(line), targets, tell))
            except AssayError as error:
                tell("error", str(error))
            tell("done", None)
    finally:
        targets.close()


def _follow(parent: int) -> None:
    """End with the parent: a killed sweep must not leave a process that goes on computing."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


async def _serve(kind: str, job: dict[str, Any], targets: Any, tell: Any) -> None:
    if kind == "audit":
        from assay.audits.cell import Job
        from assay.audits.play import run_job

        await run_job(Job.model_validate(job), targets.open, lambda row: tell("audit", asdict(row)))
    else:
        from assay.grading.jobs import GradeJob, grade_job

        await grade_job(GradeJob.model_validate(job), targets.open, tell)


def _write(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message, default=str) + "\n")
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1])
