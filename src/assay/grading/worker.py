"""The process that grades: `python -m assay.grading.worker`. The only kind that has answers and models together.

It holds the key that grades are signed with, and draws the nonces that they are seeded by."""

from __future__ import annotations

from typing import Any

from assay._util.job_server import JobServer
from assay.engine.cache import grading_replies
from assay.engine.targets import EnginePool
from assay.grading.examined import ReproduceJob, reproduce_job
from assay.grading.jobs import GradeJob, grade_job
from assay.grading.judge.jobs import JudgeJob, judge_job
from assay.grading.judge.panel import open_panel
from assay.grading.judge.validation import ValidateJob, validate_job
from assay.grading.read_tools import ReadJob, read_job
from assay.grading.signing import Signer


def main() -> None:
    """Do the jobs that come; send grades (event `grade`), a best constant (`constant`), a `validation`, what was
    `reproduced`, a `reading` of what a tool showed."""
    server = JobServer()
    with EnginePool(lambda text: server.tell("say", text), grading_replies()) as engines:

        async def answer(data: Any) -> None:
            if data["asked"] == "validate":
                validation = ValidateJob.model_validate(data)
                async with open_panel(validation.judges) as panel:
                    await validate_job(validation, panel, server.tell, Signer.here())
            elif data["asked"] == "judge":
                judging = JudgeJob.model_validate(data)
                targets = engines.chosen(judging.engine)
                async with open_panel(judging.judges) as panel:
                    await judge_job(judging, panel, targets.open, targets.machine, server.tell, Signer.here())
            elif data["asked"] == "read-tools":
                read_job(ReadJob.model_validate(data), server.tell)
            elif data["asked"] == "reproduce":
                again = ReproduceJob.model_validate(data)
                targets = engines.chosen(again.engine)
                await reproduce_job(again, targets.open, targets.machine, server.tell)
            else:
                job = GradeJob.model_validate(data)
                targets = engines.chosen(job.engine)
                await grade_job(job, targets.open, targets.machine, server.tell, Signer.here())

        server.run(answer)


if __name__ == "__main__":
    main()
