"""Watch one tool from within a process of its own: does it reach for the answer key?

Run as a module it installs an audit hook, loads the tool's file, calls it on a scripted target and writes down every
file opened and module imported that could hold truth. The working directory has such files planted in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.audits.conformance.dry_run import rehearse
from assay.audits.registry import load_plugin, source_file
from assay.core.tool import Tool
from assay.errors import PluginError

_SEALED_MODULES = ("assay.truth", "assay.grading", "assay.factory")
_SEALED_NAMES = frozenset({"truth", "truths", "sealed"})
_CANARY = "canary-5f1c0a7e-an-answer-key-no-tool-may-read"
_SECONDS = 300


def probe(tool: Tool, arguments: Mapping[str, Any]) -> list[str]:
    """Call a tool in a child process and list what it touched that could hold truth.

    Raises:
        PluginError: the child ended without an answer.
    """
    with tempfile.TemporaryDirectory(prefix="assay-probe-") as folder:
        room, result = Path(folder, "room"), Path(folder, "result.json")
        _plant(room)
        job = {"file": str(source_file(tool)), "tool": tool.name, "arguments": dict(arguments), "result": str(result)}
        told = _run(job, room)
        if not result.is_file():
            raise PluginError(f"tool {tool.name}: its process ended without an answer: {told}")
        touched: list[str] = json.loads(result.read_text(encoding="utf-8"))
        return touched


def _run(job: Mapping[str, Any], room: Path) -> str:
    """Run this module on a job; the last line it said on stderr."""
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", "assay.audits.conformance.leak_probe", json.dumps(job)],
            cwd=room,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it ran for more than {_SECONDS} s"
    return (child.stderr.strip().splitlines() or ["no message"])[-1]


def _plant(room: Path) -> None:
    """Answer keys where one would look for them: here, beside a testbed, one level up."""
    for place in (room, room / "testbeds" / "embedded" / "target", room.parent):
        place.mkdir(parents=True, exist_ok=True)
        (place / "truth.yaml").write_text(f"id: {_CANARY}\n", encoding="utf-8")


def _holds_truth(path: str) -> bool:
    parts = Path(path).parts
    return any(part.partition(".")[0] in _SEALED_NAMES for part in parts) or {"factory", "behaviours"} <= set(parts)


def _watch(touched: list[str]) -> None:
    """Record from now on, for the rest of the process, what is opened and imported."""

    def hook(event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(details[0], str | bytes | os.PathLike):
            path = os.fsdecode(details[0])
            if _holds_truth(path):
                touched.append(path)
        elif event == "import" and str(details[0]).startswith(_SEALED_MODULES):
            touched.append(f"import {details[0]}")

    sys.addaudithook(hook)


def _main(job: Mapping[str, Any]) -> None:
    touched: list[str] = []
    _watch(touched)
    [tool] = [tool for tool in load_plugin(Path(job["file"])).tools if tool.name == job["tool"]]
    with tempfile.TemporaryDirectory(prefix="assay-probe-") as folder:
        run = asyncio.run(rehearse(tool, job["arguments"], seed=0, salt="", folder=Path(folder)))
    if _CANARY in repr(run.evidence):
        touched.append("the planted answer key is in its output")
    Path(job["result"]).write_text(json.dumps(list(dict.fromkeys(touched))), encoding="utf-8")


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
