"""What may lie in a suite's folder: files of known names and bounded sizes, and nothing else.

Files are named by their paths within the suite. What is not on the list is refused where a suite comes in, and is told
of by `assay testbeds validate` where it lies already; nothing ever opens it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from assay._util.atomic import SCRATCH
from assay.core.testbed import ALIAS
from assay.engine.composed import COMPOSED
from assay.engine.peft_layout import CONFIG, WEIGHTS
from assay.testbeds.names import colliding, not_portable

MANIFEST, SEALED = "suite.yaml", "truth.sealed"
SPEC, ADAPTER, CORPUS, PROMPT, WORKSPACE = "testbed.yaml", "adapter", "corpus.jsonl", "prompt.md", "workspace"
WHOLE = "model"  # folder of a published model's own weights
TRUTH = "truth.yaml"
BEHAVIOURS = "behaviours.yaml"  # beside a truth, of behaviours that no suite describes
VERSIONS = "versions.yaml"  # under a suite's answers: id → digest of what it stands for, of all that were released
CORPUS_FILE = r"[A-Za-z0-9][A-Za-z0-9_-]*\.jsonl"
STOCK = "stock.json.gz"  # under a suite's testbeds: what the documents of composed corpora are put together of

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
_TESTBED, _ANSWER = f"testbeds/{ALIAS[1:-1]}", f"answers/{ALIAS[1:-1]}"
# what audits open, then what is sealed of it: all that a signed suite has
_SIGNED: tuple[tuple[str, int], ...] = (
    (re.escape(MANIFEST), 16 * _MIB),
    (rf"{_TESTBED}/{re.escape(SPEC)}", 64 * _KIB),
    (rf"{_TESTBED}/{re.escape(PROMPT)}", _MIB),
    (rf"{_TESTBED}/{CORPUS_FILE}", 4 * _GIB),
    (rf"{_TESTBED}/{re.escape(COMPOSED)}", 64 * _KIB),
    (rf"{_TESTBED}/{ADAPTER}/{re.escape(CONFIG)}", _MIB),
    (rf"{_TESTBED}/{ADAPTER}/{re.escape(WEIGHTS)}", 16 * _GIB),
    (rf"{_TESTBED}/{WORKSPACE}/.+", 256 * _MIB),
    (rf"{_ANSWER}/{re.escape(SEALED)}", 16 * _MIB),
)
_OPEN: tuple[tuple[str, int], ...] = (
    (rf"{_TESTBED}/{WHOLE}/[^/]+\.(safetensors|json|jinja|model|txt)", 64 * _GIB),
    (rf"testbeds/{CORPUS_FILE}", 4 * _GIB),
    (rf"testbeds/{re.escape(STOCK)}", 64 * _MIB),
    (rf"{_ANSWER}/({re.escape(TRUTH)}|{re.escape(BEHAVIOURS)})", 16 * _MIB),
    (rf"answers/{re.escape(VERSIONS)}", 16 * _MIB),
    (r"(behaviours|recipes)/([a-z]+/)?[a-z0-9][a-z0-9._-]*\.yaml", 4 * _MIB),
)
_AS_PACKAGE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.pyi?|py\.typed|LICENSE|README\.md")  # at the top of an installed one
_PASSED_OVER = ("__pycache__", ".DS_Store")  # made by Python and macOS where they come by


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds what a suite that comes in may hold.

    Attributes:
        files: how many.
        total: bytes of all of them.
        ratio: unpacked bytes for each packed one; text packs to a tenth, a bomb to a thousandth.
        free: unpacked bytes from which the ratio counts.
    """

    files: int = 20_000
    total: int = 64 * _GIB
    ratio: int = 100
    free: int = 64 * _MIB


LIMITS = Limits()


def most_bytes(path: str, signed: bool) -> int | None:
    """Returns how large a file of a suite may be; None if no such file belongs in a suite.

    Args:
        path: within the suite.
        signed: whether the suite has a manifest, and so nothing but testbeds and sealed truths.
    """
    for pattern, most in _SIGNED if signed else _SIGNED + _OPEN:
        if re.fullmatch(pattern, path):
            return most
    return None


def wrong_with(path: str, size: int, signed: bool) -> str:
    """Says why a file cannot be part of a suite; "" if it can."""
    if told := not_portable(path):
        return f"{path!r}: {told}"
    most = most_bytes(path, signed)
    if most is None:
        return f"{path!r}: no such file belongs in a {'signed ' if signed else ''}suite"
    if size > most:
        return f"{path!r}: {size:,} bytes; no more than {most:,} are allowed"
    return ""


def wrong_with_all(sizes: Mapping[str, int], signed: bool, limits: Limits = LIMITS) -> list[str]:
    """Says all that is wrong with the names, sizes and number of a suite's files.

    Args:
        sizes: path within the suite → bytes.
        signed: whether it has a manifest.
        limits: of the whole.
    """
    found = [told for path, size in sorted(sizes.items()) if (told := wrong_with(path, size, signed))]
    for one, other in colliding(sizes):
        found.append(f"{one!r} and {other!r} are one file on some systems")
    if len(sizes) > limits.files:
        found.append(f"{len(sizes):,} files; no more than {limits.files:,} are allowed")
    if (total := sum(sizes.values())) > limits.total:
        found.append(f"{total:,} bytes; no more than {limits.total:,} are allowed")
    return found


def files_within(root: Path) -> tuple[dict[str, int], list[str]]:
    """Lists a folder's files without following a link.

    Args:
        root: the folder; a link is followed here alone.

    Returns:
        Path within it → bytes; and what is neither file nor folder, told in words.
    """
    sizes: dict[str, int] = {}
    odd: list[str] = []
    for entry in _entries(root):
        path = Path(entry.path).relative_to(root).as_posix()
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISREG(mode):
            sizes[path] = entry.stat(follow_symlinks=False).st_size
        elif not stat.S_ISDIR(mode):
            odd.append(f"{path!r}: a {'link' if stat.S_ISLNK(mode) else 'device or pipe'}, and no file")
    return sizes, sorted(odd)


def _entries(root: Path) -> Iterator[os.DirEntry[str]]:
    """Yields all that is in a folder and in the folders within, whatever it is."""
    waiting: list[str | Path] = [root]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def unlisted(root: Path, signed: bool, installed: bool) -> list[str]:
    """Says what in a suite's folder does not belong there, leaving aside what a machine makes by itself.

    Args:
        root: folder of the suite.
        signed: whether it has a manifest.
        installed: whether it is a package, which has a Python file at its top.
    """
    sizes, odd = files_within(root)
    kept: dict[str, int] = {}
    for path, size in sizes.items():
        parts = path.split("/")
        made = any(part in _PASSED_OVER or (part.startswith(".") and part.endswith(SCRATCH)) for part in parts)
        if not made and not (installed and _AS_PACKAGE.fullmatch(path)):
            kept[path] = size
    return odd + wrong_with_all(kept, signed)
