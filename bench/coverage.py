"""Whether the intervals, the tests and the printed power hold what they promise, by simulation.

    python bench/coverage.py [--json] [--quick] [--save] [--sweeps N] [--again N] [--minutes N] [--only KIND]

For B families and so many seeds a cell is one mean rate and one concentration of the families' rates (`simulated.py`).
Measured are: the coverage of every interval that is printed (success, effects, false alarms, AUROC, Brier score), how
often anything is claimed of tools that do nothing, and how often the verdict finds an effect of the size that is
printed as found four times in five. Beside each stands the analysis over single audits, to show why it is not used.

Every cell is simulated `--sweeps` times; then the worst cells of each kind `--again` times, with fresh draws, and
judged by these alone: the worst of many cells is partly bad luck, and fresh draws have none of it. Blocks of sweeps
are kept under `ASSAY_HOME/bench`: stopped, or out of `--minutes`, the same call goes on. `--quick` is two designs, and
keeps nothing. A cell whose coverage lies above the bar is *forced* there if its few outcomes are so likely that no
interval could do otherwise.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from contract import RESULTS, finish, parser, say
from kept_cells import BLOCK, KeptCells, outcomes
from simulated import FAMILIES, KINDS, SEEDS, Cell, Kind

from assay._util.paths import home
from assay._util.proportions import wilson
from assay.studies.effects.power import POWER, SIGNIFICANT

WORST = 6  # cells of a kind that are simulated again
LOWEST, TYPICAL = 0.92, (0.93, 0.97)  # coverage of the worst cell, and of most
REACHED, LARGEST = 0.03, 0.07  # size of cells where a test can reach its level; of the worst cell
NEAR = 0.05  # distance of the printed power from the simulated


def main() -> None:
    """Prints the claims."""
    options = parser(__doc__)
    options.add_argument("--sweeps", type=int, default=200, help="simulated of every cell")
    options.add_argument("--again", type=int, default=2_000, help="simulated of the worst cells, with fresh draws")
    options.add_argument("--minutes", type=float, default=float("inf"), help="to stop after; what is there is judged")
    options.add_argument("--only", action="append", choices=list(KINDS), help="this kind; repeatable")
    chosen = options.parse_args()
    designs = [(8, 1), (14, 4)] if chosen.quick else list(product(FAMILIES, SEEDS))
    first, again = (1, 1) if chosen.quick else (-(-chosen.sweeps // BLOCK), -(-chosen.again // BLOCK))
    kinds = {name: KINDS[name] for name in chosen.only or KINDS}
    with tempfile.TemporaryDirectory() as scratch:
        kept = KeptCells((Path(scratch) if chosen.quick else home() / "bench") / "coverage-cells.jsonl")
        finished = _simulate(kept, kinds, designs, first, again, time.monotonic() + 60 * chosen.minutes)
        claims = [_claim(name, kept, kinds[name], designs, first) for name in kinds]
        cells = {name: list(_rows(kept, kinds[name], kinds[name].cells(designs))) for name in kinds}
    if chosen.save:
        plot(cells, RESULTS / "coverage.svg")
    finish("coverage", claims, chosen, finished=finished, cells=cells)


def _simulate(
    kept: KeptCells,
    kinds: dict[str, Kind],
    designs: Sequence[tuple[int, int]],
    first: int,
    again: int,
    until: float,
) -> bool:
    """Simulates what is missing, block by block over all cells, until the time is up.

    Returns:
        Whether nothing is missing.
    """
    # Round by round: whenever it is stopped, all cells are known about equally well.
    for block in range(first):
        for name, kind in kinds.items():
            say(f"{name}: block {block + 1} of {first}")
            for cell in kind.cells(designs):
                if kept.blocks(kind, cell) <= block:
                    if time.monotonic() > until:
                        return False
                    kept.simulate(kind, cell)
    for block in range(first, first + again):
        for name, kind in kinds.items():
            for cell in _worst(kept, kind, designs, first):
                if kept.blocks(kind, cell) <= block:
                    if time.monotonic() > until:
                        return False
                    kept.simulate(kind, cell)
            say(f"{name}: worst cells, block {block - first + 1} of {again}")
    return True


def _badness(kind: Kind, share: float) -> float:
    """Says how far a share is on the wrong side of what it ought to be."""
    return {"coverage": -share, "size": share, "power": abs(share - POWER)}[kind.bar]


def _worst(kept: KeptCells, kind: Kind, designs: Sequence[tuple[int, int]], first: int) -> list[Cell]:
    """Lists the worst cells by the first blocks alone, so that the choice stays while they are gone on with."""
    shares: dict[Cell, float] = {}
    for cell in kind.cells(designs):
        tally = kept.tally(kind, cell) - kept.tally(kind, cell, first)
        if tally["sweeps"]:
            shares[cell] = tally[kind.judged] / tally["sweeps"]
    return sorted(shares, key=lambda cell: (-_badness(kind, shares[cell]), cell))[:WORST]


def _rows(kept: KeptCells, kind: Kind, cells: Sequence[Cell], first: int = 0) -> Iterator[dict[str, Any]]:
    """Tells each cell's shares; of a cell without sweeps nothing."""
    for cell in cells:
        tally = kept.tally(kind, cell, first)
        if sweeps := tally["sweeps"]:
            row = {**asdict(cell), "share": round(tally[kind.judged] / sweeps, 4), "sweeps": sweeps}
            if kind.beside:
                row["run_level"] = round(tally[kind.beside] / sweeps, 4)
            if kind.bar == "coverage":
                row["forced"] = row["share"] > TYPICAL[1] and _forced([times / sweeps for times in outcomes(tally)])
            yield row


