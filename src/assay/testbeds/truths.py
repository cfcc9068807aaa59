"""The sealed side of the suite: readable ids, roles and families. For grading, building and the person at the CLI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.core.errors import UnknownId
from assay.testbeds.loader import EMBEDDED, TRUTH, write_yaml
from assay.truth import Truth, open_truth


def all_truths(root: Path = EMBEDDED) -> list[Truth]:
    """Every truth of a suite, by readable id."""
    return sorted((open_truth(path) for path in root.glob(f"*/{TRUTH}")), key=lambda truth: truth.id)


def find_truth(name: str, root: Path = EMBEDDED) -> Truth:
    """A truth by alias, full id, or id without `embedded/` and version.

    Raises:
        UnknownId: no such testbed.
    """
    truths = all_truths(root)
    for truth in truths:
        if name in (truth.alias, truth.id, short(truth.id), truth.id.partition("@")[0]):
            return truth
    raise UnknownId("testbed", name, [short(truth.id) for truth in truths])


def short(testbed: str) -> str:
    """`embedded/flattery-td@1` → `flattery-td`."""
    return testbed.rpartition("/")[2].partition("@")[0]


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
                "behaviours": truth.behaviours,
                "control": truth.control.alias,
                "strength": card["strength"]["rate"] if card else "",
                "leakage": card["leakage"]["rate"] if card else "",
                "card": card,
            }
        )
    return rows
