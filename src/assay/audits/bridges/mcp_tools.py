"""Makes the tools of an MCP server tools of a kit. The server runs in a process of its own, one for each call.

A plug-in file names the command (`examples/mcp_tool/tools.py`):

    count, second_opinion = mcp_tools([sys.executable, "server.py"])

The process is started with listed variables alone, in the plug-in's folder, and ends with the call. A server reaches
the target by the protocol's own way, sampling: what it asks is answered by the guarded target, and charged to the call.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from assay._util.environment import environment_of_worker
from assay.audits.bridges.outside_tool import first_error, outside_tool
from assay.core.access import Access
from assay.core.target import Message, Replies, Role, Target
from assay.core.tool import TEMPERATURE, Evidence, Sample, Tool, ToolContext
from assay.errors import AssayError, PluginError

_LONGEST = 256  # tokens of a reply, whatever a server asks for
_SECONDS = 120.0  # for a call's answers of the server
_REFUSED = -32600  # JSON-RPC: invalid request


def mcp_tools(command: Sequence[str], needs: Iterable[Access] = (Access.CHAT,)) -> tuple[Tool, ...]:
    """Asks a server for its tools, which takes a process that ends at once.

    Args:
        command: starts the server, which speaks MCP on its standard input and output.
        needs: access that its requests for replies take; a system prompt takes `SAMPLING`.

    Returns:
        Its tools, in its order.

    Raises:
        PluginError: it cannot be started, or offers none.
    """
    folder = Path(inspect.stack()[1].filename).parent
    try:
        with ThreadPoolExecutor(1) as apart:  # since an event loop may run in this thread already
            listed = apart.submit(asyncio.run, _listed(command, folder)).result()
    except Exception as error:
        raise PluginError(f"the MCP server {command[0]} cannot be asked for its tools: {first_error(error)}") from None
    if not listed:
        raise PluginError(f"the MCP server {command[0]} offers no tools.")
    return tuple(_tool(one, command, folder, needs) for one in listed)


async def _listed(command: Sequence[str], folder: Path) -> list[Any]:
    async with _client(command, folder, None) as client:
        tools: list[Any] = (await client.list_tools()).tools
        return tools


def _client(command: Sequence[str], folder: Path, answer: Any) -> Any:
    from mcp import Client, StdioServerParameters

    told = {name: value for name, value in environment_of_worker(models=()).items() if not name.startswith("ASSAY_")}
    server = StdioServerParameters(command=command[0], args=list(command[1:]), env=told, cwd=folder)
    # The protocol's first handshake: by the later one a server cannot ask in the middle of a call.
    return Client(server, sampling_callback=answer, read_timeout_seconds=_SECONDS, mode="legacy")


def _tool(listed: Any, command: Sequence[str], folder: Path, needs: Iterable[Access]) -> Tool:
    """Makes one of what a server says of it."""

    async def call(assay_target: Target, assay_context: ToolContext, **arguments: Any) -> Evidence:
        asked: list[Sample] = []
        try:
            async with _client(command, folder, _answering(assay_target, assay_context, asked)) as client:
                result = await client.call_tool(listed.name, arguments)
        except Exception as error:
            return Evidence(f"The call failed: {first_error(error)}", tuple(asked))
        text = "\n".join(part.text for part in result.content if part.type == "text")
        return Evidence(f"The call failed: {text}" if result.is_error else text, tuple(asked))

    return outside_tool(listed.name, listed.description or "", listed.input_schema, call, needs)


def _answering(target: Target, context: ToolContext, asked: list[Sample]) -> Callable[..., Any]:
    """Makes what answers a server's requests for a reply, each with a seed of its own."""

    async def answer(_: Any, wanted: Any) -> Any:
        import mcp_types as types

        turns = [Message("system", wanted.system_prompt)] if wanted.system_prompt else []
        for turn in wanted.messages:
            if turn.content.type != "text":
                return types.ErrorData(code=_REFUSED, message=f"{turn.content.type}: targets read text alone.")
            role: Role = "assistant" if turn.role == "assistant" else "user"
            turns.append(Message(role, turn.content.text))
        try:
            replies: Replies = await target.chat(
                turns,
                max_tokens=max(1, min(wanted.max_tokens, _LONGEST)),
                temperature=TEMPERATURE if wanted.temperature is None else wanted.temperature,
                seed=(context.seed + len(asked)) % 2**32,
            )
        except AssayError as error:
            return types.ErrorData(code=_REFUSED, message=str(error))
        asked.append(Sample.of(turns[-1].content, replies, system=wanted.system_prompt or ""))
        said = types.TextContent(type="text", text=replies.text)
        return types.CreateMessageResult(role="assistant", content=said, model="target")

    return answer