def _forced(shares: Sequence[float]) -> bool:
    """Whether no interval could hold the truth in 93 to 97 % of sweeps: no outcomes next to each other are so likely.

    Args:
        shares: of sweeps, by their estimate, in its order.
    """
    for first in range(len(shares)):
        together = 0.0
        for share in shares[first:]:
            together += share
            if TYPICAL[0] <= together <= TYPICAL[1]:
                return False
    return True


def _claim(name: str, kept: KeptCells, kind: Kind, designs: Sequence[tuple[int, int]], first: int) -> dict[str, Any]:
    """Judges a kind by its worst cells: by fresh draws where there are any."""
    known = list(_rows(kept, kind, kind.cells(designs)))
    judged = list(_rows(kept, kind, _worst(kept, kind, designs, first), first)) or known
    if not judged:
        return {"id": name, "value": None, "unit": "", "target": None, "met": False, "against": "not run", "runs": []}
    judged.sort(key=lambda row: -_badness(kind, row["share"]))
    worst = judged[0]
    low, high = wilson(worst["share"] * worst["sweeps"], worst["sweeps"])
    shares = [row["share"] for row in known]
    beside = f"over all {len(known)} cells {sum(shares) / len(shares):.3f}"
    if kind.bar == "coverage":
        target, met, unit = LOWEST, high >= LOWEST, "of 95 % intervals hold the truth, in the worst cell"
        typical = sum(TYPICAL[0] <= share <= TYPICAL[1] for share in shares) / len(shares)
        above, forced = sum(share > TYPICAL[1] for share in shares), sum(row["forced"] for row in known)
        beside += f", {typical:.0%} of cells within {TYPICAL}, {above} above, {forced} of which could not be within"
    elif kind.bar == "size":
        target, met, unit = (
            LARGEST,
            low <= LARGEST,
            f"of sweeps claim something at {SIGNIFICANT:.0%}, in the worst cell",
        )
        beside += f", {sum(REACHED <= share <= LARGEST for share in shares)} cells within {(REACHED, LARGEST)}"
    else:
        target, met = NEAR, low <= POWER + NEAR and high >= POWER - NEAR
        unit = f"of sweeps find an effect of the printed size, in the design farthest from {POWER:.0%}"
    if kind.beside:
        careless = max(known, key=lambda row: _badness(kind, row["run_level"]))
        beside += f"; the analysis over single audits {careless['run_level']:.3f} in its worst cell"
    return {
        "id": name,
        "value": worst["share"],
        "unit": unit,
        "target": target,
        "met": bool(met),
        "against": f"{beside}; the worst cell is known to [{low:.3f}, {high:.3f}]",
        "runs": judged[:WORST],
    }


def plot(cells: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draws every cell's coverage and size by families and seeds."""
    import altair as alt

    rows: list[dict[str, Any]] = []
    for name, known in cells.items():
        rows += [{"kind": name, "design": f"{row['families']} × {row['seeds']}", **row} for row in known]
    order = [f"{families} × {seeds}" for families, seeds in product(FAMILIES, SEEDS)]
    base = alt.Chart(alt.InlineData(values=rows))
    dots = base.mark_point(filled=True, opacity=0.5, size=28).encode(
        x=alt.X("design:N", sort=order, title="families × seeds"),
        y=alt.Y("share:Q", title="share of sweeps", scale=alt.Scale(zero=False)),
        color=alt.Color("kappa:N", title="concentration"),
    )
    chart = dots.properties(width=300, height=170).facet(facet=alt.Facet("kind:N", title=None), columns=3)
    chart.resolve_scale(y="independent").save(path)


if __name__ == "__main__":
    main()
