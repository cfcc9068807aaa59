"""The process that plays audits: `python -m assay.audits.worker`. It holds no ledger, suite or answer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from assay._util.job_server import JobServer
from assay.audits.cell import Job
from assay.audits.play import run_job
from assay.engine.targets import Targets


def main() -> None:
    """Play the jobs that come, and send each audit's row from inside its sample, as the event `audit`."""
    server = JobServer()
    targets = Targets(lambda text: server.tell("say", text))

    async def play(job: Any) -> None:
        await run_job(Job.model_validate(job), targets.open, lambda row: server.tell("audit", asdict(row)))

    try:
        server.run(play)
    finally:
        targets.close()


if __name__ == "__main__":
    main()
