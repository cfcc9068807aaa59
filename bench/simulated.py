"""Sweeps that are simulated for `coverage.py`: what is drawn, and what is asked of each.

A `Kind` plays one simulated sweep of a cell and answers yes or no to a few questions by name: whether an interval held
the truth, whether anything was claimed. To measure another method, add a `Kind` to `KINDS`: cells, sweeps, keeping and
claims follow. Families have rates of their own, beta-distributed; audits of a family are draws from its rate.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import ModuleType
from typing import Literal

import numpy as np
from scipy import stats

from assay._util import proportions
from assay._util.hashing import digest_of
from assay._util.proportions import wilson
from assay.studies.effects import effects, flips, intervals, matched, means, power, rates
from assay.studies.effects.effects import ArmScore, adjusted_p, paired_difference
from assay.studies.effects.power import SIGNIFICANT, SweepDesign, smallest_shown
from assay.studies.effects.rates import HitScore, auroc, brier, clustered_rate, success
from assay.studies.effects.verdict import HELPS, verdict

FAMILIES, SEEDS = (5, 8, 14, 33), (1, 4, 16)
MEANS, CONCENTRATIONS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8), (0.3, 2.0, 8.0)
SWAPPED, NULL = 8, 0.03  # truths on which a report is tried for its null, and how often it hits there
TOOLS = 4


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """What is simulated many times.

    Attributes:
        families: B.
        seeds: audits of each family.
        mean: rate over families.
        kappa: concentration of their beta distribution; small is much spread.
    """

    families: int
    seeds: int
    mean: float
    kappa: float

    def drawn(self, draws: np.random.Generator, mean: float | None = None, families: int = 0) -> np.ndarray:
        """Draws each family's rate."""
        mean = self.mean if mean is None else mean
        return draws.beta(mean * self.kappa, (1 - mean) * self.kappa, size=families or self.families)


