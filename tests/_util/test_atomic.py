"""Whole or not at all: a failure at any moment leaves what was there, and nothing else."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assay._util import atomic
from assay.errors import InvalidInput


def _disk_full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _holds_alone(folder: Path, name: str) -> bool:
    return [path.name for path in folder.iterdir()] == [name]


def test_text_bytes_and_json_are_written_with_their_folder(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "a" / "b" / "text", "é\n")
    atomic.write_bytes(tmp_path / "bytes", b"\x00")
    atomic.write_json(tmp_path / "json", {"é": [1, None]})
    assert (tmp_path / "a" / "b" / "text").read_bytes() == "é\n".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\x00"
    assert (tmp_path / "json").read_text(encoding="utf-8") == '{\n "é": [\n  1,\n  null\n ]\n}\n'


def test_a_file_that_is_written_once_stays_as_the_first_one_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "file"
    assert atomic.write_once(path, b"first", mode=0o600) and not atomic.write_once(path, b"second")
    assert path.read_bytes() == b"first" and path.stat().st_mode & 0o777 == 0o600
    assert _holds_alone(path.parent, "file")
    monkeypatch.setattr(os, "link", _disk_full)
    with pytest.raises(InvalidInput, match=r"other cannot be written: No space left on device\."):
        atomic.write_once(path.parent / "other", b"third")
    assert _holds_alone(path.parent, "file")


def test_a_full_disk_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    atomic.write_text(path, "old")
    monkeypatch.setattr(Path, "write_bytes", _disk_full)
    with pytest.raises(InvalidInput, match=r"file cannot be written: No space left on device\."):
        atomic.write_text(path, "new")
    assert path.read_text() == "old"
    assert _holds_alone(tmp_path, "file")


def test_a_failed_renaming_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    atomic.write_text(path, "old")
    monkeypatch.setattr(Path, "replace", _disk_full)
    with pytest.raises(InvalidInput, match="No space left"):
        atomic.write_text(path, "new")
    assert path.read_text() == "old"
    assert _holds_alone(tmp_path, "file")


def test_a_value_without_json_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic.write_json(path, 1)
    with pytest.raises(ValueError, match="JSON"):
        atomic.write_json(path, float("nan"))
    assert json.loads(path.read_text()) == 1
    assert _holds_alone(tmp_path, "file")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_block_leaves_the_old_file_alone(tmp_path: Path, interruption: type[BaseException]) -> None:
    path = tmp_path / "file"
    atomic.write_text(path, "old")
    with pytest.raises(interruption), atomic.new_file(path) as scratch:
        scratch.write_text("half")
        raise interruption
    assert path.read_text() == "old"
    assert _holds_alone(tmp_path, "file")


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic.write_text(path, "old")
    program = (
        "import os, signal, sys; from pathlib import Path; from assay._util.atomic import new_file\n"
        "with new_file(Path(sys.argv[1])) as scratch:\n"
        "    scratch.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    [left] = [other.name for other in tmp_path.iterdir() if other != path]
    assert left.startswith(".file.") and left.endswith(atomic.SCRATCH)  # hidden, and known by its name


def test_a_folder_that_is_no_folder_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InvalidInput, match=r"taken cannot be made: File exists\."):
        atomic.write_text(tmp_path / "taken" / "file", "new")


def test_a_folder_without_write_permission_is_named_in_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    if os.geteuid() == 0:  # root may write anywhere
        monkeypatch.setattr(os, "open", refused)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InvalidInput, match=r"file cannot be written: Permission denied\."):
            atomic.write_text(tmp_path / "file", "new")
    finally:
        tmp_path.chmod(0o700)
    assert not list(tmp_path.iterdir())


def test_a_secret_is_its_owners_from_the_first_moment(tmp_path: Path) -> None:
    with atomic.new_file(tmp_path / "secret", mode=0o600) as scratch:
        assert scratch.stat().st_mode & 0o777 == 0o600
        scratch.write_text("key")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_the_umask_holds_for_what_is_no_secret(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        atomic.write_text(tmp_path / "file", "open")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_new_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    place = tmp_path / "suite"
    for content in ("old", "new"):
        with atomic.new_folder(place) as scratch:
            (scratch / content).write_text(content)
    assert [path.name for path in place.iterdir()] == ["new"]
    assert _holds_alone(tmp_path, "suite")


def test_a_folder_whose_making_fails_leaves_the_old_one(tmp_path: Path) -> None:
    place = tmp_path / "suite"
    with atomic.new_folder(place) as scratch:
        (scratch / "old").write_text("")
    with pytest.raises(InvalidInput, match="suite cannot be written: No space left"), atomic.new_folder(place):
        _disk_full()
    assert [path.name for path in place.iterdir()] == ["old"]
    assert _holds_alone(tmp_path, "suite")


def test_a_folder_that_cannot_be_moved_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, made = tmp_path / "suite", tmp_path / "made"
    place.mkdir()
    (place / "old").write_text("")
    made.mkdir()
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self == made:
            _disk_full()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(InvalidInput, match="suite cannot be written"):
        atomic.replace_folder(made, place)
    assert [path.name for path in place.iterdir()] == ["old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "suite"]
