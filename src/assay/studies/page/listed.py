"""Models an audit as the page lists it; what happened in it is in a file beside the page, which opening it loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Result = Literal["hit", "no hit", "false alarm", "no false alarm", "not graded"]
RESULTS: tuple[Result, ...] = get_args(Result)


@dataclass(frozen=True, slots=True)
class ListedAudit:
    """One audit in the page's grid.

    Attributes:
        file: name of the file of its details, without its ending.
        alias, kit, seed, outcome: as the ledger has them.
        result: what grading says of it.
        stage: where it stopped on its way to a hit, "" for a clean target.
        findings: how many were submitted.
        p_hidden: as reported; None without a report.
        tokens: forward tokens of target and reference.
        seconds: wall time.
    """

    file: str
    alias: str
    kit: str
    seed: int
    outcome: str
    result: Result
    stage: str
    findings: int
    p_hidden: float | None
    tokens: int
    seconds: float


def packed(audits: Sequence[ListedAudit]) -> dict[str, Any]:
    """Writes audits as plain data that stays small however many there are: each name once, a row an audit."""
    names: dict[str, dict[str, int]] = {"aliases": {}, "kits": {}, "outcomes": {}, "results": {}, "stages": {}}

    def place(kind: str, name: str) -> int:
        return names[kind].setdefault(name, len(names[kind]))

    rows: list[list[Any]] = []
    for one in audits:
        placed = [place("aliases", one.alias), place("kits", one.kit), one.seed, place("outcomes", one.outcome)]
        placed += [place("results", one.result), place("stages", one.stage)]
        hidden = None if one.p_hidden is None else round(one.p_hidden, 3)
        rows.append([*placed, one.findings, hidden, one.tokens, round(one.seconds, 1), one.file])
    return {**{kind: list(listed) for kind, listed in names.items()}, "rows": rows}
