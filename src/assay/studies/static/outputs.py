"""Has tools driven on testbeds by a process that knows no answers, and keeps what they show by content.

Interrupted at any moment, the same call goes on with what is missing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from assay._util.atomic import write_text
from assay._util.hashing import digest_of, sha256
from assay._util.progress import Say
from assay._util.text_files import read_text
from assay.auditors.explorer.battery import PATH
from assay.audits.cell import LIBRARIES, library_version
from assay.audits.described import ToolInfo
from assay.audits.drive import DriveJob, Driven, DrivenRun
from assay.audits.driven import CALL_BUDGET, ENOUGH_TOKENS, MOST_CALLS, PROTOCOL, ToolOutput
from assay.audits.plugin_source import PluginSource
from assay.audits.prepared import target_digest
from assay.core.testbed import INSPECT, TargetSpec
from assay.errors import InvalidInput
from assay.studies.processes import WorkerProcess, worker_command
from assay.tools.everyday import PROMPTS, TOPICS

_FOLDER = "outputs"  # in the folder of results


class DrivingProcess(WorkerProcess):
    """Drives tools, and cannot know an answer."""

    kind = "driving"
    command = worker_command("assay.audits.drive")

    def __init__(self, log: Path, say: Say, asks: Collection[str]) -> None:
        super().__init__(log, say)
        self.asks = asks


@dataclass(frozen=True)
class KeptOutputs:
    """What tools showed, in a folder.

    Args:
        out: the folder of results.
    """

    out: Path

    def of(self, key: str) -> ToolOutput | None:
        """Returns what a run showed; None where it is not kept, cannot be read, or broke off."""
        try:
            kept = Driven.model_validate_json(read_text(self._path(key)))
        except (InvalidInput, ValueError):
            return None
        return None if kept.key != key or kept.output.failed else kept.output

    def keep(self, one: Driven) -> None:
        """Keeps what a run showed, whole or not at all."""
        write_text(self._path(one.key), one.model_dump_json())

    def _path(self, key: str) -> Path:
        return self.out / _FOLDER / f"{key[:32]}.json"


def run_of(tool: ToolInfo, spec: TargetSpec, identity: str, seed: int) -> DrivenRun:
    """Names a run by all that could change what it shows.

    Args:
        tool: that is driven.
        spec: of the target.
        identity: what its replies depend on besides.
        seed: of the calls.
    """
    plugin = tool.plugin.digest if tool.plugin else ""
    versions = [[name, library_version(name)] for name in LIBRARIES]
    parts = [tool.name, tool.version, tool.digest, plugin, target_digest(spec), identity, seed, versions, _driven_by()]
    return DrivenRun(key=digest_of(parts), alias=spec.alias, tool=tool.name, seed=seed)


@functools.cache
def _driven_by() -> str:
    """Digests how tools are driven: the budget, and the arguments that they may be given."""
    return digest_of([PROTOCOL, MOST_CALLS, ENOUGH_TOKENS, asdict(CALL_BUDGET), PROMPTS, TOPICS, sha256(PATH)])


def drive_tools(
    runs: Sequence[DrivenRun],
    targets: Mapping[str, TargetSpec],
    plugins: Iterable[PluginSource],
    out: Path,
    *,
    engine: str,
    say: Say,
    ended: Callable[[DrivenRun, ToolOutput], None],
) -> dict[str, ToolOutput]:
    """Makes the runs that are not kept.

    Args:
        runs: all that are wanted.
        targets: alias → target.
        plugins: files that define some of the tools.
        out: folder of results.
        engine: words that choose the engine of all targets, "" to let each one's base choose.
        say: told of long steps.
        ended: told of each run when it has ended.

    Returns:
        Key → what was shown, of all runs.

    Raises:
        AssayError: the process ended; what was finished is kept.
    """
    kept = KeptOutputs(out)
    found = {run.key: output for run in runs if (output := kept.of(run.key)) is not None}
    missing = {run.key: run for run in runs if run.key not in found}
    say(f"{len(runs)} outputs wanted, {len(found)} are kept already")
    if missing:
        aliases = {run.alias for run in missing.values()}
        job = DriveJob(
            runs=list(missing.values()),
            targets={alias: targets[alias] for alias in sorted(aliases)},
            plugins=[plugin for plugin in plugins if plugin.path],
            engine=engine,
        )
        words = [engine or spec.base for spec in job.targets.values()]
        asks = {text.removeprefix(INSPECT) for text in words if text.startswith(INSPECT)}
        with DrivingProcess(out / "driving-process.log", say, asks) as process:
            for data in process.run(job):
                one = Driven.model_validate(data)
                kept.keep(one)
                found[one.key] = one.output
                ended(missing[one.key], one.output)
    return found
