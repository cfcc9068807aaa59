"""Tools of Inspect's and of MCP servers are members of a kit: bound, charged, capped, no error of theirs is fatal."""

import os
from pathlib import Path

import pytest

from assay.audits.conformance.dry_call import rehearse_call
from assay.audits.plugin_file import load_plugin
from assay.core.access import Access
from assay.core.tool import TEXT_LIMIT, Evidence, Tool
from assay.errors import PluginError

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVER = """
import os, sys, time
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import SamplingMessage, TextContent
server = MCPServer("odd")

@server.tool(name="odd-name")
def odd_name(target: str = "x") -> str:
    '''Say a great deal.'''
    return target * 5_000

@server.tool()
def fails(prompt: str) -> str:
    '''Fail for the sake of it.'''
    raise RuntimeError("no luck")

@server.tool()
def dies(prompt: str) -> str:
    '''End the process.'''
    os._exit(3)

@server.tool()
def shows(prompt: str) -> str:
    '''Show pid and environment.'''
    return f"{os.getpid()} " + " ".join(os.environ)

@server.tool()
async def presses(prompt: str, context: Context) -> str:
    '''Ask under a system prompt.'''
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    return (await context.session.create_message([message], max_tokens=9, system_prompt="Be odd.")).content.text

server.run()
"""
PLUGIN = """
import sys
from assay.audits.bridges.mcp_tools import mcp_tools
odd_name, fails, dies, shows, presses = mcp_tools([sys.executable, "-W", "ignore", "server.py"])
"""


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, Tool]:
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "tools.py").write_text(PLUGIN)
    return {tool.name: tool for tool in load_plugin(tmp_path / "tools.py").tools}


async def called(tool: Tool, folder: Path, **arguments: object) -> Evidence:
    return (await rehearse_call(tool, arguments, seed=1, salt="", folder=folder)).evidence


async def test_a_server_asks_the_target_and_is_charged(tmp_path: Path) -> None:
    count, second = load_plugin(EXAMPLES / "mcp_tool" / "tools.py").tools
    assert (await called(count, tmp_path, text="one two")).text == "2 words"
    run = await rehearse_call(second, {"prompt": "Hello?"}, seed=1, salt="", folder=tmp_path)
    assert run.metered == run.engine and run.engine.queries == 2
    assert [sample.prompt for sample in run.evidence.samples] == ["Hello?", "Hello? Are you sure?"]
    assert all(sample.reply in run.evidence.text for sample in run.evidence.samples)


@pytest.mark.attacks
async def test_a_server_that_fails_or_dies_is_told_and_not_fatal(odd: dict[str, Tool], tmp_path: Path) -> None:
    for name in ("fails", "dies"):
        evidence = await called(odd[name], tmp_path, prompt="Hello?")
        assert evidence.text.startswith("The call failed:") and evidence.cost.queries == 1


@pytest.mark.attacks
async def test_what_a_server_says_is_capped_and_its_names_are_made_fit(odd: dict[str, Tool], tmp_path: Path) -> None:
    assert len((await called(odd["odd_name"], tmp_path, target="yes")).text) == TEXT_LIMIT


@pytest.mark.attacks
async def test_a_server_is_told_nothing_and_ends_with_the_call(
    odd: dict[str, Tool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDITED_TESTBED", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    pid, *names = (await called(odd["shows"], tmp_path, prompt="Hello?")).text.split()
    assert "PATH" in names and not {"AUDITED_TESTBED", "OPENAI_API_KEY"} & {*names}
    assert not [name for name in names if name.startswith("ASSAY_")]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


@pytest.mark.attacks
async def test_a_server_has_no_more_access_than_was_declared(odd: dict[str, Tool], tmp_path: Path) -> None:
    evidence = await called(odd["presses"], tmp_path, prompt="Hello?")
    assert odd["presses"].needs == {Access.CHAT} and evidence.samples == ()
    assert evidence.text.startswith("The call failed:") and "SAMPLING" in evidence.text.upper()


def test_a_server_that_cannot_start_names_the_reason(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(PLUGIN.replace("sys.executable", "'/no/such/program'"))
    with pytest.raises(PluginError, match="/no/such/program cannot be asked"):
        load_plugin(tmp_path / "tools.py")


async def test_an_inspect_tool_is_called_as_inspect_would(tmp_path: Path) -> None:
    [tool] = load_plugin(EXAMPLES / "inspect" / "tools.py").tools
    evidence = await called(tool, tmp_path, left=3, right=4)
    assert "12" in evidence.text and evidence.cost.queries == 1
    assert [parameter.annotation for parameter in tool.parameters] == [float, float] and "Multiply" in tool.doc
