"""Talks to a program of Assay's own, one JSON document a line: what a person in a terminal plays by."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any

from assay.audits.serve.answers import ToolAnswer
from assay.audits.serve.messages import AgentCard
from assay.audits.serve.service import Service
from assay.errors import AssayError


async def serve_lines(service: Service, pipe: tuple[int, int]) -> None:
    """Answers calls, one after the other, until the other end is closed."""
    with os.fdopen(pipe[0], encoding="utf-8") as source, os.fdopen(pipe[1], "w", encoding="utf-8") as sink:
        while line := await asyncio.to_thread(source.readline):
            asked = json.loads(line)
            answer = await service.answer(asked["tool"], asked["arguments"], AgentCard.model_validate(asked["client"]))
            sink.write(json.dumps({"data": answer.data, "text": answer.text, "failed": answer.failed}) + "\n")
            sink.flush()


class Lines:
    """The other end of `serve_lines`.

    Args:
        pipe: where answers are read, where calls are written.
        client: who calls.
    """

    def __init__(self, pipe: tuple[int, int], client: AgentCard) -> None:
        self._source = os.fdopen(pipe[0], encoding="utf-8")
        self._sink = os.fdopen(pipe[1], "w", encoding="utf-8")
        self._client = client

    def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """Makes one call.

        Raises:
            AssayError: nobody is there any more.
        """
        asked = {"tool": tool, "arguments": dict(arguments), "client": self._client.model_dump()}
        try:
            self._sink.write(json.dumps(asked) + "\n")
            self._sink.flush()
            line = self._source.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise AssayError("the process that plays the audit has ended; see serve-process.log among the logs.")
        return ToolAnswer(**json.loads(line))

    def close(self) -> None:
        """Ends the talk."""
        self._sink.close()
        self._source.close()
