"""A disk without room, without permission or gone: what was finished is kept, and nothing is left half-written."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assay.cli import main
from assay.core.target import Reply
from assay.engine.cache import ReplyCache
from assay.errors import AssayError, InvalidInput
from assay.studies import output
from assay.studies.ledger import Ledger
from assay.studies.output import PAGE, SUMMARY, write_results


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Lets no file of this process grow beyond some bytes: writing fails as it does where there is a quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.attacks
def test_a_ledger_without_room_keeps_what_it_has(tmp_path: Path, rows: SimpleNamespace) -> None:
    path = tmp_path / "ledger.sqlite"
    kept: list[str] = []
    refused = pytest.raises(AssayError, match="What was recorded is kept")
    with Ledger.open(path) as ledger, files_of_at_most(300_000), refused as caught:
        for index in range(200):
            row = rows.audit("chat", f"alias{index}", error="x" * 5_000)
            ledger.record(row)
            kept.append(row.run_key)
    assert not isinstance(caught.value, InvalidInput) and 10 < len(kept) < 200
    with Ledger.open(path) as again:
        assert again.have(kept) == set(kept)
        again.record(rows.audit("chat", "after"))  # there is room again
        assert len(again.audits()) == len(kept) + 1


@pytest.mark.attacks
def test_a_ledger_whose_folder_is_gone_says_so(tmp_path: Path, rows: SimpleNamespace) -> None:
    out = tmp_path / "runs"
    ledger = Ledger.open(out / "ledger.sqlite")
    shutil.rmtree(out)
    with pytest.raises(AssayError, match=r"ledger\.sqlite"):
        ledger.record(rows.audit("chat", "alias"))
    ledger.close()


@pytest.mark.attacks
def test_a_page_without_room_leaves_both_files_as_they_were(tmp_path: Path, rows: SimpleNamespace) -> None:
    summary = rows.summary(rows.sweep({"chat": [1.0] * 8}))
    write_results(summary, tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in (SUMMARY, PAGE)}
    assert len(before[SUMMARY]) < 20_000 < len(before[PAGE])
    with files_of_at_most(20_000), pytest.raises(InvalidInput, match=r"kept in the ledger: .*assay report --out"):
        write_results(summary.model_copy(update={"auditor": "another"}), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_page_that_cannot_be_drawn_leaves_both_files(
    tmp_path: Path, rows: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "page", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_results(rows.summary(rows.sweep({"chat": [1.0] * 8})), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_reply_cache_without_room_costs_no_reply(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    with files_of_at_most(200_000):
        for index in range(300):
            cache.put(str(index), Reply("x" * 4_000, 1))
            assert cache.get("never put") is None
    cache.close()
    again = ReplyCache(tmp_path / "replies.sqlite")
    assert again.get("0") == Reply("x" * 4_000, 1)
    again.close()


@pytest.mark.attacks
@pytest.mark.parametrize("content", [None, b"no database at all, and longer than a header of SQLite would be" * 4])
def test_a_reply_cache_that_cannot_be_made_is_none(tmp_path: Path, content: bytes | None) -> None:
    place = tmp_path / "home"
    if content is None:
        place.write_text("a file where the folder should be")
    else:
        place.mkdir()
        (place / "replies.sqlite").write_bytes(content)
    with files_of_at_most(100):
        cache = ReplyCache(place / "replies.sqlite")
        cache.put("a", Reply("b", 1))
        assert cache.get("a") is None
        cache.close()


def _full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/file")


@pytest.mark.attacks
def test_a_command_on_a_full_disk_says_so_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("assay.cli.app", _full)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("assay: /somewhere/file: No space left on device. What was finished is kept: make room")


def test_an_error_of_the_program_is_said_to_be_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise FileNotFoundError(errno.ENOENT, "no such file", "x")

    monkeypatch.setattr("assay.cli.app", broken)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "FileNotFoundError" in said and "a fault of Assay's own" in said


WORKER = """
import errno, os, sys
from assay._util.job_server import JobServer
server = JobServer()
async def answer(job):
    if job == "full":
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/logs/a.eval")
    server.tell("did", job)
server.run(answer)
"""


@pytest.mark.attacks
def test_a_worker_on_a_full_disk_tells_and_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKER], input='"full"\n"next"\n', capture_output=True, text=True, check=True
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["event"] for one in told] == ["error", "done", "did", "done"]
    assert told[0]["data"].startswith("/logs/a.eval: Disk quota exceeded. What was finished is kept")
