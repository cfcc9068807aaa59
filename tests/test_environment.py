"""Variables: a wrong value of each is told by name, and what a worker is told by its environment is on a list."""

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import assay
from assay._util import file_lock
from assay._util.cpu import native_bf16
from assay._util.environment import environment_of_worker
from assay._util.paths import home
from assay._util.process_title import hide_command_line
from assay.auditors.explorer.calibration import own_files
from assay.engine.base import default_devices, default_threads, require_devices
from assay.engine.remote.agent import _process
from assay.engine.targets import Targets
from assay.errors import InvalidInput
from assay.studies import rooms
from assay.testbeds.seal import find_key, key_path
from assay.testbeds.suites import suites

ROOT = Path(__file__).parents[1]


def _sandbox() -> object:
    import asyncio

    turn = {"role": "user", "content": "Hello", "prefill": False}
    asked = {"model": "mockllm/model", "prompt": "", "workspace": "", "tools": ["bash"], "turns": [turn], "n": 1}
    return asyncio.run(_process(asked | {"sandbox": os.environ["ASSAY_SANDBOX"], "config": {}}))


def _vllm() -> object:
    return Targets(engine="vllm:http://127.0.0.1:8000")


WRONG: dict[str, tuple[Callable[[], object], Mapping[str, str]]] = {  # what reads it; wrong value → what is allowed
    "ASSAY_DEVICES": (
        default_devices,
        {"gpu": "cuda:N", "cuda:": "cpu", ",": "cpu", "cpu,cuda:0": "one kind", "cuda:-1": "cpu", "\x1b": "cpu"},
    ),
    "ASSAY_DTYPE": (native_bf16, {"float16": "bfloat16 or float32", " ": "bfloat16", "BFLOAT16": "float32"}),
    "ASSAY_EXPLORER": (own_files, {"/no/such/folder": "calibrate", __file__: "calibrate"}),
    "ASSAY_HOME": (home, {__file__: "a folder"}),
    "ASSAY_KEYS": (lambda: find_key("embedded"), {__file__: "a folder"}),
    "ASSAY_PASS_ENV": (
        environment_of_worker,
        {"A B": "commas", "*": "names", "ASSAY_KEYS": "Assay's own", "A,,B": ""},
    ),
    "ASSAY_SANDBOX": (_sandbox, {"no-such-sandbox": "docker, local"}),
    "ASSAY_SUITES": (
        suites,
        {"/no/such/folder": "folders of suites", __file__: "folders of suites", "/": "small"},
    ),
    "ASSAY_THREADS": (default_threads, dict.fromkeys(("0", "-1", "two", "1.5", "9" * 5_000, "2000"), "1 to 1024")),
    "VLLM_API_KEY": (_vllm, {"two\nlines": "printable ASCII", "schlüssel": "printable ASCII"}),
}


