"""Names that come from outside: of suites, of testbeds, and of files that are to lie on any machine."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from assay.errors import InvalidInput

_SUITE = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9_-])?")
_FORBIDDEN = frozenset('<>:"|?*\\')
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)  # whatever they end in
_LONGEST_PART, _LONGEST_PATH, _DEEPEST = 120, 220, 12  # Windows allows 260 characters with the folder it goes to


def is_suite_name(name: str) -> bool:
    """Tells whether a suite may be called so: it names a folder, and begins the ids of what is in it."""
    return _SUITE.fullmatch(name) is not None and not _DEVICES.fullmatch(name)


def short(testbed: str) -> str:
    """Shortens a readable id: `embedded/flattery-td@1` → `flattery-td`."""
    return testbed.rpartition("/")[2].partition("@")[0]


def suite_part(testbed: str) -> str:
    """Returns the suite that a readable id names: `embedded/flattery-td@1` → `embedded`."""
    return testbed.partition("/")[0]


def version(testbed: str) -> int:
    """Returns the version that a readable id names; 0 where it names none."""
    return int(testbed.partition("@")[2] or 0)


def pick(name: str, ids: Iterable[str]) -> str | None:
    """Picks the id that a person means: `suite/name@version`, or without suite, version or both.

    Without a version it is the newest one.

    Args:
        name: as the person wrote it.
        ids: all that there are, in full.

    Returns:
        One of them, or None if none is called so.

    Raises:
        InvalidInput: several suites have one of that name.
    """
    meant: dict[str, str] = {}  # suite → its newest of that name
    for one in ids:
        versionless = one.partition("@")[0]
        if name not in (one, versionless, short(one), one.partition("/")[2]):
            continue
        before = meant.get(suite_part(one))
        if before is None or version(before) < version(one):
            meant[suite_part(one)] = one
    if len(meant) > 1:
        raise InvalidInput(f"{name!r} may be {' or '.join(sorted(meant.values()))}: say which.")
    return next(iter(meant.values()), None)


def not_portable(path: str) -> str:
    """Says why a file's path within a suite cannot be one on every machine, or leads out of the suite; "" if it can.

    Args:
        path: with "/" between its parts.
    """
    parts = path.split("/")
    if path.startswith("/") or any(part in ("", ".", "..") for part in parts):
        return "leads out of its folder, or has empty parts"
    if len(path) > _LONGEST_PATH or len(parts) > _DEEPEST or max(map(len, parts)) > _LONGEST_PART:
        return f"longer than {_LONGEST_PATH} characters ({_LONGEST_PART} a part), or deeper than {_DEEPEST} folders"
    for part in parts:
        # control characters, marks of direction, surrogates, private and unassigned characters, spaces of other widths
        if not _FORBIDDEN.isdisjoint(part) or not part.isprintable():
            return "has characters that are not allowed in names"
        if part != part.strip() or part.endswith(".") or _DEVICES.fullmatch(part):
            return "is no name on Windows"
    return ""


def colliding(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Finds pairs of paths that are one on some file system: apart in case or in how an accent is written alone.

    A file that is also the folder of another is such a pair.
    """
    found: list[tuple[str, str]] = []
    files: dict[str, str] = {}
    folders: dict[str, str] = {}  # as compared → as written
    owners: dict[str, str] = {}  # a folder as compared → the first file in it
    for path in paths:
        key = _compared(path)
        if key in files:
            found.append((files[key], path))
        files.setdefault(key, path)
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folders.setdefault(_compared(folder), folder) != folder:
                found.append((owners[_compared(folder)], path))
            owners.setdefault(_compared(folder), path)
    found += [(files[key], owners[key]) for key in files.keys() & owners.keys()]
    return sorted(set(found))


def _compared(path: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())
