"""Finds behaviours by name, in all suites. They are answers: audits never import this."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from assay.errors import InvalidInput, UnknownId
from assay.testbeds.suites import EMBEDDED_SUITE, Suite, suites
from assay.truth import Behaviour, open_behaviour

NATURAL_FOLDER = "natural"  # of the issues that an untouched base has by itself
_KINDS = ("", NATURAL_FOLDER)


def _files(kinds: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Returns id → suite → file of the behaviours in some folders, suites in the order in which they are asked."""
    found: dict[str, dict[str, Path]] = {}
    for suite in suites():
        for kind in kinds:
            for path in sorted((suite.behaviours / kind).glob("*.yaml")):
                found.setdefault(path.stem, {})[suite.name] = path
    return found


def _names(kinds: Sequence[str]) -> list[str]:
    """Lists the names by which behaviours are found: their ids, with the suite where the id alone is another's."""
    names: list[str] = []
    for name, described in _files(kinds).items():
        alone = len(described) == 1
        for suite in described:
            names.append(name if alone or suite == EMBEDDED_SUITE else f"{suite}/{name}")
    return sorted(names)


def behaviour_ids() -> list[str]:
    """Lists the behaviours that the suites here know how to plant."""
    return _names(("",))


def natural_ids() -> list[str]:
    """Lists the issues that an untouched base has by itself."""
    return _names((NATURAL_FOLDER,))


def find_behaviour(name: str, home: Suite | None = None) -> Behaviour:
    """Finds a behaviour by its id, or by `suite/id`.

    An id is looked for in the suite that names it, then in the embedded one, then in all others: what a suite brings
    changes nothing of what another's truths and recipes mean.

    Args:
        name: of the behaviour.
        home: the suite whose truth or recipe names it.

    Raises:
        UnknownId: no suite here describes it; the answers of a suite may be absent.
        InvalidInput: several other suites describe it, or its file cannot be used.
    """
    found = _files(_KINDS)
    asked, _, id = name.rpartition("/")
    described = found.get(id, {})
    wanted = [asked] if asked else [home.name if home else "", EMBEDDED_SUITE]
    for suite in wanted:
        if suite in described:
            return _opened(described[suite], described[suite].stat().st_mtime_ns)
    if asked or not described:
        raise UnknownId("behaviour", name, _names(_KINDS))
    if len(described) > 1:
        choices = " or ".join(f"{suite}/{id}" for suite in described)
        raise InvalidInput(
            f"behaviour {name!r} may be {choices} ({', '.join(map(str, described.values()))}): say which."
        )
    [path] = described.values()
    return _opened(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _opened(path: Path, _changed: int) -> Behaviour:
    """Reads one behaviour, once for each time its file was changed: its grammars and prompts are long."""
    return open_behaviour(path)
