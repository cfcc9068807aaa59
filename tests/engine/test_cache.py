"""Replies are kept by content, for every process; a cache that breaks costs time, never an audit."""

import functools
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assay.core.edit import Noise
from assay.core.target import Reply
from assay.core.testbed import TargetSpec
from assay.engine import cache as cache_module
from assay.engine.base import find_base
from assay.engine.cache import ReplyCache
from assay.engine.local.engine import LocalEngine
from assay.engine.local.queue import Request

REPLY = Reply("Bonjour ☀", 3, "length")


def test_what_was_put_is_there_after_reopening(tmp_path: Path) -> None:
    first = ReplyCache(tmp_path / "deep" / "replies.sqlite")
    assert first.get("key") is None
    first.put("key", REPLY)
    second = ReplyCache(tmp_path / "deep" / "replies.sqlite")  # beside the open one
    assert second.get("key") == REPLY
    first.close()
    assert first.get("key") is None
    second.close()


def test_the_first_reply_of_a_key_stays(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    cache.put("key", REPLY)
    cache.put("key", Reply("another", 1))
    assert cache.get("key") == REPLY
    cache.close()


def test_none_keeps_nothing() -> None:
    cache = ReplyCache(None)
    cache.put("key", REPLY)
    assert cache.get("key") is None
    cache.close()


def test_a_file_that_is_no_database_is_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    path.write_text("no database at all, but long enough to be looked at " * 40)
    cache = ReplyCache(path)
    cache.put("key", REPLY)
    assert cache.get("key") == REPLY
    cache.close()


def test_many_threads_share_one(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: cache.put(f"key {number % 50}", Reply(str(number % 50), 1)), range(400)))
    assert all(cache.get(f"key {number}") == Reply(str(number), 1) for number in range(50))
    cache.close()


def test_too_many_replies_lose_a_tenth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "replies.sqlite"
    cache = ReplyCache(path)
    for number in range(30):
        cache.put(f"key {number}", REPLY)
    cache.close()
    monkeypatch.setattr(cache_module, "MAX_REPLIES", 20)
    ReplyCache(path).close()
    database = sqlite3.connect(path)
    assert database.execute("SELECT count(*) FROM replies").fetchone() == (27,)
    database.close()


async def test_the_engine_samples_a_request_once(
    tiny: Path, spec: TargetSpec, tmp_path: Path, count_submitted: Callable[[LocalEngine], list[int]]
) -> None:
    """Whatever could change the reply is in the key; asking for more samples adds to those that are there."""
    engine = LocalEngine(find_base(str(tiny)), ReplyCache(tmp_path / "replies.sqlite"), threads=1)
    submitted = count_submitted(engine)
    try:
        async with engine.open(spec) as target:
            first = await target.chat("Hello", n=2, max_tokens=8)
            assert await target.chat("Hello", n=2, max_tokens=8) == first  # the cost, too
            assert (await target.chat("Hello", n=3, max_tokens=8)).texts[:2] == first.texts
            assert submitted == [2, 0, 1]
            for changed in ({"max_tokens": 9}, {"temperature": 0.5}, {"seed": 1}):
                await target.chat("Hello", **{"max_tokens": 8, **changed})
            async with target.intervene(Noise(1, 1.0)) as view:
                await view.chat("Hello", max_tokens=8)
            assert submitted[3:] == [1, 1, 1, 1]
    finally:
        engine.close()


def test_the_key_of_a_request_is_what_it_was_when_replies_were_kept() -> None:
    """A key that changes without need throws away every reply a user has kept. Raise `NUMERICS` instead."""
    engine = SimpleNamespace(base=SimpleNamespace(digest="b" * 64), _numerics="local/4/float32/cpu")
    adapter = SimpleNamespace(digest="a" * 64)
    edited = Request((1, 2, 3), adapter, 48, 0.7, 5, 1, (Noise(2, 0.3, seed=4),))
    assert LocalEngine._key(engine, edited) == "b23acf1746edb0792d53eb4fbc39746b0c44120c1b77a3063304b8ad889fc801"
    greedy = Request((1, 2, 3), None, 8, 0, 0, 0)
    assert LocalEngine._key(engine, greedy) == "c8fddc9065038b86cc2e12b504ed4952906c4334d6e46aaae27ddb02994ad9c8"


def test_a_long_run_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "MAX_REPLIES", 20)
    monkeypatch.setattr(cache_module, "_TRIM_EVERY", 10)
    path = tmp_path / "replies.sqlite"
    cache = ReplyCache(path)
    for number in range(200):
        cache.put(f"key {number}", REPLY)
    cache.close()
    database = sqlite3.connect(path)
    assert database.execute("SELECT count(*) FROM replies").fetchone()[0] <= 100
    database.close()


def test_a_locked_database_is_left_to_those_who_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "replies.sqlite"
    first = ReplyCache(path)
    first.put("key", REPLY)
    connect = sqlite3.connect

    def impatient(*arguments: object, **settings: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(sqlite3, "connect", impatient)
    second = ReplyCache(path)
    monkeypatch.setattr(sqlite3, "connect", connect)
    assert second.get("key") is None
    second.put("other", REPLY)
    second.close()
    assert first.get("key") == REPLY
    first.close()


def test_a_database_that_another_process_is_opening_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = ["database is locked"] * 3

    class Busy(sqlite3.Connection):
        def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
            if "journal_mode" in statement and refusals:
                raise sqlite3.OperationalError(refusals.pop())
            return super().execute(statement, *arguments)

    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Busy))
    cache = ReplyCache(tmp_path / "replies.sqlite")
    cache.put("key", REPLY)
    assert not refusals and cache.get("key") == REPLY
    cache.close()


WRITER = """
import sys
from pathlib import Path
from assay.core.target import Reply
from assay.engine.cache import ReplyCache
cache = ReplyCache(Path(sys.argv[1]))
for number in range(150):
    cache.put(f"{sys.argv[2]} {number}", Reply(str(number), 1))
    assert cache.get(f"{sys.argv[2]} {number}") == Reply(str(number), 1)
cache.close()
"""


def test_many_processes_share_one(tmp_path: Path) -> None:
    path = str(tmp_path / "replies.sqlite")
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, str(number)]) for number in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    cache = ReplyCache(Path(path))
    assert all(cache.get(f"{who} {number}") == Reply(str(number), 1) for who in range(4) for number in range(150))
    cache.close()
