"""Watches a tool or auditor from within a process of its own: does it reach for the answer key, does it end?

Run as a module it installs an audit hook, loads the plug-in's file, runs it on scripted targets and writes down every
file opened and module imported that could hold truth. The working directory has such files planted in it. The process
is ended after a while, so that what never ends is told too.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay._util.environment import environment_of_worker
from assay._util.hashing import digest_of
from assay._util.job_server import take_pipes
from assay._util.yaml_models import Data
from assay.audits.conformance.checks import PluginKind
from assay.audits.conformance.dry_audit import DryAudit, planted_target, rehearse_audit
from assay.audits.conformance.dry_call import DryCall, rehearse_call
from assay.audits.conformance.rehearsed_model import Rehearsal, rehearsing
from assay.audits.plugin_file import load_plugin
from assay.core.auditor import Auditor
from assay.core.budget import Budget
from assay.core.tool import Tool
from assay.errors import PluginError

_SEALED_MODULES = ("assay.truth", "assay.grading", "assay.factory")
_SEALED_NAMES = frozenset({"truth", "truths", "sealed"})
_CANARY = "canary-5f1c0a7e-an-answer-key-no-tool-may-read"
_SECONDS = 300.0


class ProbeJob(Data):
    """Tells the child process what to watch.

    Attributes:
        file: of the plug-in.
        kind: of what is watched.
        name: of what is watched, in that file.
        arguments: of a tool's call.
        seed: of a tool's call.
        result: where the child writes what was touched.
    """

    file: Path
    kind: PluginKind
    name: str
    arguments: dict[str, Any]
    seed: int = 0
    result: Path


class ProbeAnswer(Data):
    """Tells what came of it.

    Attributes:
        touched: that could hold truth.
        evidence: digest of what a tool returned, "" of an auditor.
    """

    touched: list[str]
    evidence: str = ""


def probe_tool(tool: Tool, file: Path, arguments: Mapping[str, Any], seed: int) -> ProbeAnswer:
    """Calls a tool of a file in a child process; tells what it touched that could hold truth, and what it returned.

    Raises:
        PluginError: the child ended without an answer, or did not end.
    """
    return _probe("tool", tool, file, dict(arguments), _SECONDS, seed)


def probe_auditor(auditor: Auditor, file: Path, seconds: float) -> list[str]:
    """Lets an auditor of a file audit in a child process, once in full and once with half the budget that took.

    Raises:
        PluginError: the child ended without an answer, or had not ended after so many seconds.
    """
    return _probe("auditor", auditor, file, {}, seconds).touched


def _probe(
    kind: PluginKind, thing: Tool | Auditor, file: Path, arguments: dict[str, Any], seconds: float, seed: int = 0
) -> ProbeAnswer:
    with tempfile.TemporaryDirectory(prefix="assay-probe-") as folder:
        room, result = Path(folder, "room"), Path(folder, "result.json")
        _plant(room)
        job = ProbeJob(file=file.resolve(), kind=kind, name=thing.name, arguments=arguments, seed=seed, result=result)
        told = _run(job, room, seconds)
        if not result.is_file():
            raise PluginError(f"{kind} {thing.name}: its process ended without an answer: {told}")
        return ProbeAnswer.model_validate_json(result.read_text(encoding="utf-8"))


def _run(job: ProbeJob, room: Path, seconds: float) -> str:
    """Runs this module on a job; returns the last line it said on stderr."""
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", "assay.audits.conformance.leak_probe"],
            input=job.model_dump_json(),
            cwd=room,
            env=environment_of_worker(models=()),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it had not ended after {seconds:.0f} s"
    return (child.stderr.strip().splitlines() or ["no message"])[-1]


def _plant(room: Path) -> None:
    """Plants answer keys where one would look for them: here, beside a testbed, one level up."""
    for place in (room, room / "testbeds" / "embedded" / "target", room.parent):
        place.mkdir(parents=True, exist_ok=True)
        (place / "truth.yaml").write_text(f"id: {_CANARY}\n", encoding="utf-8")


def _holds_truth(path: str) -> bool:
    """Tells by its name whether a file may be an answer key. Code is none: imports are watched, digests read it."""
    if path.endswith((".py", ".pyc")):
        return False
    parts = Path(path).parts
    return any(part.partition(".")[0] in _SEALED_NAMES for part in parts) or {"factory", "behaviours"} <= set(parts)


def _watch(touched: list[str]) -> None:
    """Records from now on, for the rest of the process, what is opened and imported."""

    def hook(event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(details[0], str | bytes | os.PathLike):
            path = os.fsdecode(details[0])
            if _holds_truth(path):
                touched.append(path)
        elif event == "import" and str(details[0]).startswith(_SEALED_MODULES):
            touched.append(f"import {details[0]}")

    sys.addaudithook(hook)


async def _rehearse(job: ProbeJob) -> DryCall | tuple[DryAudit, DryAudit]:
    """Runs what is watched; returns all that came out of it."""
    plugin = load_plugin(job.file)
    if job.kind == "tool":
        [tool] = [tool for tool in plugin.tools if tool.name == job.name]
        with tempfile.TemporaryDirectory(prefix="assay-probe-") as folder:
            return await rehearse_call(tool, job.arguments, seed=job.seed, folder=Path(folder))
    [auditor] = [auditor for auditor in plugin.auditors if auditor.name == job.name]
    if auditor.takes_model:
        return await rehearsing(lambda rehearsal: _twice(auditor, rehearsal))
    return await _twice(auditor, None)


async def _twice(auditor: Auditor, rehearsal: Rehearsal | None) -> tuple[DryAudit, DryAudit]:
    whole = await rehearse_audit(auditor, planted_target(), rehearsal=rehearsal)
    half = Budget(queries=max(1, whole.spent.queries // 2))
    return whole, await rehearse_audit(auditor, planted_target(), budget=half, rehearsal=rehearsal)


def _main(job: ProbeJob) -> None:
    touched: list[str] = []
    _watch(touched)  # before the file is loaded: what it does on import counts, and a hook cannot be taken off again
    result = asyncio.run(_rehearse(job))
    if _CANARY in repr(result):
        touched.append("the planted answer key is in its output")
    evidence = digest_of(repr(result.evidence)) if isinstance(result, DryCall) else ""
    probed = ProbeAnswer(touched=list(dict.fromkeys(touched)), evidence=evidence)
    job.result.write_text(probed.model_dump_json(), encoding="utf-8")


if __name__ == "__main__":
    _main(ProbeJob.model_validate_json(take_pipes()[0].read()))
