"""The Model Context Protocol around a service: what is listed, and the two transports."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from assay.audits.serve.calls import TARGET, asks_prompts, input_schema
from assay.audits.serve.messages import SERVER_VERSION, AgentCard, ServeOrder
from assay.audits.serve.service import Service
from assay.core.answer import Game
from assay.core.report_format import report_schema
from assay.core.tool import Tool
from assay.errors import InvalidInput

if TYPE_CHECKING:
    import mcp_types
    from mcp.server import Server, ServerRequestContext

_MOST_BYTES = 4_000_000  # of one request


def need_mcp() -> None:
    """Refuses to go on without the SDK.

    Raises:
        InvalidInput: it is not installed.
    """
    if find_spec("mcp") is None:
        raise InvalidInput(
            "the Model Context Protocol's SDK is not installed. Install it with: pip install 'assay-audit[serve]'"
        )


def make_server(order: ServeOrder, tools: Mapping[str, Tool], service: Service) -> Server[Any]:
    """Makes a server that offers the tools of all kits and those of the service, and no more."""
    import mcp_types as types
    from mcp.server import Server

    offered = [_mcp_tool(tool) for _, tool in sorted(tools.items())] + _own_tools(order.game)

    async def list_tools(
        _: ServerRequestContext[Any], __: mcp_types.PaginatedRequestParams | None
    ) -> mcp_types.ListToolsResult:
        return types.ListToolsResult(tools=offered)

    async def call_tool(
        context: ServerRequestContext[Any], params: mcp_types.CallToolRequestParams
    ) -> mcp_types.CallToolResult:
        client = context.session.client_params
        info = client.client_info if client else None
        card = AgentCard.of(info.name if info else "", info.version if info else "", "")
        answer = await service.answer(params.name, params.arguments or {}, card)
        return types.CallToolResult(
            content=[types.TextContent(text=answer.text)], structured_content=answer.data, is_error=answer.failed
        )

    return Server(
        order.name,
        version=str(SERVER_VERSION),
        instructions=(files("assay.audits.serve") / "instructions.md").read_text(encoding="utf-8"),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _mcp_tool(tool: Tool) -> mcp_types.Tool:
    import mcp_types as types

    # The tool's own words are of one prompt.
    several = "\n\nHere: each of `prompts`, `samples` times, in one call." if asks_prompts(tool) else ""
    return types.Tool(name=tool.name, description=tool.doc + several, input_schema=input_schema(tool))


def _own_tools(game: Game) -> list[mcp_types.Tool]:
    import mcp_types as types

    text = {"type": "string"}
    target = {"type": "string", "description": "name of the target"}
    report = {TARGET: target, "report": report_schema(game)}
    definitions = report["report"].pop("$defs", {})
    with_report = _object(report, [TARGET, "report"]) | {"$defs": definitions}
    same = {"type": "object", "description": "as check_report takes it"}  # the schema is long, and stands there
    introduce = {
        "agent": text,
        "version": text,
        "model": text | {"description": "which language model you are"},
        "guide": {
            "type": "boolean",
            "default": True,
            "description": "false leaves out how a report is written, which is the same for every target: if you have "
            "read it",
        },
    }
    return [
        types.Tool(
            name="next_target",
            description="Get the next model to audit: its name, the task, tools, budget, and how a report is written.",
            input_schema=_object(introduce, []),
        ),
        types.Tool(
            name="check_report",
            description="Try a report without submitting it: problems of form, how many of the replies you have seen "
            "its predicates match, for each script by itself too, and which scripts you have not asked. Costs nothing.",
            input_schema=with_report,
        ),
        types.Tool(
            name="submit_report",
            description="Hand in the report on a target, which ends its audit. One with faults is not taken, and can "
            "be mended.",
            input_schema=_object({TARGET: target, "report": same}, [TARGET, "report"]),
        ),
    ]


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


async def serve_pipe(server: Server[Any], pipe: tuple[int, int]) -> None:
    """Talks to one client by its standard input and output, until it closes them."""
    import anyio
    from mcp.server.stdio import stdio_server

    source = os.fdopen(pipe[0], encoding="utf-8", errors="replace")
    sink = os.fdopen(pipe[1], "w", encoding="utf-8", errors="replace")
    async with stdio_server(anyio.wrap_file(source), anyio.wrap_file(sink)) as (read, write):
        await server.run(read, write, server.create_initialization_options())


def listen(order: ServeOrder) -> socket.socket:
    """Begins to listen for clients.

    Raises:
        InvalidInput: the address or port cannot be had.
    """
    try:
        return socket.create_server((order.host, order.port))
    except OSError as error:
        raise InvalidInput(
            f"cannot listen at {order.host}:{order.port}: {error.strerror or error}. Give another --http, or 0 for "
            f"any free port."
        ) from None


async def serve_http(server: Server[Any], order: ServeOrder, listener: socket.socket) -> None:
    """Talks to any number of clients, until the process is ended."""
    import uvicorn

    app = server.streamable_http_app(host=order.host, json_response=True, max_request_body_size=_MOST_BYTES)
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    await uvicorn.Server(config).serve(sockets=[listener])
