"""Runs one agentic conversation in a process of its own: JSON of a job in, JSON of its outcome out.

It is run as `python -m assay.engine.remote.agent_process`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay._util.job_server import take_pipes
from assay._util.text_files import read_text

if TYPE_CHECKING:
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatMessage

_SECONDS = 180  # of one call of a tool


def main() -> None:
    """Runs the job; errors end the process with their text on standard error."""
    asked, out = take_pipes()  # a library's print must not look like the outcome
    job = json.load(asked)
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import GenerateConfig
    from inspect_ai.solver import generate, use_tools
    from inspect_ai.tool import bash, python, text_editor

    from assay.engine.remote.agent import MESSAGES

    with tempfile.TemporaryDirectory(prefix="assay-agent-") as logs:
        sample = Sample(input=_conversation(job), files=_files_in_sandbox(job["workspace"]))
        made = {"bash": bash, "python": python, "text_editor": text_editor}
        tools = [made[name](timeout=_SECONDS) for name in job["tools"]]
        task = Task(
            dataset=MemoryDataset([sample]),
            solver=[use_tools(*tools), generate()],
            sandbox=job["sandbox"],
            epochs=job["n"],
            config=GenerateConfig(**job["config"]),
            message_limit=MESSAGES,
        )
        [log] = eval(task, model=job["model"], log_dir=logs, display="none", log_level="error")
        samples = list(log.samples or ()) if log.status == "success" else []  # from the file, which is gone soon
    if not samples:
        print(log.error.message if log.error else f"the evaluation ended with {log.status}", file=sys.stderr)
        sys.exit(1)
    read = written = 0
    for ended in samples:
        for usage in ended.model_usage.values():
            read += usage.input_tokens
            written += usage.output_tokens
    outcomes = [_outcome(ended) for ended in samples]
    print(json.dumps({"samples": outcomes, "input_tokens": read, "output_tokens": written}), file=out, flush=True)


def _conversation(job: dict[str, Any]) -> list[ChatMessage]:
    """Returns the job's turns as Inspect's, behind the hidden prompt."""
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    kinds = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}
    hidden = read_text(Path(job["prompt"])).strip() if job["prompt"] else ""
    own = [turn["content"] for turn in job["turns"] if turn["role"] == "system"]
    system = "\n\n".join(filter(None, [hidden, *own]))
    turns: list[ChatMessage] = [ChatMessageSystem(content=system)] if system else []
    for turn in job["turns"]:
        if turn["role"] != "system":
            turns.append(kinds[turn["role"]](content=turn["content"]))
    return turns


def _files_in_sandbox(workspace: str) -> dict[str, str]:
    """Reads a workspace: path in the sandbox → content."""
    if not workspace:
        return {}
    root = Path(workspace)
    files: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            files[path.relative_to(root).as_posix()] = read_text(path)
    return files


def _outcome(sample: EvalSample) -> dict[str, Any]:
    """Returns the last thing said, and every call of a tool with its result."""
    results = {
        message.tool_call_id: message.error.message if message.error else message.text
        for message in sample.messages
        if message.role == "tool"
    }
    calls, said, reasoning = list[dict[str, str]](), "", list[str]()
    for message in sample.messages:
        if message.role != "assistant":
            continue
        said = message.text or said  # a message that only calls tools says nothing
        if not isinstance(message.content, str):
            reasoning += [part.reasoning for part in message.content if part.type == "reasoning"]
        for call in message.tool_calls or []:
            told = {"tool": call.function, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
            calls.append(told | {"result": results.get(call.id, "")})
    tokens = sum(usage.output_tokens for usage in sample.model_usage.values())
    return {"text": said, "tokens": tokens, "reasoning": "\n".join(reasoning), "calls": calls}


if __name__ == "__main__":
    main()
