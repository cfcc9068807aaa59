"""Whether the intervals of shrunken effects hold the truth, and how much nearer to it they are than plain differences.

    python bench/shrinkage.py [--json] [--quick] [--save] [--sweeps N]

Families' rates are beta-distributed, which is not what the model assumes. Beside `bench/coverage.py`, whose intervals
take a thousandth of the time.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from contract import finish, parser, say

from assay.studies.effects.hierarchical import Weighted
from assay.studies.effects.logistic_normal import Trial
from assay.studies.effects.posterior import posterior

TOOLS = 4
LOWEST = 0.92  # coverage in the worst cell


def main() -> None:
    """Print the claims."""
    options = parser(__doc__)
    options.add_argument("--sweeps", type=int, default=40, help="simulated of every cell")
    chosen = options.parse_args()
    designs, sweeps = ([(8, 3)], 8) if chosen.quick else ([(8, 3), (14, 3), (33, 4)], chosen.sweeps)
    finish("shrinkage", _shrunken(designs, sweeps), chosen)


def _shrunken(designs: list[tuple[int, int]], sweeps: int) -> list[dict[str, Any]]:
    """Whether the model's intervals hold the truth, and how far its effects are from it, beside plain differences.

    Of four tools one wins a fifth of what the base kit misses; the others win here what they lose there.
    """
    cells: list[dict[str, Any]] = []
    for families, seeds in designs:
        say(f"hierarchical model: {families} families, {seeds} seeds")
        for mean, concentration in ((0.05, 0.3), (0.2, 2.0), (0.35, 8.0)):
            draws = np.random.default_rng([families, seeds, int(1000 * mean), int(10 * concentration), 2])
            told = np.array([_one_model(draws, families, seeds, mean, concentration) for _ in range(sweeps)])
            held, shrunken, plain, found = told.transpose(2, 0, 1)
            cells.append(
                {
                    "families": families,
                    "seeds": seeds,
                    "mean": mean,
                    "kappa": concentration,
                    "held": float(held.mean()),
                    "held of the tool that helps": float(held[:, 0].mean()),
                    "error": float(np.sqrt((shrunken**2).mean())),
                    "plain error": float(np.sqrt((plain**2).mean())),
                    "helps found": float(found[:, 0].mean()),
                    "any false claim": float(found[:, 1:].max(axis=1).mean()),
                }
            )
    worst = min(cells, key=lambda cell: cell["held"])
    noise = 2 * np.sqrt(LOWEST * (1 - LOWEST) / (sweeps * TOOLS))
    ratio = float(np.mean([cell["error"] for cell in cells]) / np.mean([cell["plain error"] for cell in cells]))
    return [
        {
            "id": "coverage: shrunken effect",
            "value": round(worst["held"], 4),
            "unit": f"of 95 % intervals hold the truth, in the worst of {len(cells)} cells",
            "target": LOWEST,
            "met": bool(worst["held"] >= LOWEST - noise),
            "against": f"none; mean {np.mean([cell['held'] for cell in cells]):.3f}; a cell is known to ± {noise:.3f}",
            "runs": cells,
        },
        {
            "id": "error of shrunken effects",
            "value": round(ratio, 4),
            "unit": "root mean squared error, of the plain differences'",
            "target": 1.0,
            "met": ratio <= 1.0,
            "against": "plain paired differences in the same sweeps",
            "runs": [],
        },
    ]


def _one_model(
    draws: np.random.Generator, families: int, seeds: int, mean: float, concentration: float
) -> list[tuple[bool, float, float, bool]]:
    """For each tool: whether its interval holds the truth, its error, the plain one, whether anything is claimed."""
    base = draws.beta(mean * concentration, (1 - mean) * concentration, size=families)
    swing = draws.choice((-1, 1), size=(TOOLS - 1, families)) * np.minimum(base, 1 - base) / 2
    rates = np.vstack([base, base + (1 - base) / 5, base + swing])
    hits = draws.binomial(seeds, rates)
    trials = [
        Trial(str(family), kit, (str(family), str(kit)), float(hits[kit, family]), float(seeds))
        for kit, family in product(range(TOOLS + 1), range(families))
    ]
    found = posterior(tuple(trials), TOOLS + 1, 2)
    told: list[tuple[bool, float, float, bool]] = []
    for tool in range(1, TOOLS + 1):
        effect = Weighted(found.rates[:, tool] - found.rates[:, 0], found.weights)
        truth = (1 - mean) / 5 if tool == 1 else 0.0
        plain = float((hits[tool] - hits[0]).mean()) / seeds
        low, high = effect.interval
        told.append((low <= truth <= high, effect.mean - truth, plain - truth, low > 0 or high < 0))
    return told


if __name__ == "__main__":
    main()
