"""Samples the posterior of kits' rates and of spreads under the logistic-normal model, with its weak priors."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, ndtri
from scipy.stats import chi2, qmc

from assay.studies.effects.logistic_normal import Likelihood, Numbers, Trial

COMMON = 1.7  # spread of the kits' common logit: a logit so distributed is a rate that may be anything
SPREAD = 1.0  # scale of the half-t priors (3 degrees of freedom) of all other spreads
_TO_MARGINAL = 16 * np.sqrt(3) / (15 * np.pi)  # how far a normal spread pulls a mean rate to a half (Zeger et al. 1988)
_LOWEST, _HIGHEST = np.log(0.02), np.log(20.0)  # spreads beyond these cannot be told from them
APART = (0.25, 0.6, 1.5)  # τ: how far apart the kits' logits lie
_FEW, _DRAWS = 64, 256  # for each τ
_NEGLIGIBLE = 4.0  # log of how much less probable a τ may be than another to be drawn from
_TAIL = 15  # degrees of freedom of what is drawn from
_WIDEST = 1.5  # standard deviation of a draw, where the data leave one open
_NODES: Numbers = ndtri((np.arange(64) + 0.5) / 64)  # of a standard normal, to average over


@dataclass(frozen=True, slots=True)
class Posterior:
    """Holds weighted draws.

    Attributes:
        weights: (draw), adding up to 1.
        logits: (draw, kit), of a cell whose latent effects are all 0.
        spreads: (draw, term), standard deviations on the logit scale.
    """

    weights: Numbers
    logits: Numbers
    spreads: Numbers

    @property
    def rates(self) -> Numbers:
        """Averages each kit's rate over all families there could be: (draw, kit)."""
        return mean_rates(self.logits, self.spreads)


def mean_rates(logits: Numbers, spreads: Numbers) -> Numbers:
    """Averages rates over latent effects of these spreads.

    Args:
        logits: (draw, kit).
        spreads: (draw, term).
    """
    total = np.sqrt((spreads**2).sum(axis=1))[:, None, None]
    return np.asarray(expit(logits[:, :, None] + total * _NODES).mean(axis=2))


@functools.lru_cache(maxsize=64)
def posterior(trials: tuple[Trial, ...], kits: int, terms: int) -> Posterior:
    """Samples what the trials leave open.

    Priors, on what is seen: the kits' mean rates have logits N(μ, τ²), μ is N(0, 1.7²), so that a rate may be anything;
    τ and the terms' spreads are half-t with 3 degrees of freedom and scale 1: a spread of 1 is common, one of 5 not
    ruled out. Where the trials say nothing of a spread, the mean rates hardly depend on it.

    Args:
        trials: at least one.
        kits: how many.
        terms: how many.
    """
    likelihood = Likelihood(trials, kits, terms)
    best = np.concatenate([np.full(kits, -0.5), np.zeros(terms)])
    # τ on a grid: where it is small the kits' logits are tied to each other, and no one distribution to draw from fits.
    pilots: list[_Pilot] = []
    for apart in APART:
        target = _Target(likelihood, apart)
        best = target.top(best)
        pilots.append(_pilot(target, best))
    strongest = max(pilot.evidence for pilot in pilots)
    found = [
        _draw(pilot.target, pilot.centre, pilot.root, _DRAWS)
        for pilot in pilots
        if pilot.evidence > strongest - _NEGLIGIBLE
    ]
    points = np.concatenate([drawn for drawn, _ in found])
    weights = _weights(np.concatenate([ratios for _, ratios in found]))
    logits, log_spreads = _natural(points, kits)
    return Posterior(weights, logits, np.exp(log_spreads))


@dataclass(frozen=True, slots=True)
class _Pilot:
    """Says where to draw from for one τ: about where, how widely, and the log of how probable that τ is."""

    target: _Target
    centre: Numbers
    root: Numbers
    evidence: float


def _pilot(target: _Target, top: Numbers) -> _Pilot:
    """Draws a few points around the top, and learns from them where the posterior lies."""
    root = _root_of_inverse(target.curvature(top))
    points, ratios = _draw(target, top, root, _FEW)
    weights = _weights(ratios)
    centre = weights @ points
    apart = points - centre
    # A few heavy draws make a poor covariance: some of the first guess keeps it of full rank.
    learned = (apart.T * weights) @ apart
    evidence = float(ratios.max() + np.log(np.exp(ratios - ratios.max()).mean()))
    return _Pilot(target, centre, np.asarray(np.linalg.cholesky((learned + root @ root.T) / 2)), evidence)


