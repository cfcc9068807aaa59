"""The process that drives tools without an auditor: `python -m assay.audits.drive`. It holds no suite and no answer."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from assay._util.job_server import JobServer
from assay._util.paths import home
from assay._util.yaml_models import Data
from assay.audits.driven import ToolOutput, drive_tool
from assay.audits.play import assert_blind
from assay.audits.plugin_source import PluginSource
from assay.audits.prepared import PreparedStore, Subject, target_digest
from assay.audits.registry import collect_tools
from assay.core.target import OpenTarget
from assay.core.testbed import TargetSpec
from assay.engine.cache import audit_replies
from assay.engine.targets import EnginePool
from assay.errors import AssayError

_TOOLS_AT_ONCE = 4  # on one testbed: their requests share the engine's batches


class DrivenRun(Data):
    """Asks for what one tool shows of one testbed.

    Attributes:
        key: its identity by content.
        alias: of the target.
        tool: its name.
        seed: of the calls.
    """

    key: str
    alias: str
    tool: str
    seed: int


class DriveJob(Data):
    """Tells the process all that it needs.

    Attributes:
        runs: to make.
        targets: alias → each target of the runs.
        plugins: files that define further tools.
        engine: words that choose the engine of all targets, "" to let each one's base choose.
    """

    runs: list[DrivenRun]
    targets: dict[str, TargetSpec]
    plugins: list[PluginSource] = []
    engine: str = ""


class Driven(Data):
    """Answers a run: what the tool showed."""

    key: str
    output: ToolOutput


async def drive_job(job: DriveJob, open_target: OpenTarget, tell: Callable[[str, Any], None]) -> None:
    """Makes the runs of a job, testbed by testbed; tells `driven` for each when it has ended."""
    assert_blind()
    tools = collect_tools(plugin.path for plugin in job.plugins if plugin.path)
    store = PreparedStore(home() / "prepared")
    by_alias: defaultdict[str, list[DrivenRun]] = defaultdict(list)
    for run in job.runs:
        by_alias[run.alias].append(run)
    room = asyncio.Semaphore(_TOOLS_AT_ONCE)

    async def one(run: DrivenRun, subject: Subject) -> None:
        async with room:
            output = await drive_tool(tools[run.tool], subject, store, run.seed)
        tell("driven", Driven(key=run.key, output=output).model_dump(mode="json"))

    for alias, runs in by_alias.items():
        spec = job.targets[alias]
        try:
            async with open_target(spec) as target:
                subject = Subject(target, target_digest(spec))
                await asyncio.gather(*(one(run, subject) for run in runs))
        except AssayError as error:  # a testbed that cannot be opened costs no other
            for run in runs:
                failed = Driven(key=run.key, output=ToolOutput(failed=str(error)))
                tell("driven", failed.model_dump(mode="json"))


def main() -> None:
    """Makes the runs that are asked for."""
    server = JobServer()
    with EnginePool(lambda text: server.tell("say", text), audit_replies()) as engines:

        async def answer(data: Any) -> None:
            job = DriveJob.model_validate(data)
            await drive_job(job, engines.chosen(job.engine).open, server.tell)

        server.run(answer)


if __name__ == "__main__":
    main()
