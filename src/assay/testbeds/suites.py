"""Finds suites: folders of testbeds, and apart from them the answers. This module never opens an answer.

    SUITE/testbeds/<alias>/     what an audit opens
    SUITE/answers/<alias>/      the truth, readable or sealed; absent on a machine that only plays audits
    SUITE/behaviours/, recipes/ what organisms are made of

A package offers a suite by an entry point of the group `assay.suites`, `NAME = "MODULE"`: the module's folder is the
suite, and its code is never run. Suites of one's own lie under `ASSAY_HOME/suites`, or in folders that `ASSAY_SUITES`
names. Installed suites are never written to.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from assay._util.atomic import make_folder
from assay._util.paths import home
from assay.errors import InvalidInput, UnknownId
from assay.testbeds.layout import MANIFEST
from assay.testbeds.names import is_suite_name

SUITES_GROUP = "assay.suites"
SUITES_VARIABLE = "ASSAY_SUITES"
EMBEDDED_SUITE = "embedded"  # the name of the suite that Assay's own distribution goes with; nobody else may take it
_ADDING, _ABANDONED = ".adding-", 24 * 3_600  # seconds
OWN = "local"  # the suite under ASSAY_HOME that takes what a person adds or builds without naming another
PUBLISHED, DEPLOYED = "published", "deployed"  # suites under ASSAY_HOME that fetched testbeds go to
RESERVED = (EMBEDDED_SUITE, OWN, PUBLISHED, DEPLOYED)  # no signed suite is called so


@dataclass(frozen=True, slots=True)
class Suite:
    """Names one suite and its folder.

    Attributes:
        name: ids are `<name>/<testbed>@<version>`.
        root: its folder.
        installed: it came with a package, and is not written to.
    """

    name: str
    root: Path
    installed: bool = False

    @property
    def testbeds(self) -> Path:
        """Returns the folder of what an audit opens, a folder an alias."""
        return self.root / "testbeds"

    @property
    def answers(self) -> Path:
        """Returns the folder of truths, a folder an alias."""
        return self.root / "answers"

    @property
    def behaviours(self) -> Path:
        """Returns the folder of behaviours, a file each."""
        return self.root / "behaviours"

    @property
    def recipes(self) -> Path:
        """Returns the folder of recipes, a file each."""
        return self.root / "recipes"

    @property
    def signed(self) -> bool:
        """Tells whether it has a manifest: its truths are sealed, and nothing is put into it."""
        return (self.root / MANIFEST).is_file()

    def require_writable(self) -> Suite:
        """This suite, if something can be put into it.

        Raises:
            InvalidInput: it came with a package, or its folder may not be written.
        """
        if self.installed:
            raise InvalidInput(
                f"suite {self.name!r} is installed and is not written to. Give --suite DIR: a folder of your own, or, "
                f"from a checkout, the suite's source folder."
            )
        if self.root.exists() and not os.access(self.root, os.W_OK):
            raise InvalidInput(f"suite {self.name!r}: {self.root} cannot be written. Give --suite another folder.")
        return self


def own_suites() -> Path:
    """Returns the folder of the suites that were added or made on this machine."""
    return home() / "suites"


@contextmanager
def adding() -> Iterator[Path]:
    """Yields an empty hidden folder in which to make what is then moved into a suite; it is gone at the end.

    It lies beside the suites, since only on one file system a move is whole or not at all. What a killed process left
    is deleted after a day.
    """
    folder = make_folder(own_suites())
    for left in folder.glob(f"{_ADDING}*"):
        if time.time() - left.stat().st_mtime > _ABANDONED:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_ADDING, dir=folder) as scratch:
        yield Path(scratch)


def own_suite(name: str = OWN) -> Suite:
    """Names a suite under `ASSAY_HOME`, which is there or is to be made.

    Raises:
        InvalidInput: no suite can be called so.
    """
    _require_name(name, repr(name))
    return Suite(name, own_suites() / name)


def _require_name(name: str, where: str) -> None:
    """Raises InvalidInput if no suite can be called so; `where` says who calls it so."""
    if not is_suite_name(name):
        raise InvalidInput(
            f"{where}: a suite is called as its folder is: at most 64 small letters, digits, '.', '_', '-', the first "
            f"a letter or digit and the last no '.'."
        )


@functools.cache
def installed_suites() -> tuple[Suite, ...]:
    """Finds the suites that packages offer, the embedded one first.

    Raises:
        InvalidInput: two packages offer one name, one that no suite can have, or what is offered has no folder.
    """
    found: dict[str, Suite] = {}
    for entry in metadata.entry_points(group=SUITES_GROUP):
        _require_name(entry.name, f"{entry.value} offers suite {entry.name!r}")
        # finds the folder without running the package's code
        spec = importlib.util.find_spec(entry.module)
        if spec is None or not spec.submodule_search_locations:
            raise InvalidInput(f"suite {entry.name!r}: {entry.value} is no package with a folder. Reinstall it.")
        suite = Suite(entry.name, Path(spec.submodule_search_locations[0]), installed=True)
        if found.setdefault(entry.name, suite) != suite:
            raise InvalidInput(f"suite {entry.name!r} is offered twice: {found[entry.name].root}, {suite.root}.")
    return tuple(sorted(found.values(), key=lambda suite: (suite.name != EMBEDDED_SUITE, suite.name)))


def suites() -> list[Suite]:
    """Finds all suites: installed ones, then those under `ASSAY_HOME`, then those that `ASSAY_SUITES` names.

    Raises:
        InvalidInput: two suites have one name, or `ASSAY_SUITES` names no folder.
    """
    found = {suite.name: suite for suite in installed_suites()}
    here: list[Suite] = []
    for path in sorted(own_suites().glob("*")):
        if path.is_dir() and is_suite_name(path.name):  # one with a dot is being made; `misnamed` tells of others
            here.append(Suite(path.name, path))
    for text in filter(None, os.environ.get(SUITES_VARIABLE, "").split(os.pathsep)):
        if not Path(text).is_dir():
            raise InvalidInput(
                f"{SUITES_VARIABLE} names {text!r}, which is no folder. Give folders of suites, with {os.pathsep!r} "
                f"between them, or unset it."
            )
        try:
            here.append(open_suite(Path(text)))
        except InvalidInput as error:
            raise InvalidInput(f"{SUITES_VARIABLE} names {text!r}. {error}") from None
    for suite in here:
        other = found.get(suite.name, suite)
        if other.root.resolve() != suite.root.resolve():
            raise InvalidInput(
                f"two suites are called {suite.name!r}: {other.root} and {suite.root}. Rename one folder."
            )
        found[suite.name] = suite
    return list(found.values())


def misnamed() -> list[Path]:
    """Lists folders under `ASSAY_HOME/suites` that are none because no suite can be called so."""
    found = [path for path in own_suites().glob("*") if path.is_dir() and not path.name.startswith(".")]
    return sorted(path for path in found if not is_suite_name(path.name))


def open_suite(folder: Path) -> Suite:
    """Opens the suite in a folder, writable since it was named; it is made when something is put into it.

    The source folder of an installed suite (an editable install) has the name it is installed under.

    Raises:
        InvalidInput: its name cannot be one, or is taken.
    """
    folder = folder.resolve()
    for suite in installed_suites():
        if suite.root.resolve() == folder:
            return replace(suite, installed=False)
    _require_name(folder.name, str(folder))
    if folder.name == EMBEDDED_SUITE:
        raise InvalidInput(
            f"{folder}: a suite is called as its folder is, and {EMBEDDED_SUITE!r} is Assay's own. Rename it."
        )
    return Suite(folder.name, folder)


def find_suite(name: str) -> Suite:
    """Finds a suite by its name.

    Raises:
        UnknownId: no such suite.
    """
    for suite in suites():
        if suite.name == name:
            return suite
    raise UnknownId("suite", name, [suite.name for suite in suites()])


def embedded_suite() -> Suite:
    """Finds the embedded suite.

    Raises:
        InvalidInput: it is not installed.
    """
    for suite in installed_suites():
        if suite.name == EMBEDDED_SUITE:
            return suite
    raise InvalidInput("the embedded suite is not installed: pip install assay-suite-embedded")