class _Target:
    """Computes the posterior density at points, kits' marginal logits and the terms' log spreads, for one τ."""

    def __init__(self, likelihood: Likelihood, apart: float) -> None:
        self._likelihood = likelihood
        self._kits = likelihood.kits
        self._apart = apart

    def __call__(self, points: Numbers, *, uphill: bool = True) -> tuple[Numbers, Numbers]:
        """Computes log densities and, if wanted, gradients: (point) and (point, parameter)."""
        kits = self._kits
        marginal, (logits, spreads) = points[:, :kits], _natural(points, kits)
        stretch = _stretch(spreads)[:, None]
        values, by_logit, by_spread = self._likelihood(logits, spreads, uphill=uphill)
        pull = (by_logit * marginal).sum(axis=1, keepdims=True) / stretch
        own, common = self._apart**2, self._apart**2 + kits * COMMON**2
        average = marginal.mean(axis=1, keepdims=True)
        values = values - ((marginal - average) ** 2).sum(axis=1) / own / 2 - kits * average[:, 0] ** 2 / common / 2
        values += _log_half_t(np.log(self._apart)) - (kits - 1) * np.log(own) / 2 - np.log(common) / 2
        values += _log_half_t(spreads).sum(axis=1)
        heavy = np.exp(2 * spreads) / (3 * SPREAD**2)
        return values, np.concatenate(
            [
                by_logit * stretch - (marginal - average) / own - average / common,
                by_spread + pull * _TO_MARGINAL**2 * np.exp(2 * spreads) + 1 - 4 * heavy / (1 + heavy),
            ],
            axis=1,
        )

    def top(self, start: Numbers) -> Numbers:
        """Climbs to about the highest density: draws are made around it, and weighed."""

        def downhill(point: Numbers) -> tuple[float, Numbers]:
            values, gradients = self(point[None, :])
            return -float(values[0]), -gradients[0]

        bounds = [(-8.0, 8.0)] * self._kits + [(_LOWEST, _HIGHEST)] * (start.size - self._kits)
        options = {"maxiter": 30, "ftol": 1e-4}
        return np.asarray(minimize(downhill, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x)

    def curvature(self, point: Numbers) -> Numbers:
        """Computes minus the second derivatives, by differences of gradients."""
        step = 1e-2 * np.eye(point.size)
        gradients = self(np.concatenate([point + step, point - step]))[1]
        second = (gradients[point.size :] - gradients[: point.size]) / 2e-2
        return np.asarray((second + second.T) / 2)


def _natural(points: Numbers, kits: int) -> tuple[Numbers, Numbers]:
    """Turns points into logits of a cell whose effects are all 0, and log spreads."""
    log_spreads = np.clip(points[:, kits:], _LOWEST - 2, _HIGHEST + 1)
    return points[:, :kits] * _stretch(log_spreads)[:, None], log_spreads


def _log_half_t(log_spread: Numbers) -> Numbers:
    """Computes the log density of a spread's logarithm."""
    return np.asarray(log_spread - 2 * np.log1p(np.exp(2 * log_spread) / (3 * SPREAD**2)))


def _stretch(log_spreads: Numbers) -> Numbers:
    """Says how much farther from 0 a logit is where all latent effects are 0 than that of the mean rate."""
    return np.asarray(np.sqrt(1 + _TO_MARGINAL**2 * np.exp(2 * log_spreads).sum(axis=1)))


def _root_of_inverse(curvature: Numbers) -> Numbers:
    values, vectors = np.linalg.eigh(curvature)
    return np.asarray(vectors / np.sqrt(np.maximum(values, _WIDEST**-2)))


def _draw(target: _Target, centre: Numbers, root: Numbers, count: int) -> tuple[Numbers, Numbers]:
    """Draws from a t distribution; with the draws come the logs of what the posterior is of it there."""
    uniform = qmc.Sobol(centre.size + 1, seed=np.random.default_rng(0)).random(count)
    normals = ndtri(np.clip(uniform[:, :-1], 1e-9, 1 - 1e-9))
    apart = normals / np.sqrt(chi2.ppf(np.clip(uniform[:, -1:], 1e-9, 1), _TAIL) / _TAIL)
    points = centre + apart @ root.T
    drawn = -(_TAIL + centre.size) / 2 * np.log1p((apart**2).sum(axis=1) / _TAIL)
    return points, target(points, uphill=False)[0] - drawn + np.linalg.slogdet(root)[1]


def _weights(ratios: Numbers) -> Numbers:
    weights = np.exp(ratios - ratios.max())
    # No draw may stand for more than √n of them (Ionides 2008).
    weights = np.minimum(weights, weights.mean() * np.sqrt(weights.size))
    return np.asarray(weights / weights.sum())
