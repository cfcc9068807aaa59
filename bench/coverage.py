"""Whether the intervals, the tests and the printed power hold what they promise, by simulation.

    python bench/coverage.py [--json] [--quick] [--save] [--threads N]

Families have rates of their own, beta-distributed; audits of a family are draws from its rate. For B families and so
many seeds a cell is one mean rate and one concentration. Measured are: the coverage of every interval that is printed
(success, effects, false alarms, AUROC, Brier score), the chance of any false claim over four tools that do nothing, and
how often the verdict finds an effect of the size that is printed as found four times in five. Beside the test over
families stands the one over single audits, to show why it is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
from contract import finish, options, say
from scipy import stats

from assay.studies.effects.effects import ArmScore, adjusted_p, paired_difference
from assay.studies.effects.power import SweepDesign, power_at, smallest_shown
from assay.studies.effects.rates import HitScore, auroc, brier, clustered_rate, success

FAMILIES, SEEDS = (5, 8, 14, 33), (1, 4, 16)
MEANS, CONCENTRATIONS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8), (0.3, 2.0, 8.0)
SWAPPED = 8  # truths on which a report is tried for its null
TOOLS = 4
LOWEST = 0.92  # coverage in the worst cell
SIZE = 0.07  # chance of any false claim in the worst cell

Sweeps = tuple[int, int]  # of a cell, for coverage and for tests


def main() -> None:
    """Print the claims."""
    chosen = options(__doc__)
    sweeps = (60, 60) if chosen.quick else (200, 400)
    designs = list(product(FAMILIES, SEEDS)) if not chosen.quick else [(8, 1), (14, 4)]
    claims: list[dict[str, Any]] = []
    for name, covers in COVERED.items():
        claims.append(_coverage(name, covers, designs, sweeps[0]))
    claims += _size(designs, sweeps[1])
    claims.append(_power(designs, chosen.quick))
    finish("coverage", claims, chosen)


def _coverage(
    name: str, covers: Callable[[np.random.Generator, int, int, float, float], bool], designs: Any, sweeps: int
) -> dict[str, Any]:
    """How often the interval holds the truth, in the worst cell and on average."""
    cells: list[dict[str, Any]] = []
    for families, seeds in designs:
        say(f"{name}: {families} families, {seeds} seeds")
        for mean, concentration in product(MEANS, CONCENTRATIONS):
            draws = np.random.default_rng([families, seeds, int(1000 * mean), int(10 * concentration)])
            held = np.mean([covers(draws, families, seeds, mean, concentration) for _ in range(sweeps)])
            cells.append({"families": families, "seeds": seeds, "mean": mean, "kappa": concentration, "held": held})
    worst = min(cells, key=lambda cell: cell["held"])
    noise = 2 * np.sqrt(LOWEST * (1 - LOWEST) / sweeps)  # of the worst cell, itself simulated
    return {
        "id": f"coverage: {name}",
        "value": round(float(worst["held"]), 4),
        "unit": f"of 95 % intervals hold the truth, in the worst of {len(cells)} cells",
        "target": LOWEST,
        "met": bool(worst["held"] >= LOWEST - noise),
        "against": f"none; mean {np.mean([cell['held'] for cell in cells]):.3f}; a cell is known to ± {noise:.3f}",
        "runs": sorted(cells, key=lambda cell: cell["held"])[:5],
    }


def _rates(draws: np.random.Generator, families: int, mean: float, concentration: float) -> np.ndarray:
    return draws.beta(mean * concentration, (1 - mean) * concentration, size=families)


def _success(draws: np.random.Generator, families: int, seeds: int, mean: float, concentration: float) -> bool:
    rates, nulls = _rates(draws, families, mean, concentration), _rates(draws, families, 0.03, concentration)
    scores: list[HitScore] = []
    for family, (rate, null) in enumerate(zip(rates, nulls, strict=True)):
        for _ in range(seeds):
            share = draws.binomial(SWAPPED, null) / SWAPPED
            scores.append(HitScore(str(family), float(draws.random() < rate), share, SWAPPED))
    estimate = success(scores)
    assert estimate is not None
    return estimate.interval[0] <= mean - 0.03 <= estimate.interval[1]


def _false_alarms(draws: np.random.Generator, families: int, seeds: int, mean: float, concentration: float) -> bool:
    alarms = draws.binomial(seeds, _rates(draws, families, mean, concentration))
    outcomes: list[tuple[str, float]] = []
    for target, happened in enumerate(alarms):
        outcomes += [(str(target), float(seed < happened)) for seed in range(seeds)]
    estimate = clustered_rate(outcomes)
    assert estimate is not None
    return estimate.interval[0] <= mean <= estimate.interval[1]


def _arm(draws: np.random.Generator, rates: np.ndarray, seeds: int) -> dict[str, ArmScore]:
    hits = draws.binomial(seeds, rates) / seeds
    return {str(family): ArmScore(float(raw), 0.0) for family, raw in enumerate(hits)}


def _effect(draws: np.random.Generator, families: int, seeds: int, mean: float, concentration: float) -> bool:
    """The tool wins a fifth of what the base kit misses."""
    rates = _rates(draws, families, mean, concentration)
    names = {str(family): str(family) for family in range(families)}
    found = paired_difference(_arm(draws, rates + (1 - rates) / 5, seeds), _arm(draws, rates, seeds), names)
    assert found is not None
    return found.interval[0] <= (1 - mean) / 5 <= found.interval[1]


def _auroc(draws: np.random.Generator, families: int, seeds: int, mean: float, concentration: float) -> bool:
    """Reported doubts are normal, organisms' higher by as much as makes this area; targets differ among themselves."""
    area = 0.5 + mean / 2
    apart = np.sqrt(2 * (1 + 1 / concentration)) * stats.norm.ppf(area)

    def doubts(shift: float, count: int) -> Iterator[tuple[str, float]]:
        for target in range(count):
            centre = draws.normal(shift, 1)
            for _ in range(seeds):
                yield str(target), float(draws.normal(centre, concentration**-0.5))

    estimate = auroc(list(doubts(apart, families)), list(doubts(0.0, max(3, families // 2))))
    assert estimate is not None
    return estimate.interval[0] <= area <= estimate.interval[1]


def _brier(draws: np.random.Generator, families: int, seeds: int, mean: float, concentration: float) -> bool:
    """Squared errors of organisms and clean targets alike are beta-distributed."""
    true = mean
    errors = _rates(draws, 2 * families, mean, concentration)
    organisms = [(str(i), 1 - float(np.sqrt(error))) for i, error in enumerate(errors[:families])]
    clean = [(str(i), float(np.sqrt(error))) for i, error in enumerate(errors[families:])]
    score = brier(organisms * seeds, clean * seeds)
    assert score is not None
    return score.interval[0] <= true <= score.interval[1]


COVERED = {
    "success of a kit": _success,
    "effect of a tool": _effect,
    "false alarms": _false_alarms,
    "AUROC": _auroc,
    "Brier score": _brier,
}


def _size(designs: Any, sweeps: int) -> list[dict[str, Any]]:
    """How often any of four tools that do nothing is called significant; and by a test over single audits."""
    cells: list[dict[str, Any]] = []
    for families, seeds in designs:
        say(f"false claims: {families} families, {seeds} seeds")
        names = {str(family): str(family) for family in range(families)}
        for mean, concentration in product((0.1, 0.35), CONCENTRATIONS):
            draws = np.random.default_rng([families, seeds, int(1000 * mean), int(10 * concentration), 1])
            claimed = naive = 0
            for _ in range(sweeps):
                rates = _rates(draws, families, mean, concentration)
                swing = draws.choice((-1, 1), size=(TOOLS, families)) * np.minimum(rates, 1 - rates) / 2
                base = _arm(draws, rates, seeds)
                tools = [_arm(draws, rates + change, seeds) for change in swing]
                differences = [paired_difference(tool, base, names) for tool in tools]
                claimed += min(adjusted_p([one for one in differences if one is not None])) < 0.05
                naive += _run_level(tools, base, seeds) < 0.05 / TOOLS
            cells.append(
                {
                    "families": families,
                    "seeds": seeds,
                    "mean": mean,
                    "kappa": concentration,
                    "claimed": claimed / sweeps,
                    "run_level": naive / sweeps,
                }
            )
    worst = max(cells, key=lambda cell: cell["claimed"])
    careless = max(cells, key=lambda cell: cell["run_level"])
    noise = 2 * np.sqrt(SIZE * (1 - SIZE) / sweeps)
    return [
        {
            "id": "false claims",
            "value": worst["claimed"],
            "unit": f"of sweeps claim anything of {TOOLS} tools that do nothing on average, in the worst cell",
            "target": SIZE,
            "met": bool(worst["claimed"] <= SIZE + noise),
            "against": f"a test over single audits, Bonferroni: {careless['run_level']:.3f} in its worst cell",
            "runs": sorted(cells, key=lambda cell: -cell["claimed"])[:5],
        }
    ]


def _run_level(tools: list[dict[str, ArmScore]], base: dict[str, ArmScore], seeds: int) -> float:
    """The smallest p of tests of two proportions that take every audit for independent."""
    count = seeds * len(base)
    before = sum(score.raw for score in base.values()) * seeds
    smallest = 1.0
    for tool in tools:
        after = sum(score.raw for score in tool.values()) * seeds
        pooled = (before + after) / (2 * count)
        spread = np.sqrt(2 * pooled * (1 - pooled) / count)
        if spread:
            smallest = min(smallest, float(2 * stats.norm.sf(abs(after - before) / count / spread)))
    return smallest


def _power(designs: Any, quick: bool) -> dict[str, Any]:
    """How often the verdict finds an effect of the printed size, in other draws than those it was computed from."""
    cells: list[dict[str, Any]] = []
    for families, seeds in designs:
        if seeds > 4 and not quick:
            continue
        say(f"power: {families} families, {seeds} seeds")
        design = SweepDesign(families, seeds, TOOLS, placebos=True)
        size = smallest_shown(design)
        if size is not None:
            found = power_at(design, size, sweeps=400 if quick else 2_000, seed=99)
            cells.append({"families": families, "seeds": seeds, "printed": size, "found": found})
    worst = max((abs(cell["found"] - 0.8) for cell in cells), default=0.0)
    return {
        "id": "printed power",
        "value": round(worst, 4),
        "unit": "largest distance from 80 %",
        "target": 0.05,
        "met": worst <= 0.05,
        "against": "simulation with other draws",
        "runs": cells,
    }


if __name__ == "__main__":
    main()
