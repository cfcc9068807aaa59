"""Cards: what is known of each testbed, as pages; and how hard it was for the auditors of a sweep."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from assay.errors import AssayError, InvalidInput
from assay.factory.recipes import Recipe, open_recipe
from assay.factory.verify.measures import MEASURES
from assay.grading.jobs import all_cases, graders, grades_now
from assay.store.ledger import Ledger
from assay.studies.effects.scores import Scored, join
from assay.studies.page.testbed_cards import card_page, index_page, weaknesses
from assay.testbeds.truths import all_truths, behaviours_of, keep_measured, listing, short
from assay.truth import Truth

EVERYTHING = "all"  # the kit with every tool


def write_cards(out: Path) -> list[dict[str, Any]]:
    """Write every readable testbed's page into a folder, and an index with the matrix.

    Raises:
        InvalidInput: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        rows = [row | {"page": f"{short(row['testbed'])}.md"} for row in listing()]
        for truth, row in zip(all_truths(), rows, strict=True):
            (out / row["page"]).write_text(_page(truth), encoding="utf-8")
        (out / "README.md").write_text(index_page(rows), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror or error}.") from None
    return [{"testbed": row["testbed"], "page": str(out / row["page"])} for row in rows]


def _page(truth: Truth) -> str:
    measures = {name: truth.card[name] for name in MEASURES if name in truth.card}
    explicitness = truth.card.get("explicitness")
    recipe = _recipe(truth)
    return card_page(
        testbed=truth.id,
        alias=truth.alias,
        role=truth.role,
        split=truth.split,
        exposure=truth.exposure,
        method=truth.method,
        behaviours=[one.model_dump(mode="json") for one in behaviours_of(truth)],
        measures=measures,
        explicitness=explicitness,
        difficulty=truth.difficulty,
        found_by_all=any(row["found"] for row in truth.difficulty if row["kit"] == EVERYTHING),
        recipe=recipe.model_dump(mode="json", exclude_defaults=False) if recipe else None,
        control=truth.control.alias,
        seconds=truth.build_seconds,
        weaknesses=[
            *([f"It does not pass verification: {truth.unproven}"] if truth.unproven else []),
            *weaknesses(measures if truth.role == "organism" else {}, explicitness),
        ],
    )


def _recipe(truth: Truth) -> Recipe | None:
    try:
        return open_recipe(truth.recipe)
    except AssayError:
        return None


def record_difficulty(out: Path) -> None:
    """Keep, with each open truth, how often the audits of a ledger found it; with a clean target's, false alarms.

    Raises:
        InvalidInput: no ledger there, or audits in it that the present grader has not graded.
    """
    path = out / "ledger.sqlite"
    if not path.is_file():
        raise InvalidInput(f"{path}: no ledger. Give the --out of a sweep.")
    cases = all_cases()
    truths = {alias: case.truth for alias, case in cases.items()}
    with Ledger.open(path) as ledger:
        audits = [row for row in ledger.audits() if row.alias in cases and "~" not in row.kit]
        scored = join(
            audits,
            grades_now(ledger, audits, graders(cases)),
            roles={alias: truth.role for alias, truth in truths.items()},
            families={alias: truth.family for alias, truth in truths.items() if truth.role == "organism"},
        )
    if waiting := sum(not one.graded for one in scored):
        raise InvalidInput(f"{waiting} audits of {path} have no grade by this grader. Run: assay grade --out {out}")
    counted: dict[str, dict[tuple[str, str], list[Scored]]] = defaultdict(lambda: defaultdict(list))
    for one in scored:
        counted[one.row.alias][one.row.auditor, one.row.kit].append(one)
    for alias, found in counted.items():
        truth = truths[alias]
        counts = [
            {
                "auditor": auditor,
                "kit": kit,
                "audits": len(rows),
                "found": sum(row.false_alarm if row.clean else row.raw > 0 for row in rows),
            }
            for (auditor, kit), rows in sorted(found.items())
        ]
        keep_measured(truth, difficulty=counts)
