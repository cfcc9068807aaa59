"""A small client for agents that have a shell and no protocol: one request, one answer, nothing kept in between.

    python -m assay.audits.serve.client URL [TOOL [JSON]]

It speaks the protocol's stateless form (revision 2026-07-28) with the standard library alone. The SDK would do as well,
and takes seconds to import, for each call anew.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from assay.errors import AssayError, BackendFailed, InvalidInput

_REVISION = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": _REVISION,
    "io.modelcontextprotocol/clientInfo": {"name": "assay-call", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def list_tools(url: str) -> dict[str, Any]:
    """Lists what a server offers: its instructions, and each tool with its schema.

    Raises:
        InvalidInput: this is no address.
        BackendFailed: no server answers there.
    """
    told = _ask(url, "server/discover", {})
    listed = _ask(url, "tools/list", {})
    tools = [
        {"name": tool["name"], "description": tool.get("description", ""), "schema": tool["inputSchema"]}
        for tool in listed["tools"]
    ]
    return {"instructions": told.get("instructions", ""), "tools": tools}


def call_tool(url: str, name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any], bool]:
    """Calls one tool.

    Returns:
        What it says, the same as data, and whether it was refused or went wrong.

    Raises:
        InvalidInput: this is no address.
        BackendFailed: no server answers there.
    """
    result = _ask(url, "tools/call", {"name": name, "arguments": dict(arguments)}, {"Mcp-Name": name})
    text = "\n".join(part["text"] for part in result["content"] if part["type"] == "text")
    return text, result.get("structuredContent") or {}, bool(result.get("isError"))


def _ask(url: str, method: str, params: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise InvalidInput(f"{url!r} is no address of a server; give http://HOST:PORT/mcp.")
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": _META}}
    request = urllib.request.Request(
        url,
        json.dumps(body).encode(),
        {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": _REVISION,
            "Mcp-Method": method,
            **(headers or {}),
        },
    )
    try:
        with urllib.request.urlopen(request) as response:  # as long as the model takes: no time limit
            answer = json.loads(response.read())
    except urllib.error.HTTPError as error:
        raise BackendFailed(f"{url} answered {error.code}: {error.read().decode(errors='replace')[:500]}") from None
    except (OSError, ValueError) as error:
        raise BackendFailed(f"{url} does not answer ({error}). Is assay serve running there?") from None
    if "error" in answer:
        raise BackendFailed(f"{url} answered: {answer['error'].get('message')}")
    result: dict[str, Any] = answer["result"]
    return result


def main(words: Sequence[str]) -> int:
    """Makes one call, or lists what there is; prints the answer. Arguments given as - are read from standard input."""
    if not 1 <= len(words) <= 3:
        print("usage: python -m assay.audits.serve.client URL [TOOL [JSON or -]]", file=sys.stderr)
        return 2
    try:
        if len(words) == 1:
            told = list_tools(words[0])
            for tool in told["tools"]:
                print(f"{tool['name']}: {tool['description']}\n  {json.dumps(tool['schema'])}\n")
            print(told["instructions"])
            return 0
        text = words[2] if len(words) == 3 else "{}"
        said, _, failed = call_tool(words[0], words[1], read_arguments(sys.stdin.read() if text == "-" else text))
        print(said)
        return int(failed)
    except AssayError as error:
        print(error, file=sys.stderr)
        return 2


def read_arguments(text: str) -> dict[str, Any]:
    """Reads a tool's arguments.

    Raises:
        InvalidInput: no JSON object.
    """
    try:
        given = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"the arguments are no JSON: {error}.") from None
    if not isinstance(given, dict):
        raise InvalidInput("the arguments are no JSON object.")
    return given


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
