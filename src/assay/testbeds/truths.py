"""The sealed side of all suites: readable ids, roles, behaviours. For grading, building and the person at the CLI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay._util.yaml_models import open_list
from assay.core.testbed import TargetSpec
from assay.errors import InvalidInput, UnknownId
from assay.testbeds.behaviours import find_behaviour
from assay.testbeds.seal import SEALED, find_key, unseal
from assay.testbeds.specs import EMBEDDED, TRUTH, aliases, base_spec, folder_of, load_spec, roots, write_yaml
from assay.truth import Behaviour, Truth, open_truth

BEHAVIOURS = "behaviours.yaml"  # beside a truth, of behaviours this package does not describe


def all_truths(root: Path | None = None) -> list[Truth]:
    """Every truth that can be read, of all suites or of one, by readable id; sealed ones where their key is here."""
    found: list[Truth] = []
    for one in roots() if root is None else [root]:
        found += [open_truth(path) for path in one.glob(f"*/{TRUTH}")]
        if key := find_key(one):
            found += [unseal(path, key).truth for path in one.glob(f"*/{SEALED}")]
    return sorted(found, key=lambda truth: truth.id)


def own_behaviours(alias: str) -> list[Behaviour]:
    """The behaviours a testbed brings along: a sealed one's, or those of a testbed that was added; else none."""
    folder = folder_of(alias)
    if (folder / SEALED).is_file() and (key := find_key(folder.parent)):
        return unseal(folder / SEALED, key).behaviours
    path = folder / BEHAVIOURS
    return open_list(path, Behaviour) if path.is_file() else []


def find_truth(name: str, root: Path | None = None) -> Truth:
    """A truth by alias, full id, or id without suite and version.

    Raises:
        InvalidInput: a short name that several have.
        UnknownId: no such testbed.
    """
    truths = all_truths(root)
    for truth in truths:
        if name in (truth.alias, truth.id, truth.id.partition("@")[0]):
            return truth
    found = [truth for truth in truths if short(truth.id) == name]
    if len(found) > 1:
        raise InvalidInput(f"{name!r} may be {' or '.join(truth.id for truth in found)}: say which.")
    if not found:
        raise UnknownId("testbed", name, [short(truth.id) for truth in truths])
    return found[0]


def find_alias(name: str) -> str:
    """The alias of a testbed by any of its names; one whose truth cannot be read is known by its alias alone.

    Raises:
        InvalidInput: a short name that several have.
        UnknownId: no such testbed.
    """
    return name if name in aliases() else find_truth(name).alias


def short(testbed: str) -> str:
    """`embedded/flattery-td@1` → `flattery-td`."""
    return testbed.rpartition("/")[2].partition("@")[0]


def keep_measured(truth: Truth, **measured: Any) -> None:
    """Keep what was measured (`card`, `difficulty`) with a testbed's open truth; a sealed one stays as it was."""
    folder = folder_of(truth.alias)
    if (folder / TRUTH).is_file():
        write_truth(truth.model_copy(update=measured), folder.parent)


def write_truth(truth: Truth, root: Path = EMBEDDED) -> None:
    """Write a truth, whole or not at all."""
    folder = root / truth.alias
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml(truth.model_dump(), folder / TRUTH)


def listing() -> list[dict[str, Any]]:
    """Every testbed with its measured card, as plain data."""
    rows: list[dict[str, Any]] = []
    for truth in all_truths():
        card = truth.card
        rows.append(
            {
                "testbed": truth.id,
                "alias": truth.alias,
                "role": truth.role,
                "split": truth.split,
                "family": truth.family,
                "method": truth.method,
                "exposure": truth.exposure,
                "unproven": truth.unproven,
                "behaviours": truth.behaviours,
                "control": truth.control.alias,
                "strength": card["strength"]["rate"] if "strength" in card else "",
                "leakage": card["leakage"]["rate"] if "leakage" in card else "",
                "card": card,
                "difficulty": truth.difficulty,
            }
        )
    return rows


def behaviours_of(truth: Truth) -> list[Behaviour]:
    """A truth's behaviours: those its testbed brings along, or this package's."""
    own = {behaviour.id: behaviour for behaviour in own_behaviours(truth.alias)}
    return [own.get(name) or find_behaviour(name) for name in truth.behaviours]


def control_spec(truth: Truth, base: str, root: Path | None = None) -> TargetSpec:
    """The target a truth's rates are compared with."""
    return base_spec(base) if truth.control.alias == "base" else load_spec(truth.control.alias, root)
