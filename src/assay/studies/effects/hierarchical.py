"""Shrinks effects by a model of all kits, families, testbeds and seeds at once, and splits the variance of a hit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy.special import expit, ndtri

from assay._util.proportions import Interval
from assay.audits.kits import PLACEBO
from assay.studies.effects.intervals import LEVEL
from assay.studies.effects.logistic_normal import Numbers, Trial
from assay.studies.effects.numbers import EffectVerdict
from assay.studies.effects.posterior import Posterior, posterior
from assay.studies.effects.rates import mean
from assay.studies.effects.results import Effect
from assay.studies.effects.scores import ScoredAudit
from assay.studies.effects.shrunken import Hierarchical, ShrunkenEffect, VarianceShare

_FAMILY, _TESTBED, _SLOPE, _SEED, _AUDIT = "family", "testbed", "tool by family", "seed", "single audit"
_FEW = 3  # families below which their spread is the prior's
_NODES: Numbers = ndtri((np.arange(20) + 0.5) / 20)  # of a standard normal, to average over


def hierarchical(
    by_kit: Mapping[str, Sequence[ScoredAudit]], effects: Sequence[Effect], ceilings: Mapping[str, float]
) -> Hierarchical | None:
    """Fits the model to the audits of the compared kits.

    None where no kits are compared, or every cell was audited once: what differs from family to family could not be
    told from chance, and effects would be shrunken by the priors alone.

    logit P(hit) = kit + family + tool by family + testbed + seed, the last four normal; testbed and seed as far as the
    design can tell them from the others. Effects are averaged over all families there could be, and the nulls' mean
    difference, resampled over families, is taken off. Always the same numbers for the same rows.

    Args:
        by_kit: kit → its audits.
        effects: the comparisons, as the exact tests judge them.
        ceilings: alias → how often grading lets a true report pass.
    """
    arms = _arms(by_kit, effects)
    cells = {(row.row.kit, row.row.alias) for row in chain.from_iterable(arms.values())}
    if not all(arms.values()) or len(cells) == sum(map(len, arms.values())):
        return None
    sources, trials = _trials(arms)
    found = posterior(tuple(trials), len(arms), len(sources))
    families = sorted({row.family for row in chain.from_iterable(arms.values())})
    success = found.rates - _nulls(arms, families, found.weights.size)
    kits = list(arms)
    shrunken: list[ShrunkenEffect] = []
    for effect in effects:
        draws = success[:, kits.index(effect.kit)] - success[:, kits.index(effect.control)]
        shrunken.append(_effect(effect, Weighted(draws, found.weights)))
    rate = float(found.weights @ found.rates.mean(axis=1))
    graded_on = {row.row.alias for row in chain.from_iterable(arms.values())} & ceilings.keys()
    shares = variance_shares(found, sources, _AUDIT)
    return Hierarchical(
        effects=shrunken,
        variance=shares,
        grader=_grader(rate, [ceilings[alias] for alias in sorted(graded_on)], shares[-1].share),
        caveats=_caveats(arms, sources, families),
    )


@dataclass(frozen=True, slots=True)
class Weighted:
    """Holds weighted draws of a number."""

    draws: Numbers
    weights: Numbers

    @property
    def mean(self) -> float:
        """Averages the draws."""
        return float(self.weights @ self.draws)

    @property
    def interval(self) -> Interval:
        """Bounds the middle 95 %."""
        order = np.argsort(self.draws, kind="stable")
        weights = self.weights[order]
        middles = np.cumsum(weights) - weights / 2  # a draw stands for what lies half its weight to either side
        low, high = np.interp([(1 - LEVEL) / 2, (1 + LEVEL) / 2], middles, self.draws[order])
        return float(low), float(high)


def _arms(by_kit: Mapping[str, Sequence[ScoredAudit]], effects: Iterable[Effect]) -> dict[str, list[ScoredAudit]]:
    """Lists the compared kits' graded audits of organisms, without those that had to do without a compared tool."""
    tools: dict[str, set[str]] = defaultdict(set)
    for effect in effects:
        tools[effect.kit].add(effect.tool)
        tools[effect.control].add(effect.tool)
    arms: dict[str, list[ScoredAudit]] = {}
    for kit, compared in tools.items():
        arms[kit] = []
        for row in by_kit[kit]:
            skipped = {name.lstrip(PLACEBO) for name in row.row.skipped}
            if row.graded and not row.clean and not skipped & compared:
                arms[kit].append(row)
        arms[kit].sort(key=lambda row: row.row.run_key)  # sums in one order, however the rows are stored
    return arms


