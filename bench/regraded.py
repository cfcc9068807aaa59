"""What a change of the grader did to a ledger: hits and success of each kit, before and after.

    python bench/regraded.py OUT [--before OUT] [--grader PREFIX]... [--json] [--save]

`assay grade --out OUT` grades a ledger's reports by the grader of now; the grades of earlier ones stay in the ledger,
or in a copy of it that was made before (`--before`). Where several earlier graders left grades of one audit,
`--grader` says whose are meant, by the beginning of a digest. Only signed grades count, and only audits of organisms
that both graders graded, or that have no finding to grade.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contract import RESULTS, machine, parser

from assay.core.record import AuditRow, GradeRow
from assay.core.report import parse_report
from assay.errors import InvalidInput
from assay.grading.signing import KnownGraders, report_digest
from assay.studies.effects.rates import success
from assay.studies.effects.scores import ScoredAudit, join
from assay.studies.grades import Grading
from assay.studies.ledger import Ledger
from assay.studies.study import existing_ledger


def main() -> None:
    """Prints the table."""
    options = parser(__doc__)
    options.add_argument("out", type=Path, help="folder of a sweep, graded by the grader of now")
    options.add_argument("--before", type=Path, help="folder with the earlier grades; the same if not given")
    options.add_argument("--grader", action="append", default=[], help="beginning of an earlier grader's digest")
    chosen = options.parse_args()
    grading = Grading.now()
    with Ledger.open(existing_ledger(chosen.out)) as ledger:
        audits = [row for row in ledger.audits() if row.alias in grading.cases]
        after = [grade for grade in grading.current(ledger, audits).rows if grade.tier == "hit"]
    with Ledger.open(existing_ledger(chosen.before or chosen.out)) as ledger:
        before = earlier_grades(ledger.grades(run_keys=[row.run_key for row in audits]), audits, grading, chosen.grader)
    table = regraded(audits, before, after, grading)
    if chosen.save:
        result = {**table, "machine": machine(chosen.threads)}
        (RESULTS / f"regraded-{result['machine']['date']}.json").write_text(json.dumps(result, indent=1) + "\n")
    if chosen.json:
        print(json.dumps(table))
        return
    print(f"{'kit':24} {'audits':>6} {'hits':>11} {'success':>33}")
    for row in table["kits"]:
        hits = f"{row['hits_before']:4d} → {row['hits_after']:4d}"
        print(f"{row['kit']:24} {row['audits']:6d} {hits} {_told(row, 'before'):>16} → {_told(row, 'after')}")
    print(f"{table['left_out']} audits lack one of the two grades and are left out.")


def _told(row: Mapping[str, Any], when: str) -> str:
    low, high = row[f"interval_{when}"]
    return f"{100 * row[f'success_{when}']:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def earlier_grades(
    grades: Iterable[GradeRow], audits: Iterable[AuditRow], grading: Grading, named: Sequence[str]
) -> list[GradeRow]:
    """Lists the signed grades by graders that are not those of now, one an audit.

    Raises:
        InvalidInput: an audit has several; names the graders.
    """
    about = {row.run_key: row for row in audits}
    known = KnownGraders.here()
    found: dict[str, dict[str, GradeRow]] = defaultdict(dict)  # run key → grader → grade
    for grade in grades:
        row = about[grade.run_key]
        earlier = grade.tier == "hit" and grade.grader != grading.graders.get(row.alias)
        meant = not named or grade.grader.startswith(tuple(named))
        if not (earlier and meant and row.report):
            continue
        if known.made_grade(grade, row.alias, report_digest(parse_report(row.report))):
            found[grade.run_key][grade.grader] = grade
    several = next((by_grader for by_grader in found.values() if len(by_grader) > 1), None)
    if several:
        listed = ", ".join(sorted(grader[:12] for grader in several))
        raise InvalidInput(f"one audit has grades by several earlier graders: {listed}. Choose with --grader.")
    return [grade for by_grader in found.values() for grade in by_grader.values()]


def regraded(
    audits: Sequence[AuditRow], before: Sequence[GradeRow], after: Sequence[GradeRow], grading: Grading
) -> dict[str, Any]:
    """Tabulates hits and success of each kit by two sets of grades of the same audits."""
    roles = {alias: case.truth.role for alias, case in grading.cases.items()}
    organisms = [row for row in audits if roles[row.alias] == "organism"]
    keys = {row.run_key for row in organisms}
    both: list[dict[str, ScoredAudit]] = []
    for grades in (before, after):
        scored = join(organisms, [one for one in grades if one.run_key in keys], roles, grading.families)
        both.append({row.row.run_key: row for row in scored if row.graded})
    shared = both[0].keys() & both[1].keys()
    rows: list[dict[str, Any]] = []
    for kit in sorted({row.kit for row in organisms}):
        own = [row.run_key for row in organisms if row.kit == kit and row.run_key in shared]
        if not own:
            continue
        told: dict[str, Any] = {"kit": kit, "audits": len(own)}
        for when, scored_by in zip(("before", "after"), both, strict=True):
            won = success(scored_by[key].score for key in own)
            assert won is not None
            told[f"hits_{when}"] = sum(scored_by[key].raw > 0 for key in own)
            told[f"success_{when}"] = round(won.value, 4)
            told[f"interval_{when}"] = [round(bound, 4) for bound in won.interval]
        rows.append(told)
    return {"kits": rows, "left_out": len(organisms) - len(shared)}


if __name__ == "__main__":
    main()
