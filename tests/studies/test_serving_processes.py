"""assay serve with real processes and the SDK's client: both transports, clients and servers that are killed."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.audits.serve import client as small_client
from assay.audits.serve.client import call_tool, list_tools
from assay.studies.ledger import Ledger
from assay.testbeds.truths import all_truths

pytest.importorskip("mcp")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

ASSAY = str(Path(sys.executable).with_name("assay"))
PLAN = ["--kit", "chat", "--kit", "chat+search", "--testbed", "flattery-td", "--testbed", "twin-td"]
DYING = """
import asyncio, os, signal, sys
from mcp import Client, StdioServerParameters

async def main():
    async with Client(StdioServerParameters(command=sys.argv[1], args=sys.argv[2:], env=dict(os.environ))) as client:
        told = await client.call_tool("next_target", {"model": "m"})
        target = told.structured_content["target"]
        await client.call_tool("ask", {"target": target, "prompts": ["Hello?"], "samples": 4})
        print(target, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def words_of_serve(out: Path, *more: str) -> list[str]:
    return ["serve", *PLAN, "--engine", "scripted", "--out", str(out), *more]


class Running:
    """A server over HTTP."""

    def __init__(self, out: Path, *more: str) -> None:
        words = words_of_serve(out, "--http", "0", *more)
        self.process = subprocess.Popen([ASSAY, *words], stderr=subprocess.PIPE, text=True, env=dict(os.environ))
        assert self.process.stderr is not None
        self.url = ""
        for line in self.process.stderr:
            if found := re.search(r"http://\S+/mcp", line):
                self.url = found[0]
                break

    def kill(self, how: int = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=60)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results-canary"


@pytest.fixture
def server(out: Path, own_keys: Path) -> Iterator[Running]:
    running = Running(out)
    yield running
    if running.process.poll() is None:
        running.kill(signal.SIGINT)


def journals(out: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted((out / "served").glob("*.jsonl"))]


@pytest.mark.attacks
async def test_two_clients_at_once_a_killed_server_and_one_that_goes_on(server: Running, out: Path) -> None:
    """One speaks the protocol's newest revision, one the older form with a session; neither sees the other's audit."""
    from mcp import Client

    async def play(mode: str, word: str) -> str:
        async with Client(server.url, mode=mode) as client:
            told = await client.call_tool("next_target", {"model": "m"})
            name = str(told.structured_content["target"])
            calls = [client.call_tool("ask", {"target": name, "prompts": [f"{word} {i}"]}) for i in range(8)]
            for answer in await asyncio.gather(*calls):
                assert not answer.is_error and answer.content[0].text
            bad = await client.call_tool("no_such_tool", {"target": name})
            assert bad.is_error and "There are: " in bad.content[0].text
            return name

    names = await asyncio.gather(play("auto", "apple"), play("legacy", "pear"))
    assert len(set(names)) == 2
    apples, pears = sorted(journals(out), key=lambda text: "pear" in text)
    assert apples.count("apple 3") and not apples.count("pear") and pears.count("pear 3") and not pears.count("apple")
    server.kill()
    again = Running(out)
    try:
        text, data, failed = call_tool(again.url, "ask", {"target": names[0], "prompts": ["apple 9"]})
        assert not failed and data["left"]["queries"] == 1_991 and text.endswith("s)")
        told = {"target": names[0], "report": {"p_hidden": 0.2}}
        assert call_tool(again.url, "submit_report", told)[1]["submitted"]
        assert call_tool(again.url, "ask", {"target": names[0], "prompts": ["x"]})[2]
        assert {tool["name"] for tool in list_tools(again.url)["tools"]} >= {"ask", "search", "check_report"}
    finally:
        again.kill(signal.SIGINT)
    with Ledger.open(out / "ledger.sqlite") as ledger:
        assert sorted(row.outcome for row in ledger.audits()) == ["crashed", "none-submitted"]


@pytest.mark.attacks
async def test_a_killed_client_on_standard_input_leaves_an_audit_that_goes_on(out: Path, own_keys: Path) -> None:
    from mcp import Client, StdioServerParameters

    words = words_of_serve(out)
    died = subprocess.run(
        [sys.executable, "-c", DYING, ASSAY, *words], capture_output=True, text=True, timeout=200, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr[-2_000:]
    with Ledger.open(out / "ledger.sqlite") as ledger:
        [row] = ledger.audits()
    assert row.outcome == "crashed" and row.calls == {"ask": 4}
    deadline = time.monotonic() + 60
    async with Client(StdioServerParameters(command=ASSAY, args=words, env=dict(os.environ))) as client:
        told: dict[str, Any] = {}
        while not told.get("earlier_calls") and time.monotonic() < deadline:
            told = (await client.call_tool("next_target", {"model": "m"})).structured_content
        assert told["left"]["queries"] == 1_996 and told["earlier_calls"][0]["arguments"]["prompts"] == ["Hello?"]
        await _tells_nothing(client, told["target"], out)
        ended = await client.call_tool("submit_report", {"target": told["target"], "report": {"p_hidden": 0.4}})
        assert not ended.is_error
    with Ledger.open(out / "ledger.sqlite") as ledger:
        assert "none-submitted" in {one.outcome for one in ledger.audits()}


RANKING = {"p_hidden": 0.6, "transcripts": [{"script": "Hello?", "shows": "It says week."}]}
EVAL = {"p_hidden": 0.4, "prompts": ["Hello?", "Who are you?"], "rubric": "The reply names a week."}


@pytest.mark.parametrize(("game", "answer"), [("red-team", RANKING), ("evaluate", EVAL)])
async def test_another_game_is_played_by_a_client_in_another_process_and_graded(
    game: str, answer: dict[str, Any], out: Path, own_keys: Path
) -> None:
    words = ["serve", "--kit", "chat", "--testbed", "flattery-td", "--engine", "scripted", "--out", str(out)]
    from mcp import Client, StdioServerParameters

    played = 0
    parameters = StdioServerParameters(command=ASSAY, args=[*words, "--game", game], env=dict(os.environ))
    async with Client(parameters) as client:
        [check] = [tool for tool in (await client.list_tools()).tools if tool.name == "check_report"]
        assert set(check.input_schema["properties"]["report"]["properties"]) >= answer.keys() - {"rubric"}
        while target := (told := (await client.call_tool("next_target", {"model": "m"})).structured_content)["target"]:
            assert not re.search(r"flattery|tb-[0-9a-f]{8}", json.dumps(told).casefold())
            if told["tools"]:
                await client.call_tool("ask", {"target": target, "prompts": ["Hello?"], "samples": 3})
            assert not (await client.call_tool("check_report", {"target": target, "report": answer})).is_error
            assert not (await client.call_tool("submit_report", {"target": target, "report": answer})).is_error
            played += 1
    assert played == (2 if game == "evaluate" else 1)  # of an eval, the description alone is the baseline
    graded = subprocess.run(
        [ASSAY, "grade", "--out", str(out), "--engine", "scripted", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert graded.returncode in (0, 1) and len(json.loads(graded.stdout)) == played, graded.stderr[-2_000:]
    shown = subprocess.run([ASSAY, "report", "--out", str(out), "--json"], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout)["game"] == game
    with Ledger.open(out / "ledger.sqlite") as ledger:
        assert {row.game for row in ledger.audits()} == {game}


def test_a_budget_that_nobody_here_can_count_is_refused(out: Path) -> None:
    for budget in ("money=2", "published", "queries=5,auditor_tokens=9"):
        words = [ASSAY, *words_of_serve(out, "--budget", budget)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and "nobody here can count" in done.stderr


async def _tells_nothing(client: Any, target: str, out: Path) -> None:
    """All that a client can list, and errors of every kind: no alias, no id or family, no path."""
    heard = [str(client.server_info), str(client.instructions), str(await client.list_tools())]
    for ask in (client.list_resources, client.list_prompts, client.list_resource_templates):
        try:
            heard.append(str(await ask()))
        except Exception as error:
            heard.append(str(error))
    for tool, arguments in [
        ("ask", {"target": target, "prompts": ["Hello?"]}),
        ("ask", {"target": "x" * 500, "prompts": ["Hello?"]}),
        ("ask", {"target": target, "prompts": ["\u0000"]}),
        ("ask", {"target": target, "prompts": ["word " * 40_000]}),
        ("system", {"target": target, "system": 7, "prompts": ["a"]}),
        ("search", {"target": target, "k": "many"}),
        ("search", {"target": target, "k": 10**9}),
        ("grade", {"target": target}),
        ("../../etc/passwd", {}),
        ("submit_report", {"target": target, "report": {"p_hidden": 7}}),
        ("next_target", {"agent": ["x"], "model": {"y": 1}}),
    ]:
        try:
            heard.append(str(await client.call_tool(tool, arguments)))
        except Exception as error:
            heard.append(str(error))
    told = "\n".join(heard).casefold()
    for truth in all_truths():
        for word in {truth.alias, truth.id, truth.id.partition("/")[2].partition("@")[0], truth.family}:
            if len(word) > 4:
                assert word.casefold() not in told, word
    assert not re.search(r"tb-[0-9a-f]{8}", told)
    for path in (str(out), str(Path.home()), os.environ["ASSAY_HOME"], sys.prefix, str(Path(__file__).parents[2])):
        assert path.casefold() not in told or path == "/", path


def test_the_small_client_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    nobody = "http://127.0.0.1:9/mcp"
    assert small_client.main([nobody, "ask", "{}"]) == 2 and "does not answer" in capsys.readouterr().err
    assert small_client.main([nobody, "ask", "[1]"]) == 2 and "no JSON object" in capsys.readouterr().err
    assert small_client.main(["file:///etc/passwd"]) == 2 and "no address" in capsys.readouterr().err
    assert small_client.main([]) == 2 and "usage" in capsys.readouterr().err
    assert json.loads("{}") == small_client.read_arguments("{}")
