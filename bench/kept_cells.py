"""Keeps what was simulated, cell by cell, so that a benchmark that is stopped goes on where it was."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import astuple
from pathlib import Path

import numpy as np
from simulated import Cell, Kind

from assay._util.hashing import digest_of

BLOCK = 50  # sweeps that are simulated, and kept, at once
Tally = Counter[str]  # answer → how often it was yes, `sweeps`, and estimate → how often, behind `=`


class KeptCells:
    """Counts the answers of each cell; a file of JSON lines holds one line a block.

    Args:
        path: of the file, made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blocks: dict[str, list[Tally]] = defaultdict(list)
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    kept = json.loads(line)
                except ValueError:
                    continue  # killed in the middle of a line
                self._blocks[kept["key"]].append(Counter(kept["counts"]))

    def tally(self, kind: Kind, cell: Cell, first: int = 0) -> Tally:
        """Adds up the answers of a cell.

        Args:
            kind: of simulation.
            cell: of it.
            first: block that is counted first.
        """
        return sum(self._blocks[_key(kind, cell)][first:], Counter())

    def blocks(self, kind: Kind, cell: Cell) -> int:
        """Counts the blocks of a cell."""
        return len(self._blocks[_key(kind, cell)])

    def simulate(self, kind: Kind, cell: Cell) -> None:
        """Simulates a cell's next block, with draws of its own, and keeps it."""
        key = _key(kind, cell)
        draws = np.random.default_rng(int(digest_of([key, self.blocks(kind, cell)])[:16], 16))
        counts: Tally = Counter()
        for _ in range(BLOCK):
            played = kind.play(draws, cell)
            if played.answers:
                counts["sweeps"] += 1
            counts.update({name: int(yes) for name, yes in played.answers.items()})
            if played.outcome is not None:
                counts[f"={played.outcome:.4f}"] += 1
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "counts": dict(counts)}) + "\n")
        self._blocks[key].append(counts)


def outcomes(tally: Tally) -> list[int]:
    """Lists how often each estimate came out, from the lowest estimate to the highest."""
    found = {float(name[1:]): times for name, times in tally.items() if name.startswith("=")}
    return [found[estimate] for estimate in sorted(found)]


def _key(kind: Kind, cell: Cell) -> str:
    return digest_of([kind.play.__name__, kind.digest(), astuple(cell)])
