"""How much of what is hit depends on the machine: the same audits in the result folders of several machines.

    python bench/repeatability.py FOLDER FOLDER … [--json] [--quick] [--save]

A cell is a testbed, kit, auditor and seed. Cells that several machines audited are paired (processor, instructions,
number format and device, as every audit says). Printed are how often two machines differ on whether a cell is hit, the
chance that another machine hits what one hit, and where the variance of a hit comes from. Each audit was graded on
draws of its own, so that the grader's luck is part of the machine's share. Folders come of `assay sweep`, run with
other `ASSAY_DTYPE` or `ONEDNN_MAX_CPU_ISA`, or elsewhere. --quick changes nothing: nothing is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contract import finish, parser, say

from assay.studies.effects.machines import AcrossMachines, across_machines
from assay.studies.effects.scores import ScoredAudit, join
from assay.studies.grades import Grading
from assay.studies.ledger import Ledger
from assay.studies.study import existing_ledger

FEWEST = 20  # cells below which a share is not known to better than a third


def main() -> None:
    """Print the claims."""
    options = parser(__doc__)
    options.add_argument("inputs", nargs="+", type=Path, help="folders of sweeps, made on several machines")
    chosen = options.parse_args()
    grading = Grading.now()
    rows: list[ScoredAudit] = []
    for folder in chosen.inputs:
        rows += scored(folder, grading)
    found = across_machines(rows)
    say(f"{found.cells} cells audited on several of {len(found.machines)} machines: {'; '.join(found.machines)}")
    finish("repeatability", claims(found), chosen, machines=found.machines)


def scored(folder: Path, grading: Grading) -> list[ScoredAudit]:
    """A folder's audits of testbeds whose truth is known here, each with its grade."""
    truths = {alias: case.truth for alias, case in grading.cases.items()}
    with Ledger.open(existing_ledger(folder)) as ledger:
        audits = [row for row in ledger.audits() if row.alias in truths]
        grades = grading.current(ledger, audits).rows
    return join(audits, grades, {alias: truth.role for alias, truth in truths.items()}, grading.families)


def claims(found: AcrossMachines) -> list[dict[str, Any]]:
    """What is said of the cells; a claim is met if enough cells stand behind it."""
    enough = found.cells >= FEWEST
    told: list[tuple[str, Any, str]] = []
    for name, rate in (
        ("two machines differ on a hit", found.disagree),
        ("another machine hits what one hit", found.repeated),
    ):
        if rate is not None:
            told.append((name, rate, f"of cells, 95 % [{rate.interval[0]:.2f}, {rate.interval[1]:.2f}]"))
    listed = [_claim(name, rate.value, unit, found.cells, enough) for name, rate, unit in told]
    for share in found.variance:
        low, high = share.interval
        unit = f"of the variance of a hit, 95 % [{low:.2f}, {high:.2f}]"
        listed.append(_claim(f"variance: {share.source}", share.share, unit, found.cells, enough))
    return listed


def _claim(name: str, value: float, unit: str, cells: int, enough: bool) -> dict[str, Any]:
    return {
        "id": name,
        "value": round(value, 4),
        "unit": unit,
        "target": f"{FEWEST} cells or more",
        "met": enough,
        "against": f"{cells} cells",
        "runs": [],
    }


if __name__ == "__main__":
    main()
