"""The process that grades: `python -m assay.grading.worker`. The only kind that has answers and models together.

It holds the key that grades are signed with, and draws the nonces that they are seeded by."""

from __future__ import annotations

from typing import Any

from assay._util.job_server import JobServer
from assay.engine.cache import grading_replies
from assay.engine.targets import EnginePool
from assay.grading.jobs import GradeJob, grade_job
from assay.grading.signing import Signer


def main() -> None:
    """Do the jobs that come, and send grades (event `grade`) and the best constant report (`constant`)."""
    server = JobServer()
    with EnginePool(lambda text: server.tell("say", text), grading_replies()) as engines:

        async def grade(data: Any) -> None:
            job = GradeJob.model_validate(data)
            targets = engines.chosen(job.engine)
            await grade_job(job, targets.open, targets.machine, server.tell, Signer.here())

        server.run(grade)


if __name__ == "__main__":
    main()
