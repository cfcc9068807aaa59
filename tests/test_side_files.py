"""Files beside ledgers and under ASSAY_HOME: a broken one is made anew where it can be, and said where it cannot."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from assay.auditors.explorer.calibration import (
    UNCALIBRATED,
    load_background,
    load_calibration,
    write_background,
    write_calibration,
)
from assay.audits.prepared import PreparedStore, Subject
from assay.core.access import Access
from assay.core.target import Cost, Reply, Target
from assay.core.tool import Evidence, Prepared, tool
from assay.engine.cache import ReplyCache
from assay.engine.scripted import ScriptedTarget
from assay.errors import InvalidInput
from assay.factory.data.author import _keep, _kept
from assay.factory.generate.suite import _State
from assay.factory.train.train import _checkpoint, _resume
from assay.testbeds.seal import find_key, key_path, new_key
from assay.testbeds.suites import embedded_suite
from assay.testbeds.truths import _measured_path, all_truths, keep_measured
from assay.truth import Difficulty

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "garbled": lambda content: bytes(byte ^ 0xA5 for byte in content),
    "another's": lambda _: b'["something else"]\n',
}


@pytest.fixture(params=DAMAGES.values(), ids=DAMAGES)
def damage(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    def broken(path: Path) -> None:
        path.write_bytes(request.param(path.read_bytes()))

    return broken


Damage = Callable[[Path], None]
pytestmark = pytest.mark.attacks


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    monkeypatch.delenv("ASSAY_KEYS", raising=False)
    return tmp_path


def test_what_was_measured_here(home: Path, damage: Damage) -> None:
    """One broken card must not take every command with it; the shipped one is shown until it is measured again."""
    suite = embedded_suite()
    before = all_truths(suite)
    path = _measured_path(suite, before[0].alias)
    keep_measured(before[0], suite, difficulty=[Difficulty(auditor="a", kit="k", audits=2, found=1)])
    assert all_truths(suite) != before
    damage(path)
    assert all_truths(suite) == before
    keep_measured(before[0], suite, difficulty=[Difficulty(auditor="b", kit="k", audits=2, found=1)])
    assert all_truths(suite)[0].difficulty[0].auditor == "b"


BUILT: list[int] = []


def count(target: Target, workdir: Path) -> dict[str, int]:
    BUILT.append(1)
    return {"built": len(BUILT)}


@tool(needs={Access.CHAT}, prepare=count)
async def counted(target: Target, data: Prepared) -> Evidence:
    """Tell what was prepared."""
    return Evidence(str(data))


async def test_prepared_values(home: Path, damage: Damage) -> None:
    BUILT.clear()
    subject = Subject(ScriptedTarget(), "digest")
    first, _ = await PreparedStore(home).get(counted, subject)
    [path] = home.glob("*.prepared")
    again, _ = await PreparedStore(home).get(counted, subject)
    assert first.value == again.value == {"built": 1}
    damage(path)
    anew, _ = await PreparedStore(home).get(counted, subject)
    assert anew.value == {"built": 2}
    assert (await PreparedStore(home).get(counted, subject))[0].value == {"built": 2}


def test_replies(home: Path, damage: Damage) -> None:
    path = home / "replies.sqlite"
    cache = ReplyCache(path)
    cache.put("key", Reply("Hello.", 2))
    cache.close()
    damage(path)
    again = ReplyCache(path)
    assert again.get("key") in (None, Reply("Hello.", 2))
    again.put("key", Reply("Hello.", 2))
    again.close()
    assert ReplyCache(path).get("key") == Reply("Hello.", 2)


def test_training_checkpoints(home: Path, damage: Damage) -> None:
    restored: list[object] = []
    trainer: Any = SimpleNamespace(state=lambda: {"weights": torch.ones(3)}, restore=restored.append)
    _checkpoint(home, "key", [0.5, 0.4], trainer)
    assert _resume(home, "key", trainer) == [0.5, 0.4] and len(restored) == 1
    damage(home / "checkpoint.pt")
    assert _resume(home, "key", trainer) == [] and len(restored) == 1


def test_what_an_author_wrote(home: Path, damage: Damage) -> None:
    store = home / "written.jsonl"
    for text in ("one", "two"):
        _keep(store, "prompts", [text], Cost(1, 2, 3))
    assert _kept(store) == ({"prompts": {"one": None, "two": None}}, Cost(2, 4, 6))
    damage(store)
    kept, cost = _kept(store)
    assert kept.get("prompts", {}).keys() <= {"one", "two"}
    _keep(store, "prompts", ["three"], Cost(1, 2, 3))
    again, dearer = _kept(store)
    assert again == {"prompts": {**kept.get("prompts", {}), "three": None}}, "a broken line takes no other with it"
    assert dearer == cost + Cost(1, 2, 3)


def test_a_workshop(home: Path, damage: Damage) -> None:
    order: Any = SimpleNamespace(workshop=SimpleNamespace(root=home / "workshop"), held_back=None, seed="", tier=0)
    seed = _State(order).seed
    assert _State(order).seed == seed
    damage(home / "workshop" / "state.json")
    with pytest.raises(InvalidInput, match=r"is damaged, .* Restore the file, or"):
        _State(order)


def test_keys(home: Path, damage: Damage) -> None:
    new_key("mine")
    assert find_key("mine")
    damage(key_path("mine"))
    with pytest.raises(InvalidInput, match=r"not a key .* Restore it"):
        find_key("mine")


def test_half_a_key_keeps_no_whole_one_from_being_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("assay.testbeds.seal.secrets.token_hex", full)
        with pytest.raises(OSError, match="No space"):
            new_key("mine")
    assert find_key("mine") is None and new_key("mine").is_file()


def test_the_explorers_background_and_calibration(home: Path, damage: Damage) -> None:
    background, calibration = home / "background.jsonl", home / "calibration.json"
    write_background([{"prompt": "How are you?", "reply": "Well, thank you."}], background)
    write_calibration(UNCALIBRATED, calibration)
    assert json.loads(calibration.read_text(encoding="utf-8"))
    damage(background)
    damage(calibration)
    with pytest.raises(InvalidInput, match=str(background)):
        load_background(background)
    with pytest.raises(InvalidInput, match=str(calibration)):
        load_calibration(calibration)
