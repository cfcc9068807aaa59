"""What `prepare` made is made once: by several processes, after a kill, for tools that prepare the same."""

import asyncio
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from assay.audits.prepared import PreparedStore, Subject
from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import Prepared, tool
from assay.engine.scripted import ScriptedTarget

PLUGIN = """
import asyncio, sys, time
from pathlib import Path
from assay.audits.prepared import PreparedStore, Subject
from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import Prepared, tool
from assay.engine.scripted import ScriptedTarget

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])

async def slow(target: Target, workdir: Path) -> dict:
    with (folder / "builds").open("a") as builds:
        builds.write("one ")
    (folder / "begun").touch()
    await asyncio.sleep(seconds)
    return {"reply": (await target.chat("Hello")).text}

@tool(needs={Access.CHAT}, prepare=slow)
async def slowly(target: Target, data: Prepared) -> str:
    '''Tell what was prepared for this target.'''
    return data.value["reply"]

value, made = asyncio.run(PreparedStore(folder / "kept").get(slowly, Subject(ScriptedTarget(), "digest")))
print(value.value["reply"], made.digest)
"""


def start(folder: Path, seconds: float) -> subprocess.Popen[str]:
    script = folder / "code" / "plugin.py"  # apart from the files that it names, which would be a part of it
    script.parent.mkdir(exist_ok=True)
    script.write_text(PLUGIN, encoding="utf-8")
    command = [sys.executable, str(script), str(folder), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def builds(folder: Path) -> int:
    return (folder / "builds").read_text(encoding="utf-8").count("one")


@pytest.mark.attacks
def test_two_processes_at_once_prepare_once(tmp_path: Path) -> None:
    running = [start(tmp_path, 1.0) for _ in range(3)]
    told = {process.communicate(timeout=60)[0] for process in running}
    assert len(told) == 1 and not any(process.returncode for process in running)
    assert builds(tmp_path) == 1
    assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".prepared"]


@pytest.mark.attacks
def test_a_process_killed_while_it_prepares_holds_up_nobody_and_leaves_nothing(tmp_path: Path) -> None:
    first = start(tmp_path, 60.0)
    until = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < until:
        time.sleep(0.05)
    second = start(tmp_path, 0.0)
    first.kill()
    first.communicate()
    told, _ = second.communicate(timeout=60)
    assert told and second.returncode == 0
    assert builds(tmp_path) == 2
    assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".prepared"]


MADE: list[str] = []


async def shared(target: Target, workdir: Path) -> dict[str, str]:
    MADE.append("shared")
    return {"reply": (await target.chat("Hello")).text}


@tool(needs={Access.CHAT}, prepare=shared)
async def one(target: Target, data: Prepared) -> str:
    """Tell what was prepared for this target."""
    return str(data.value["reply"])


@tool(needs={Access.CHAT}, prepare=shared)
async def other(target: Target, data: Prepared) -> str:
    """Tell what was prepared for this target, in another way."""
    return str(data.value["reply"]).upper()


@tool(needs={Access.CHAT, Access.TRAINING_DATA}, prepare=shared)
async def with_more_access(target: Target, data: Prepared) -> str:
    """Tell what was prepared with the training data at hand."""
    return str(data.value["reply"])


async def test_tools_that_prepare_the_same_share_it(tmp_path: Path) -> None:
    MADE.clear()
    store, subject = PreparedStore(tmp_path), Subject(ScriptedTarget(), "digest")
    found = await asyncio.gather(store.get(one, subject), store.get(other, subject))
    assert MADE == ["shared"] and found[0] == found[1]
    await store.get(one, Subject(ScriptedTarget(), "another"))
    assert len(MADE) == 2


@pytest.mark.attacks
async def test_what_was_prepared_with_more_access_reaches_no_tool_with_less(tmp_path: Path) -> None:
    MADE.clear()
    store, subject = PreparedStore(tmp_path), Subject(ScriptedTarget(), "digest")
    await store.get(with_more_access, subject)
    await store.get(one, subject)
    assert len(MADE) == 2


@pytest.mark.attacks
async def test_functions_of_one_name_made_elsewhere_share_nothing(tmp_path: Path) -> None:
    def making(word: str):  # type: ignore[no-untyped-def]
        async def shared(target: Target, workdir: Path) -> str:
            return word

        return shared

    store, subject = PreparedStore(tmp_path), Subject(ScriptedTarget(), "digest")
    first, _ = await store.get(replace(one, prepare=making("first")), subject)
    second, _ = await store.get(replace(other, prepare=making("second")), subject)
    assert (first.value, second.value) == ("first", "second")