def _trials(arms: Mapping[str, Sequence[ScoredAudit]]) -> tuple[list[str], list[Trial]]:
    """Makes one trial of each audit; and names the terms that the design can tell apart."""
    rows = list(chain.from_iterable(arms.values()))
    families = {row.row.alias: row.family for row in rows}
    kits_of: dict[tuple[str, int], set[str]] = defaultdict(set)
    seeds_of: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        kits_of[row.row.alias, row.row.seed].add(row.row.kit)
        seeds_of[row.row.alias].add(row.row.seed)
    sources = [_FAMILY, _SLOPE]
    if len(set(families.values())) < len(families):
        sources.append(_TESTBED)
    # What a seed does to all kits is seen where several kits have it, and the testbed has several seeds.
    if any(len(kits) > 1 and len(seeds_of[alias]) > 1 for (alias, _), kits in kits_of.items()):
        sources.append(_SEED)
    trials: list[Trial] = []
    for index, kit in enumerate(arms):
        for row in arms[kit]:
            group = {
                _FAMILY: row.family,
                _SLOPE: kit,
                _TESTBED: row.row.alias,
                _SEED: f"{row.row.alias} {row.row.seed}",
            }
            trials.append(Trial(row.family, index, tuple(group[source] for source in sources), row.raw, 1.0))
    return sources, trials


def _nulls(arms: Mapping[str, Sequence[ScoredAudit]], families: Sequence[str], count: int) -> Numbers:
    """Resamples each kit's mean null over families (Rubin's Bayesian bootstrap, 1981): (draw, kit)."""
    shares = np.random.default_rng(0).standard_exponential((count, len(families)))
    drawn = np.empty((count, len(arms)))
    for index, rows in enumerate(arms.values()):
        nulls: dict[str, list[float]] = defaultdict(list)
        for row in rows:
            nulls[row.family].append(row.null)
        there = shares[:, [families.index(family) for family in nulls]]
        drawn[:, index] = there @ [mean(values) for values in nulls.values()] / there.sum(axis=1)
    return drawn


def _effect(effect: Effect, difference: Weighted) -> ShrunkenEffect:
    low, high = difference.interval
    said: EffectVerdict = "helps" if low > 0 else "hurts" if high < 0 else "not told apart"
    return ShrunkenEffect(
        tool=effect.tool,
        against=effect.against,
        kit=effect.kit,
        control=effect.control,
        raw=effect.delta,
        delta=difference.mean,
        interval=(low, high),
        p_positive=float(difference.weights @ (difference.draws > 0)),
        verdict=said,
    )


def variance_shares(found: Posterior, sources: Sequence[str], rest: str) -> list[VarianceShare]:
    """Splits the variance of a hit, kits counting alike, into what each source of spread adds; they add up to 1.

    Args:
        found: the posterior.
        sources: of its terms, the widest cluster first.
        rest: what the variance within the narrowest is called.
    """
    rates = found.rates.mean(axis=1)
    total = (found.rates * (1 - found.rates)).mean(axis=1)
    explained = np.zeros(rates.size)
    shares: list[VarianceShare] = []
    for term, source in enumerate(sources):
        so_far = _variance(found, term + 1)
        shares.append(_share(source, (so_far - explained) / total, found.weights))
        explained = so_far
    return [*shares, _share(rest, 1 - explained / total, found.weights)]


def _share(source: str, draws: Numbers, weights: Numbers) -> VarianceShare:
    share = Weighted(np.clip(draws, 0.0, 1.0), weights)
    return VarianceShare(source=source, share=share.mean, interval=share.interval)


def _variance(found: Posterior, terms: int) -> Numbers:
    """Computes the variance, over the first terms, of the rate averaged over the others: (draw)."""
    outer = np.sqrt((found.spreads[:, :terms] ** 2).sum(axis=1))[:, None, None]
    inner = np.sqrt((found.spreads[:, terms:] ** 2).sum(axis=1))[:, None, None]
    variance = np.zeros(found.weights.size)
    for logits in found.logits.T:  # kit by kit, since all kits at once would not stay in the caches
        rates = expit(logits[:, None, None] + outer * _NODES[:, None] + inner * _NODES).mean(axis=2)
        variance += rates.var(axis=1)
    return np.asarray(variance / found.logits.shape[1])


def _grader(rate: float, ceilings: Sequence[float], rest: float) -> float | None:
    """Computes the share of the variance that is the luck of grading, if all that hit is true reports."""
    if not ceilings or not 0 < rate < 1:
        return None
    # A true report that passes with probability c is a trial of variance c(1 − c), and rate / c of reports are true.
    return min(rest, (1 - mean(ceilings)) / (1 - rate))


def _caveats(arms: Mapping[str, Sequence[ScoredAudit]], sources: Sequence[str], families: Sequence[str]) -> list[str]:
    """Says what is left to the priors."""
    rows = list(chain.from_iterable(arms.values()))
    said: list[str] = []
    if len({row.raw for row in rows}) == 1:
        outcome = "hit" if rows[0].raw else "missed"
        said.append(f"Every audit {outcome}: the sizes of effects are the model's priors.")
    if len(families) < _FEW:
        number = "One family" if len(families) == 1 else f"{len(families)} families"
        said.append(f"{number}: what the model says of others is its priors.")
    if _TESTBED not in sources:
        said.append("Each family has one testbed: families' variance is testbeds' too.")
    return said
