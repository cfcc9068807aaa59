"""Offers a target that works with tools in a sandbox: an Inspect model in a loop of its own.

Each conversation is an evaluation of one sample in a process of its own: Inspect runs one evaluation at a time in a
process, and audits are evaluations already. So the hidden prompt, too, is read in that process alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Unpack

from assay._util.environment import environment_of_worker
from assay._util.hashing import digest_of, files_of, sha256
from assay.core.access import Access
from assay.core.target import (
    DEFAULT_SAMPLING,
    Cost,
    Messages,
    Replies,
    Reply,
    Sampling,
    SamplingOptions,
    Target,
    ToolCall,
    as_messages,
)
from assay.core.testbed import INSPECT, TargetSpec
from assay.engine.remote.target import RemoteTarget
from assay.errors import BackendFailed, CorruptArtifact, InvalidInput

SANDBOX = "ASSAY_SANDBOX"  # `docker` if not set; `local` is no sandbox at all, and for tests
TOOLS = ("bash", "python", "text_editor")
MESSAGES = 30  # of a conversation, tools' included
_TAIL = 800  # characters of a failed process's errors


class AgenticTarget(RemoteTarget):
    """An Inspect model with tools, asked one conversation at a time.

    Args:
        spec: base `inspect:…`, tools, workspace and hidden prompt.
    """

    _kind = "an agent behind Inspect"
    _offers = frozenset({Access.CHAT, Access.SAMPLING, Access.TRAINING_DATA})

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        """Lets the agent work on a conversation, n times, each time in a fresh sandbox.

        Args:
            messages: the conversation; a prefill is not possible.
            sampling: n conversations; its limit holds for each of the agent's messages and is never below 1,024, since
                tools are called in them; its seed is worth what the provider makes of it.
            options: fields of the sampling that are to be others.

        Raises:
            BackendFailed: the agent's process failed; with the end of what it said.
            InvalidInput: a prefill, a sandbox that is not there, or values no engine can sample with.
        """
        turns, sampling = as_messages(messages), sampling.but(**options)
        if turns[-1].role != "user":
            raise InvalidInput("an agent's reply cannot be begun for it: end the conversation with a user turn.")
        job = {
            "model": self._spec.base.removeprefix(INSPECT),
            "prompt": str(self._spec.prompt or ""),
            "workspace": str(self._spec.workspace or ""),
            "tools": list(self._spec.tools),
            "sandbox": os.environ.get(SANDBOX, "docker"),
            "turns": [asdict(turn) for turn in turns],
            "config": {
                "max_tokens": max(sampling.max_tokens, 1_024),
                "temperature": sampling.temperature,
                "seed": sampling.seed,
            },
            "n": sampling.n,
        }
        found = await _process(job)
        samples: list[Reply] = []
        for told in found["samples"]:
            calls = tuple(ToolCall(**call) for call in told["calls"])
            samples.append(Reply(told["text"], told["tokens"], reasoning=told["reasoning"], calls=calls))
        return Replies(tuple(samples), Cost(sampling.n, found["input_tokens"], found["output_tokens"]))


@asynccontextmanager
async def open_agent(spec: TargetSpec) -> AsyncIterator[Target]:
    """Opens a testbed with tools; an `OpenTarget`.

    Raises:
        CorruptArtifact: workspace or prompt is not the recorded one.
        InvalidInput: a tool that is not known.
    """
    if unknown := set(spec.tools) - set(TOOLS):
        raise InvalidInput(f"{spec.alias}: unknown tools {', '.join(sorted(unknown))}; there are {', '.join(TOOLS)}.")
    found = {"workspace": digest_of(files_of(spec.workspace)) if spec.workspace else ""}
    found["prompt"] = sha256(spec.prompt) if spec.prompt else ""
    recorded = {"workspace": spec.workspace_digest, "prompt": spec.prompt_digest}
    for what, path in (("workspace", spec.workspace), ("prompt", spec.prompt)):
        if path is not None and found[what] != recorded[what]:
            raise CorruptArtifact(path, recorded[what], found[what], "Restore it, or add the testbed as a new version.")
    yield AgenticTarget(spec)


async def _process(job: dict[str, Any]) -> dict[str, Any]:
    """Has a job done by a process of its own, and returns what it found."""
    # The job goes in by a pipe: arguments and environment of a process can be read by others. With -P the folder it
    # works in is none of its modules'.
    with tempfile.TemporaryDirectory(prefix="assay-agent-") as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "assay.engine.remote.agent_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env=environment_of_worker(),
        )
        try:
            said, errors = await process.communicate(json.dumps(job).encode())
        except BaseException:
            # Whoever waits may be cancelled at any time; an agent must not work on, and spend, for nobody.
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
    if process.returncode:
        if b"SandboxEnvironment type" in errors:  # what packages add cannot be known beforehand
            raise InvalidInput(
                f"{SANDBOX} is {job['sandbox']!r}, and Inspect has no such sandbox here. Give docker, local, or the "
                f"name of one that an installed package adds."
            )
        raise BackendFailed(f"the agent's process failed: {errors.decode(errors='replace')[-_TAIL:].strip()}")
    found: dict[str, Any] = json.loads(said)
    return found
