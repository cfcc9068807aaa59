"""What a plug-in is made of, found without running it: the identity of code from outside.

Of a plug-in file counts all that its import graph holds (`_util.import_graph`), and every other file of its folder and
of the folders in it: a plug-in may open any of them, by a name that it computes. Not counted are

- what version control, editors and caches keep (`_KEPT_BY_OTHERS`), compiled Python and virtual environments;
- the ledger, the logs and the results of sweeps that are written there.

Compiled Python is never read in place of a source that is counted: `registry` loads a plug-in's folder from source.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from assay._util.hashing import digest_of, sha256
from assay._util.import_graph import closure
from assay._util.paths import BEST_CONSTANT, DETAILS, EVIDENCE, LEDGER, LOGS, PAGE, SUMMARY, home
from assay._util.yaml_models import Data
from assay.errors import InvalidInput, PluginError

MOST_FILES = 2_000  # of a plug-in's folder, directories among them
MOST_BYTES = 2**30
_KEPT_BY_OTHERS = frozenset(
    {
        *(".git", ".hg", ".svn", ".venv", ".tox", ".nox", ".idea", ".vscode", ".ipynb_checkpoints"),
        *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".DS_Store"),
    }
)


class PluginSource(Data):
    """Identifies code from outside by its content.

    Attributes:
        name: file name, or the name and version of the installed package.
        path: of the file that is loaded; None for an installed package, which is loaded by its entry point.
        digest: SHA-256 over all that counts.
    """

    name: str
    path: Path | None
    digest: str

    @property
    def label(self) -> str:
        """Returns what a number made with it says of it."""
        return f"{self.name}@{self.digest[:12]}"

    def require_unchanged(self) -> None:
        """Stops where a plug-in file is not the one that was planned with.

        Raises:
            PluginError: it, or a file of its folder, was changed since.
        """
        if self.path is not None and file_source(self.path).digest != self.digest:
            raise PluginError(
                f"{self.path}: it, or a file of its folder, was changed while the sweep ran. Run the sweep again; what "
                f"does not depend on it is kept."
            )


def file_source(path: Path) -> PluginSource:
    """Identifies a plug-in file; nothing of it is run.

    Raises:
        InvalidInput: no such Python file, or a folder with more in it than can be counted.
        PluginError: a file of its import graph is not Python.
    """
    path = path.resolve()
    if not path.is_file() or path.suffix != ".py":
        raise InvalidInput(
            f"{path}: not a Python file; a plug-in is a .py file with tools (@tool) or auditors (@auditor)."
        )
    folder = path.parent
    # The file's own name too: where two files import one another, their graphs are the same.
    parts: list[object] = [path.name, closure(path).digest]
    try:
        parts += [[file.relative_to(folder).as_posix(), sha256(file)] for file in sorted(_counted(folder))]
    except OSError as error:
        raise InvalidInput(
            f"{error.filename} cannot be read ({error.strerror}); a plug-in counts with all files of its folder."
        ) from None
    return PluginSource(name=path.name, path=path, digest=digest_of(parts))


def installed_source(entry: metadata.EntryPoint) -> PluginSource:
    """Identifies what an installed package of other people's offers, by the import graph; nothing of it is run.

    Raises:
        PluginError: its file cannot be found, or is not Python.
    """
    top, *inner = entry.module.split(".")
    spec = find_spec(top)  # a top-level name: finding it runs nothing
    for depth in range(len(inner)):
        # By hand from here on: asked for `a.b`, importlib would import `a`.
        where = spec.submodule_search_locations if spec else None
        spec = PathFinder.find_spec(".".join([top, *inner[: depth + 1]]), where) if where else None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise PluginError(f"{entry.value}: there is no Python file of that module. Repair or uninstall its package.")
    owner = f"{entry.dist.name}-{entry.dist.version}" if entry.dist else entry.module
    parts = [owner, entry.value, closure(Path(spec.origin)).digest]
    return PluginSource(name=owner, path=None, digest=digest_of(parts))


def _counted(folder: Path) -> Iterator[Path]:
    """Walks over the files of a folder that count, as far as the limits."""
    entries = size = 0
    kept = home().resolve()
    waiting: list[tuple[Path, tuple[Path, ...]]] = [(folder, (folder.resolve(),))]
    while waiting:
        here, above = waiting.pop()
        for path in _entries(here):
            entries += 1
            if path.is_dir():
                inner = path.resolve()
                # A link back to where we came from leads round for ever; what Assay keeps changes while it runs.
                if inner not in (*above, kept) and not (path / "pyvenv.cfg").is_file():
                    waiting.append((path, (*above, inner)))
            elif path.is_file():  # no pipe, socket or device: reading one may never end
                size += path.stat().st_size
                yield path
            if entries > MOST_FILES or size > MOST_BYTES:
                raise InvalidInput(
                    f"{folder}: the folder of a plug-in counts with all its files, and this one holds more than "
                    f"{MOST_FILES:,} files or {MOST_BYTES // 2**20:,} MiB. Move the plug-in, with the data it reads, "
                    f"to a folder of its own."
                )


def _entries(folder: Path) -> Iterable[Path]:
    """Lists what counts in one folder; lazily, since there may be millions."""
    with os.scandir(folder) as found:
        results = (folder / LEDGER).is_file()
        for entry in found:
            if entry.name in _KEPT_BY_OTHERS or entry.name.endswith((".pyc", ".swp")):
                continue
            if not (results and _written_by_a_sweep(entry.name)):
                yield Path(entry.path)


def _written_by_a_sweep(name: str) -> bool:
    return name in (LOGS, SUMMARY, PAGE, EVIDENCE, DETAILS) or name.startswith((LEDGER, BEST_CONSTANT))
