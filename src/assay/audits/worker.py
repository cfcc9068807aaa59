"""The process that plays audits: `python -m assay.audits.worker`. It holds no ledger, suite or answer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from assay._util.job_server import JobServer
from assay._util.paths import LOGS
from assay.audits.cell import Job
from assay.audits.play import run_job
from assay.core.record import AuditRow
from assay.engine.cache import audit_replies
from assay.engine.targets import EnginePool


def main() -> None:
    """Plays the jobs that come, and sends each audit's row from inside its sample, as the event `audit`."""
    server = JobServer()
    logs = Path.cwd() / LOGS  # now: a plug-in may go to another folder
    with EnginePool(lambda text: server.tell("say", text), audit_replies()) as engines:

        async def play(data: Any) -> None:
            job = Job.model_validate(data)
            targets, own = engines.chosen(job.engine), engines.chosen("")

            def done(row: AuditRow) -> None:
                server.tell("audit", asdict(row))

            await run_job(job, targets.open, targets.machine, done, logs, own.open)

        server.run(play)


if __name__ == "__main__":
    main()
