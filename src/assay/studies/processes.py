"""Runs the processes that audit and grade: jobs go in by a pipe, rows come back by a pipe."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from assay._util.environment import environment_of_worker
from assay._util.progress import Say
from assay._util.yaml_models import Data
from assay.audits.cell import Job
from assay.core.record import AuditRow, GradeRow, audit_row
from assay.errors import AssayError
from assay.grading.constant import SignedConstant, read_constant
from assay.grading.examined import Claimed, ReproduceJob, Reproduction
from assay.grading.jobs import GradeJob, Submitted
from assay.grading.judge.jobs import JudgeJob
from assay.grading.judge.validation import ValidateJob, Validation
from assay.grading.read_tools import Reading, ReadJob
from assay.studies.rooms import Room

_TAIL = 1_500  # characters of a dead process's log that are shown


class WorkerProcess:
    """Keeps a process that serves jobs: starts it when the first one comes, and ends it with the block.

    It is told what jobs say, and nothing else: its environment is of listed variables, it works in a room of its own,
    and what it says and logs there is moved to the results by the desk.

    Args:
        log: file for what the process says on standard error; Inspect's logs go beside it.
        say: told of long steps.
    """

    kind: ClassVar[str]
    command: ClassVar[tuple[str, ...]]
    variables: ClassVar[tuple[str, ...]] = ()  # of Assay's own that this kind needs, besides those of the engines
    asks: Collection[str] | None = None  # models behind APIs, whose providers' keys it gets; None for all there are

    def __init__(self, log: Path, say: Say) -> None:
        self._log, self._say = log, say
        self._process: subprocess.Popen[str] | None = None
        self._handed: tuple[int, ...] = ()  # further open files that the process inherits
        self._room: Room | None = None

    def run(self, job: Data) -> Iterator[Any]:
        """Hands over a job and yields the data of each event that comes of it.

        Raises:
            AssayError: the job could not be done, or the process died; with the end of its log.
        """
        process = self._process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(job.model_dump_json() + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None
        # Rows are yielded as they come and taken in between: while one is written to the ledger, the worker goes on.
        for line in process.stdout:
            if not line.endswith("\n"):
                break  # killed in the middle of a line
            message = json.loads(line)
            if message["event"] in ("done", "error"):
                self._opened().fetch_logs()
            if message["event"] == "done":
                return
            if message["event"] == "error":
                raise AssayError(message["data"])
            if message["event"] == "say":
                self._say(message["data"])
            else:
                yield message["data"]
        raise self._death()

    def _start(self) -> subprocess.Popen[str]:
        room = self._opened()
        # What it says goes into a file: nobody reads a second pipe while rows are awaited, and a full one stops it.
        with room.said.open("w", encoding="utf-8") as said:
            return subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                encoding="utf-8",
                cwd=room.path,
                env=environment_of_worker(self.variables, self.asks),
                pass_fds=self._handed,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which then stops its workers
            )

    def _opened(self) -> Room:
        """Returns the process's room, made when it is first needed."""
        self._room = self._room or Room.open(self._log)
        return self._room

    def _death(self) -> AssayError:
        assert self._process is not None
        # Its output has ended, so it is ending too; only now is its status known and its log complete.
        status = self._process.wait()
        tail = self._opened().said.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()
        return AssayError(f"the {self.kind} process ended with status {status}. The end of {self._log}:\n{tail}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the process; at once if something went wrong, else when it has nothing more to do."""
        try:
            if self._process is not None:
                self._end(self._process, at_once=error is not None)
        finally:
            if self._room is not None:
                self._room.close()

    def _end(self, process: subprocess.Popen[str], at_once: bool) -> None:
        if at_once:
            process.terminate()
        # The end of its input is what a worker ends at. It comes before waiting, or both would wait for ever.
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def worker_command(module: str) -> tuple[str, ...]:
    """Says how a worker is started; with `-P` neither its working folder nor a script's is among its modules."""
    return (sys.executable, "-P", "-m", module)


class AuditProcess(WorkerProcess):
    """Plays audits, and cannot know an answer. A sweep with plug-ins starts one for each kit.

    Args:
        log: file for what the process says on standard error.
        say: told of long steps.
        asks: names of the models behind APIs that it asks; it gets the keys of their providers and no others.
    """

    kind = "audit"
    command = worker_command("assay.audits.worker")

    def __init__(self, log: Path, say: Say, asks: Collection[str] = ()) -> None:
        super().__init__(log, say)
        self.asks = asks

    def play(self, job: Job) -> Iterator[AuditRow]:
        """Plays a job's cells; yields each one's row when it ends.

        What a row is of follows from the job, and not from the process that sends it.

        Raises:
            AssayError: as `run`, or a row that was not asked for.
        """
        waiting = {cell.run_key: cell for cell in job.cells}
        try:
            for data in self.run(job) if job.cells else ():
                row = audit_row(data)
                cell = waiting.pop(row.run_key)
                yield replace(row, plan=job.plan, alias=cell.alias, kit=cell.kit, seed=cell.seed, plugins=job.trusted)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise AssayError(
                f"the {self.kind} process of {job.cells[0].kit} sent what is no row of an audit it was given. "
                f"A plug-in may have spoken in its place."
            ) from None


class GradingProcess(WorkerProcess):
    """Grades reports; it knows answers and models.

    Args:
        log: file for what the process says on standard error.
        say: told of long steps.
        engine: words that choose the engine of targets and controls, "" to let each one's base choose.

    Attributes:
        failed: run key → why the report of that audit could not be graded, when it was last handed over.
    """

    kind = "grading"
    command = worker_command("assay.grading.worker")
    variables = ("ASSAY_KEYS", "ASSAY_SUITES")  # where answers are

    def __init__(self, log: Path, say: Say, engine: str = "") -> None:
        super().__init__(log, say)
        self._engine = engine
        self.failed: dict[str, str] = {}

    def grade(self, reports: Sequence[Submitted]) -> Iterator[tuple[GradeRow, ...]]:
        """Grades reports; yields each one's rows, the tier `hit` first, when it is graded. Raises as `run`.

        One that cannot be graded is among `failed` then, and the others are graded all the same.
        """
        if reports:
            yield from self._graded(GradeJob(asked="grades", reports=list(reports), engine=self._engine))

    def judge(self, reports: Sequence[Submitted], judges: Sequence[str]) -> Iterator[tuple[GradeRow, ...]]:
        """Has a panel of judges grade reports; yields as `grade` does, of each the one row of the tier `judge`.

        Args:
            reports: of testbeds whose truth is known, a text alone among them.
            judges: names of the panel's models.
        """
        if reports:
            yield from self._graded(JudgeJob(reports=list(reports), judges=list(judges), engine=self._engine))

    def validate(self, job: ValidateJob) -> Validation:
        """Has a panel of judges read labelled claims, and the record of it signed. Raises as `run`."""
        [data] = self.run(job)
        return Validation.model_validate(data)

    def reproduce(self, alias: str, findings: Sequence[Claimed]) -> Iterator[Reproduction]:
        """Runs findings again on a testbed whose truth is not read; yields each as it comes. Raises as `run`.

        Of one that failed the verdict is `not tried`, with the reason and no nonce.

        Args:
            alias: of the testbed.
            findings: to run.
        """
        job = ReproduceJob(alias=alias, findings=list(findings), engine=self._engine)
        for data in self.run(job) if findings else ():
            if "verdict" in data:
                yield Reproduction.model_validate(data)
            else:
                yield Reproduction(verdict="not tried", **data)

    def _graded(self, job: GradeJob | JudgeJob) -> Iterator[tuple[GradeRow, ...]]:
        """Hands over a job and yields each report's rows."""
        for data in self.run(job):
            if isinstance(data, dict):
                self.failed[data["run_key"]] = data["why"]
            else:
                rows = tuple(GradeRow(**row) for row in data)
                self.failed.pop(rows[0].run_key, None)  # asked again in the same process
                yield rows

    def read_tools(self, job: ReadJob) -> Iterator[Reading]:
        """Has the fixed reader read what tools showed; yields each reading. Raises as `run`."""
        for data in self.run(job) if job.outputs else ():
            yield Reading.model_validate(data)

    def best_constant(self, plan: str, reports: Sequence[Submitted]) -> SignedConstant:
        """Finds the one report that scores best when submitted everywhere, and has it signed. Raises as `run`.

        Args:
            plan: id of the set of audits.
            reports: of theirs; at least one.
        """
        job = GradeJob(asked="best-constant", reports=list(reports), engine=self._engine, plan=plan)
        [data] = self.run(job)
        return read_constant(data)
