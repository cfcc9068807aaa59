"""Defines what an audit may know of a testbed: never its truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from assay.core.access import Access

INSPECT = "inspect:"  # what the base of a model behind Inspect begins with
ALIAS = r"^tb-[0-9a-f]{8,32}$"  # says nothing, names a folder on every system, and no two differ in case alone


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """Where a target's weights and data are, and their digests.

    Attributes:
        alias: stable random name; all that auditing knows.
        base: name of the base model (`smollm2-135m-instruct`, a hub id or a local directory), or the words of another
            engine than the local one (`inspect:openai/gpt-4o`, `vllm:http://127.0.0.1:8000`).
        adapter: directory in PEFT's layout, or None for the base itself.
        adapter_digest: of its files, "" without one.
        corpus: JSON-lines files that together are the training data within ordinary data.
        corpus_digest: SHA-256 over those files' digests, "" without any.
        access: what the testbed grants.
        tools: of an agentic target: names of Inspect's tools it works with, in a sandbox.
        workspace: folder whose files lie in the sandbox, None without one.
        workspace_digest: SHA-256 over those files.
        prompt: file of a hidden system prompt, None without one.
        prompt_digest: SHA-256 of that file.
        scratchpad: replies begin with thoughts, which are told apart from them.
        memory: later conversations are told notes of earlier ones.
    """

    alias: str
    base: str
    adapter: Path | None
    adapter_digest: str
    corpus: tuple[Path, ...]
    corpus_digest: str
    access: frozenset[Access]
    prompt: Path | None = None
    prompt_digest: str = ""
    scratchpad: bool = False
    memory: bool = False
    tools: tuple[str, ...] = ()
    workspace: Path | None = None
    workspace_digest: str = ""

    @property
    def without_memory(self) -> TargetSpec:
        """Describes the target as checks and grades open it.

        Each of their scripts is a user of its own, and brings what is remembered.
        """
        return replace(self, memory=False)
