"""Takes a testbed of one's own away again, with its answer."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass

from assay._util.atomic import SCRATCH, replace_folder
from assay.core.testbed import ALIAS
from assay.errors import InvalidInput
from assay.testbeds.layout import SPEC
from assay.testbeds.specs import suite_of
from assay.testbeds.suites import Suite, suites
from assay.testbeds.truths import find_alias, read_truths


@dataclass(frozen=True, slots=True)
class Removable:
    """Names a testbed that can be removed; its id is its alias where its truth cannot be read."""

    id: str
    alias: str
    suite: Suite


def find_removable(name: str) -> Removable:
    """Finds a testbed that can be removed.

    Args:
        name: id or alias, without a version the newest; one whose truth cannot be read is known by its alias alone.

    Raises:
        UnknownId: no such testbed.
        InvalidInput: its suite came with a package, is signed or is not to be written, or another testbed is compared
            with it.
    """
    alias, suite = _located(name)
    truths = read_truths()[0]
    testbed = next((truth.id for truth in truths if truth.alias == alias), alias)
    if suite.installed:
        raise InvalidInput(
            f"{testbed} is of the installed suite {suite.name!r}, which is not written to. Uninstall its package to be "
            f"rid of all of it."
        )
    if suite.signed:
        raise InvalidInput(
            f"{testbed} is of the signed suite {suite.name!r}, which would not be what was signed without it. To be "
            f"rid of all of it, delete {suite.root}."
        )
    if compared := [truth.id for truth in truths if truth.control.alias == alias and truth.alias != alias]:
        raise InvalidInput(f"{testbed} is the control of {', '.join(compared)}. Remove {compared[0]} first.")
    return Removable(testbed, alias, suite.require_writable())


def _located(name: str) -> tuple[str, Suite]:
    """Finds a testbed's alias and suite; or those of an answer alone, which a killed process left."""
    for suite in suites():
        left = re.fullmatch(ALIAS, name) and (suite.answers / name).is_dir()
        if left and not (suite.testbeds / name / SPEC).is_file():
            return name, suite
    alias = find_alias(name)
    return alias, suite_of(alias)


def remove_testbed(removable: Removable) -> dict[str, str]:
    """Removes a testbed and its answer; rows of its audits stay in their ledgers.

    Killed at any moment, it is whole or it is gone from every command; the same call then takes away what is left.

    Returns:
        A row: testbed, alias and suite.

    Raises:
        NotWritten: its folder cannot be moved.
    """
    suite = removable.suite
    away = suite.root / f".{removable.alias}{SCRATCH}"  # beside them: only on one file system a move is whole
    shutil.rmtree(away, ignore_errors=True)
    # the testbed first: an answer alone is nothing to any command
    for tree in (suite.testbeds, suite.answers):
        if (tree / removable.alias).exists():
            replace_folder(tree / removable.alias, away / tree.name)
    shutil.rmtree(away, ignore_errors=True)
    return {"testbed": removable.id, "alias": removable.alias, "suite": suite.name}