@dataclass(frozen=True, slots=True)
class Played:
    """What one simulated sweep says.

    Attributes:
        answers: question → yes or no; empty where nothing would be printed.
        outcome: the estimate whose interval is asked about; None where there is none.
    """

    answers: Mapping[str, bool]
    outcome: float | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A simulation, and how its cells are judged.

    Attributes:
        play: one sweep of a cell.
        measures: modules that it puts to the test: where they change, cells are simulated anew.
        judged: the answer that the bars are about.
        bar: `coverage`: how often it ought to be yes is 95 %; `size`: 5 % at most; `power`: 80 %.
        beside: the answer of the analysis over single audits, "" without one.
        means, kappas: of its cells.
    """

    play: Callable[[np.random.Generator, Cell], Played]
    measures: tuple[ModuleType, ...]
    judged: str
    bar: Literal["coverage", "size", "power"]
    beside: str = ""
    means: Sequence[float] = MEANS
    kappas: Sequence[float] = CONCENTRATIONS

    def cells(self, designs: Sequence[tuple[int, int]]) -> list[Cell]:
        """Lists its cells for some (families, seeds)."""
        return [Cell(*design, mean, kappa) for design, mean, kappa in product(designs, self.means, self.kappas)]

    def digest(self) -> str:
        """Digests the simulation and what it measures."""
        sources = [inspect.getsource(self.play), *map(inspect.getsource, self.measures)]
        return digest_of([*sources, inspect.getsource(Cell.drawn), SWAPPED, NULL, TOOLS])[:12]


def _holds(interval: tuple[float, float], truth: float) -> bool:
    return bool(interval[0] - 1e-9 <= truth <= interval[1] + 1e-9)


def of_success(draws: np.random.Generator, cell: Cell) -> Played:
    """Success of a kit: raw less null."""
    raw, null = cell.drawn(draws), cell.drawn(draws, NULL)
    scores: list[HitScore] = []
    for family in range(cell.families):
        hits = draws.random(cell.seeds) < raw[family]
        shares = draws.binomial(SWAPPED, null[family], size=cell.seeds) / SWAPPED
        for hit, share in zip(hits, shares, strict=True):
            scores.append(HitScore(str(family), float(hit), float(share), SWAPPED))
    estimate = success(scores)
    assert estimate is not None
    values = np.array([score.success for score in scores])
    reach = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    run_level = (float(values.mean()) - reach, float(values.mean()) + reach)
    truth = cell.mean - NULL
    answers = {"held": _holds(estimate.interval, truth), "run_level": _holds(run_level, truth)}
    return Played(answers, estimate.value)


def of_false_alarms(draws: np.random.Generator, cell: Cell) -> Played:
    """The rate of false alarms over clean targets."""
    alarms = draws.binomial(cell.seeds, cell.drawn(draws))
    outcomes: list[tuple[str, float]] = []
    for target, happened in enumerate(alarms):
        outcomes += [(str(target), float(seed < happened)) for seed in range(cell.seeds)]
    estimate = clustered_rate(outcomes)
    assert estimate is not None
    run_level = wilson(float(alarms.sum()), cell.families * cell.seeds)
    answers = {"held": _holds(estimate.interval, cell.mean), "run_level": _holds(run_level, cell.mean)}
    return Played(answers, estimate.value)


def _arm(draws: np.random.Generator, drawn: np.ndarray, seeds: int) -> dict[str, ArmScore]:
    hits = draws.binomial(seeds, drawn) / seeds
    return {str(family): ArmScore(float(raw), 0.0) for family, raw in enumerate(hits)}


def of_effect(draws: np.random.Generator, cell: Cell) -> Played:
    """What a tool adds that wins a fifth of what the base kit misses."""
    drawn = cell.drawn(draws)
    names = {str(family): str(family) for family in range(cell.families)}
    tool, base = _arm(draws, drawn + (1 - drawn) / 5, cell.seeds), _arm(draws, drawn, cell.seeds)
    found = paired_difference(tool, base, names)
    assert found is not None
    truth, count = (1 - cell.mean) / 5, cell.seeds * cell.families
    after, before = (float(sum(score.raw for score in arm.values()) * cell.seeds) for arm in (tool, base))
    run_level = proportions.newcombe(after, count, before, count)
    answers = {"held": _holds(found.interval, truth), "run_level": _holds(run_level, truth)}
    return Played(answers, found.delta)


def of_auroc(draws: np.random.Generator, cell: Cell) -> Played:
    """Reported doubts are normal, organisms' higher by as much as makes this area; targets differ among themselves."""
    area = 0.5 + cell.mean / 2
    apart = np.sqrt(2 * (1 + 1 / cell.kappa)) * stats.norm.ppf(area)

    def doubts(shift: float, count: int) -> Iterator[tuple[str, float]]:
        for target in range(count):
            for doubt in draws.normal(draws.normal(shift, 1), cell.kappa**-0.5, size=cell.seeds):
                yield str(target), float(doubt)

    estimate = auroc(list(doubts(float(apart), cell.families)), list(doubts(0.0, max(3, cell.families // 2))))
    assert estimate is not None
    return Played({"held": _holds(estimate.interval, area)}, estimate.value)


def of_brier(draws: np.random.Generator, cell: Cell) -> Played:
    """Squared errors of audits are beta-distributed about their target's, and these about the mean."""
    expected = np.clip(cell.drawn(draws, families=cell.families + max(3, cell.families // 2)), 1e-6, 1 - 1e-6)
    errors = np.sqrt(draws.beta(4 * expected[:, None], 4 * (1 - expected[:, None]), size=(len(expected), cell.seeds)))
    hidden, nothing = np.split(errors, [cell.families])
    organisms = [(str(i), float(1 - error)) for i, row in enumerate(hidden) for error in row]
    clean = [(str(i), float(error)) for i, row in enumerate(nothing) for error in row]
    score = brier(organisms, clean)
    assert score is not None
    return Played({"held": _holds(score.interval, cell.mean)}, score.value)


def _claims(draws: np.random.Generator, cell: Cell, swing: float) -> Played:
    """Tells what is claimed of tools that do nothing on average.

    Args:
        swing: by how much each moves a family's rate to either side, as a share of the room there is.
    """
    drawn = cell.drawn(draws)
    names = {str(family): str(family) for family in range(cell.families)}
    moved = draws.choice((-1, 1), size=(TOOLS, cell.families)) * np.minimum(drawn, 1 - drawn) * swing
    base = _arm(draws, drawn, cell.seeds)
    tools = [_arm(draws, drawn + change, cell.seeds) for change in moved]
    found = [one for one in (paired_difference(tool, base, names) for tool in tools) if one is not None]
    answers = {
        "any": min(adjusted_p(found)) < SIGNIFICANT,
        "one": found[0].p < SIGNIFICANT,
        "run_level": _run_level(tools, base, cell.seeds) < SIGNIFICANT / TOOLS,
    }
    return Played(answers)


def of_claims_alike(draws: np.random.Generator, cell: Cell) -> Played:
    """Four tools that do nothing anywhere."""
    return _claims(draws, cell, 0.0)


def of_claims_varied(draws: np.random.Generator, cell: Cell) -> Played:
    """Four tools that help in some families and hurt as much in others."""
    return _claims(draws, cell, 0.5)


def _run_level(tools: list[dict[str, ArmScore]], base: dict[str, ArmScore], seeds: int) -> float:
    """Gives the smallest p of tests of two proportions that take every audit for independent."""
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


def of_power(draws: np.random.Generator, cell: Cell) -> Played:
    """One tool of four has the effect that is printed as found four times in five; each must beat base and placebo."""
    size = smallest_shown(SweepDesign(cell.families, cell.seeds, TOOLS, placebos=True))
    if size is None:
        return Played({})
    drawn = cell.drawn(draws)
    names = {str(family): str(family) for family in range(cell.families)}
    raised = drawn + (1 - drawn) * size / (1 - cell.mean)
    tools = [_arm(draws, rates, cell.seeds) for rates in (raised, *[drawn] * (TOOLS - 1))]
    base = _arm(draws, drawn, cell.seeds)
    placebos = [_arm(draws, drawn, cell.seeds) for _ in tools]
    said: list[str] = []
    for controls in ([base] * TOOLS, placebos):
        pairs = zip(tools, controls, strict=True)
        found = [one for one in (paired_difference(tool, control, names) for tool, control in pairs) if one]
        said.append(verdict(found[0].delta, adjusted_p(found)[0]))
    return Played({"found": said == [HELPS, HELPS]})


KINDS: dict[str, Kind] = {
    "success of a kit": Kind(of_success, (rates, intervals, proportions), "held", "coverage", "run_level"),
    "effect of a tool": Kind(of_effect, (effects, flips, matched, means), "held", "coverage", "run_level"),
    "false alarms": Kind(of_false_alarms, (rates, intervals), "held", "coverage", "run_level"),
    "AUROC": Kind(of_auroc, (rates,), "held", "coverage"),
    "Brier score": Kind(of_brier, (rates, means), "held", "coverage"),
    "one tool that does nothing": Kind(of_claims_alike, (effects, flips, matched), "one", "size", means=(0.1, 0.35)),
    "four tools that do nothing": Kind(
        of_claims_alike, (effects, flips, matched), "any", "size", "run_level", means=(0.1, 0.35)
    ),
    "four tools that help here and hurt there": Kind(
        of_claims_varied, (effects, flips, matched), "any", "size", "run_level", means=(0.1, 0.35)
    ),
    "printed power": Kind(of_power, (power, effects, flips, matched), "found", "power", means=(0.2,), kappas=(2.0,)),
}
