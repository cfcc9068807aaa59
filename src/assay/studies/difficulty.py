"""Writes what is known of each testbed as pages, and keeps how hard it was for the auditors of a sweep."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from assay._util.atomic import write_text
from assay.core.record import AuditRow
from assay.errors import AssayError, InvalidInput
from assay.factory.recipes import Recipe, open_recipe
from assay.factory.verify.bounds import quiet_gates
from assay.studies.effects.effects import EVERYTHING
from assay.studies.effects.scores import ScoredAudit, join
from assay.studies.grades import Grading
from assay.studies.ledger import Ledger
from assay.studies.page.testbed_cards import card_page, index_page, weaknesses
from assay.studies.study import existing_ledger
from assay.testbeds.names import short, suite_part
from assay.testbeds.suites import EMBEDDED_SUITE
from assay.testbeds.truths import all_truths, behaviours_of, keep_measured, listing
from assay.truth import Behaviour, Difficulty, Truth


def write_cards(out: Path) -> list[dict[str, str]]:
    """Writes every readable testbed's page into a folder, and an index with the matrix.

    Raises:
        InvalidInput: the folder cannot be written.
    """
    rows = [row | {"page": _page_name(row["testbed"])} for row in listing()]
    for truth, row in zip(all_truths(), rows, strict=True):
        write_text(out / row["page"], _page(truth))
    write_text(out / "README.md", index_page(rows))
    return [{"testbed": row["testbed"], "page": str(out / row["page"])} for row in rows]


def _counts(row: AuditRow) -> bool:
    """Tells whether an audit says how hard its testbed is: of the game in which nothing is told, without plug-ins."""
    return row.game == "investigate" and "~" not in row.kit and not row.plugins


def _page_name(testbed: str) -> str:
    """Names a testbed's page; two testbeds never have one."""
    return f"{short(testbed) if suite_part(testbed) == EMBEDDED_SUITE else testbed.replace('/', '-')}.md"


def _page(truth: Truth) -> str:
    """Draws one testbed's page."""
    card = truth.card
    recipe = _readable_recipe(truth)
    remarks: list[str] = []
    behaviours: list[Behaviour] = []
    try:
        behaviours = behaviours_of(truth)
    except AssayError as error:  # of somebody's testbed; its page says so, and the others are written
        remarks.append(f"What it was planted with cannot be read: {error}")
    if truth.unproven:
        remarks.append(f"It does not pass verification: {truth.unproven}")
    if card and truth.role == "organism":
        remarks += weaknesses(card)
    return card_page(
        testbed=truth.id,
        alias=truth.alias,
        role=truth.role,
        split=truth.split,
        exposure=truth.exposure,
        method=truth.method,
        behaviours=[one.model_dump(mode="json") for one in behaviours],
        measures=card.by_name() if card else {},
        explicitness=card.explicitness if card else None,
        quiet=card.quiet if card else None,
        gates=quiet_gates(card.quiet) if card and card.quiet else [],
        difficulty=truth.difficulty,
        found_by_all=any(row.found for row in truth.difficulty if row.kit == EVERYTHING),
        recipe=recipe.model_dump(mode="json", exclude_defaults=False) if recipe else None,
        control=truth.control.alias,
        seconds=truth.build_seconds,
        weaknesses=remarks,
    )


def _readable_recipe(truth: Truth) -> Recipe | None:
    """Returns a testbed's recipe; None for one made elsewhere, or from a recipe that did not come with it."""
    try:
        return open_recipe(f"{suite_part(truth.id)}/{truth.recipe}")
    except AssayError:
        return None


def record_difficulty(out: Path) -> None:
    """Keeps, with each open truth, how often the audits of a ledger found it; with a clean target's, false alarms.

    Audits of sweeps with plug-ins are left out.

    Raises:
        InvalidInput: no ledger there, or audits in it that the present grader has not graded.
    """
    path = existing_ledger(out)
    grading = Grading.now()
    truths = {alias: case.truth for alias, case in grading.cases.items()}
    with Ledger.open(path) as ledger:
        # A testbed's card goes with it to others, who have not chosen to trust the plug-ins of this ledger.
        audits = [row for row in ledger.audits() if row.alias in truths and _counts(row)]
        scored = join(
            audits,
            grading.current(ledger, audits).rows,
            roles={alias: truth.role for alias, truth in truths.items()},
            families=grading.families,
        )
    # An audit without its grade would count as one that found nothing, and be kept as such with the testbed.
    if waiting := sum(not one.graded for one in scored):
        raise InvalidInput(f"{waiting} audits of {path} have no grade by this grader. Run: assay grade --out {out}")
    by_alias: dict[str, dict[tuple[str, str], list[ScoredAudit]]] = defaultdict(lambda: defaultdict(list))
    for one in scored:
        by_alias[one.row.alias][one.row.auditor, one.row.kit].append(one)
    for alias, cells in by_alias.items():
        counts: list[Difficulty] = []
        for (auditor, kit), rows in sorted(cells.items()):
            found = sum(row.false_alarm if row.clean else row.raw > 0 for row in rows)
            counts.append(Difficulty(auditor=auditor, kit=kit, audits=len(rows), found=found))
        keep_measured(truths[alias], difficulty=counts)
