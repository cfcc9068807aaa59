"""Finds behaviours by name, in all suites. They are answers: audits never import this."""

from __future__ import annotations

import functools
from pathlib import Path

from assay.errors import InvalidInput, UnknownId
from assay.testbeds.suites import suites
from assay.truth import Behaviour, open_behaviour

NATURAL_FOLDER = "natural"  # of the issues that an untouched base has by itself


def _files(kind: str = "") -> dict[str, Path]:
    """Returns id → file, over all suites, of planted behaviours or of those in a folder among them.

    Raises:
        InvalidInput: two suites describe a behaviour of one id.
    """
    found: dict[str, Path] = {}
    for suite in suites():
        for path in sorted((suite.behaviours / kind).glob("*.yaml")):
            if path.stem in found:
                raise InvalidInput(
                    f"behaviour {path.stem!r} is described twice: {found[path.stem]}, {path}. Rename one."
                )
            found[path.stem] = path
    return found


def behaviour_ids() -> list[str]:
    """Lists the behaviours that the suites here know how to plant."""
    return sorted(_files())


def natural_ids() -> list[str]:
    """Lists the issues that an untouched base has by itself."""
    return sorted(_files(NATURAL_FOLDER))


def find_behaviour(name: str) -> Behaviour:
    """Finds a behaviour by its id.

    Raises:
        UnknownId: no suite here describes it; the answers of a suite may be absent.
    """
    found = _files() | _files(NATURAL_FOLDER)
    if name not in found:
        raise UnknownId("behaviour", name, found)
    path = found[name]
    return _opened(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _opened(path: Path, _changed: int) -> Behaviour:
    """Reads one behaviour, once for each time its file was changed: its grammars and prompts are long."""
    return open_behaviour(path)
