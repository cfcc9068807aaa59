"""The process that grades: `python -m assay.grading.worker`. The only kind that has answers and models together."""

from __future__ import annotations

from typing import Any

from assay._util.job_server import JobServer
from assay.engine.targets import Targets
from assay.grading.jobs import GradeJob, grade_job


def main() -> None:
    """Do the jobs that come, and send grades (event `grade`) and the best constant report (`constant`)."""
    server = JobServer()
    targets = Targets(lambda text: server.tell("say", text))

    async def grade(job: Any) -> None:
        await grade_job(GradeJob.model_validate(job), targets.open, server.tell)

    try:
        server.run(grade)
    finally:
        targets.close()


if __name__ == "__main__":
    main()