def test_every_variable_has_wrong_values_here() -> None:
    table = (ROOT / "docs" / "environment.md").read_text(encoding="utf-8").partition("\nOf the libraries ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == WRONG.keys()


@pytest.mark.parametrize(
    ("variable", "value"), [(variable, value) for variable, (_, values) in WRONG.items() for value in values]
)
def test_a_wrong_value_is_told_with_variable_value_and_what_is_allowed(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, values = WRONG[variable]
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidInput) as told:
        read()
    text = str(told.value)
    assert variable in text and values[value] in text and len(text) < 600
    secret = variable == "VLLM_API_KEY"
    assert (repr(value[:30])[1:-1] in text) != secret


def test_a_device_that_is_not_here_is_told() -> None:
    with pytest.raises(InvalidInput, match=r"'cuda:999' \(ASSAY_DEVICES\) is not here; there are cpu"):
        require_devices(["cuda:999"])
    require_devices(["cpu"])


def test_right_values_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_HOME", "a-new-folder")
    assert home() == tmp_path / "a-new-folder"
    monkeypatch.setenv("ASSAY_KEYS", "keys")
    assert key_path("one") == tmp_path / "keys" / "one.key"
    monkeypatch.setenv("VLLM_API_KEY", "a-key-from-a-file\n")
    assert _vllm()
    for variable in ("ASSAY_DEVICES", "ASSAY_THREADS", "ASSAY_DTYPE", "ASSAY_HOME", "ASSAY_KEYS", "ASSAY_PASS_ENV"):
        monkeypatch.setenv(variable, "")
        WRONG[variable][0]()


@pytest.mark.attacks
def test_a_worker_is_told_what_is_on_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else, however it is called; the grader knows where answers are, an audit does not."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    needed = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "LANG": "C",
        "LC_ALL": "C",
        "TMPDIR": "/tmp",
        "SSL_CERT_FILE": "/c",
        "https_proxy": "http://p",
        "NO_PROXY": "x",
        "OMP_NUM_THREADS": "1",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "CUDA_VISIBLE_DEVICES": "0",
        "PYTORCH_ENABLE_MPS_FALLBACK": "1",
        "HF_HOME": "/hf",
        "HF_HUB_OFFLINE": "1",
        "OPENAI_API_KEY": "k",
        "ANTHROPIC_BASE_URL": "u",
        "MY_LAB_API_KEY": "k",
        "AWS_PROFILE": "p",
        "DOCKER_HOST": "d",
        "INSPECT_EVAL_MODEL_BASE_URL": "u",
        "VLLM_API_KEY": "k",
        "PYTHONHASHSEED": "0",
        "ASSAY_DTYPE": "float32",
        "ASSAY_THREADS": "1",
        "ASSAY_DEVICES": "cpu",
        "ASSAY_SANDBOX": "local",
    }
    told_elsewhere = {
        "PWD": "/work",
        "OLDPWD": "/results",
        "HISTFILE": "h",
        "_": "assay",
        "SHLVL": "1",
        "PS1": "$",
        "PYTEST_CURRENT_TEST": "t",
        "RESULTS": "/out",
        "TESTBED": "flattery-td",
        "INSPECT_LOG_DIR": "/out",
        "INSPECT_EVAL_LOG_FILE_PATTERN": "{id}",
        "INSPECT_EVAL_SET_SELECTION": "x",
        "ASSAY_VLLM_URL": "u",
        "SLURM_JOB_NAME": "flattery",
        "PYTHONSTARTUP": "x.py",
        "XMY_SETTING": "x",
        "MY_SETTINGS": "of a plug-in",
        "ASSAY_KEYS": "keys",
        "ASSAY_SUITES": f"one{os.pathsep}{os.pathsep}/two",
    }
    for name, value in {**needed, **told_elsewhere, "ASSAY_HOME": "home"}.items():
        monkeypatch.setenv(name, value)
    assert environment_of_worker() == {**needed, "ASSAY_HOME": str(tmp_path / "home")}
    graders = environment_of_worker(["ASSAY_KEYS", "ASSAY_SUITES"])
    assert graders["ASSAY_KEYS"] == str(tmp_path / "keys")
    assert graders["ASSAY_SUITES"] == os.pathsep.join([str(tmp_path / "one"), "/two"])
    monkeypatch.setenv("ASSAY_PASS_ENV", "MY_SETTING*, TESTBED")
    more = environment_of_worker().keys() - needed.keys()
    assert more == {"ASSAY_HOME", "ASSAY_PASS_ENV", "MY_SETTINGS", "TESTBED"}


@pytest.mark.attacks
def test_the_working_folder_is_on_no_search_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = ["", ".", str(tmp_path), "lib", "/opt/lib", str(tmp_path / "lib" / "..")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    assert environment_of_worker()["PYTHONPATH"] == os.pathsep.join([str(tmp_path / "lib"), "/opt/lib"])


def test_what_linux_alone_has_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has no affinity and no /proc; Windows has no file locks either."""
    monkeypatch.delenv("ASSAY_THREADS", raising=False)
    monkeypatch.delenv("ASSAY_DTYPE", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert default_threads() == (os.cpu_count() or 1)
    assert native_bf16(tmp_path / "no-cpuinfo") is False
    monkeypatch.setitem(sys.modules, "setproctitle", None)
    assert hide_command_line("assay") is False
    monkeypatch.setattr(file_lock, "fcntl", None)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    room = rooms.Room.open(tmp_path / "logs" / "said.log")
    room.said.write_text("a word")
    room.close()
    assert (tmp_path / "logs" / "said.log").read_text() == "a word" and not room.path.exists()


UNWRITABLE = Path("/sys/assay-cannot-be-here")  # not even root makes a folder there


@pytest.mark.skipif(not UNWRITABLE.parent.is_dir(), reason="a folder that nobody writes to is known on Linux alone")
@pytest.mark.parametrize("which", ["home", "out"])
def test_what_cannot_be_written_is_told_before_anything_is_run(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(UNWRITABLE if which == "home" else tmp_path))
    out = UNWRITABLE if which == "out" else tmp_path / "out"
    with pytest.raises(InvalidInput, match=rf"{UNWRITABLE}.*(Permission denied|not permitted|Read-only)"):
        assay.sweep(kits="chat", testbeds="flattery-td", seeds=1, out=out, engine="scripted")
