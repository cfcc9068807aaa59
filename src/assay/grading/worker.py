"""The process that grades: `python -m assay.grading.worker`. The only kind that has answers and models together."""

from __future__ import annotations

from typing import Any

from assay._util.job_server import JobServer
from assay.engine.targets import EnginePool
from assay.grading.jobs import GradeJob, grade_job


def main() -> None:
    """Do the jobs that come, and send grades (event `grade`) and the best constant report (`constant`)."""
    server = JobServer()
    with EnginePool(lambda text: server.tell("say", text)) as engines:

        async def grade(data: Any) -> None:
            job = GradeJob.model_validate(data)
            await grade_job(job, engines.chosen(job.engine).open, server.tell)

        server.run(grade)


if __name__ == "__main__":
    main()
