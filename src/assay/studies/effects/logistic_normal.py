"""Fits a logistic-normal model of hits: a rate for each kit, and what families, testbeds and seeds add to it.

logit P(hit) = α_kit + Σ_terms N(0, σ_term²). Every term's groups lie within one block (a family), so that blocks are
independent given the kits' rates and the spreads: each block's latent effects are integrated out by Laplace's
approximation, corrected by importance sampling, and what is left (a number a kit, one a spread) is sampled by adaptive
importance sampling. All draws come from fixed seeds: the same rows give the same numbers.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri
from scipy.stats import qmc

Numbers = NDArray[np.float64]

_INNER = 64  # draws of a block's latent effects, half of them mirrored
_WIDER = 1.15  # than Laplace's approximation they are drawn: its tails are too thin
_STEPS, _LONGEST, _CLOSE = 25, 4.0, 1e-4  # of Newton's method: how many, on the logit scale, and when it is there
_AT_ONCE = 1 << 16  # numbers held in one array: more would not stay in the processor's caches


@dataclass(frozen=True, slots=True)
class Trial:
    """Tells how often a kit hit in one cell.

    Attributes:
        block: the family: what is independent of other blocks.
        kit: index of the kit.
        groups: the cell's group in each term, unique within the block.
        hits: how often.
        trials: of how many.
    """

    block: str
    kit: int
    groups: tuple[str, ...]
    hits: float
    trials: float


@dataclass(frozen=True, slots=True)
class _Shape:
    """Says which effects act on which cells of a block; blocks of one shape are computed together.

    Attributes:
        kits: kit of each cell.
        terms: term of each latent effect.
        acts: (cell, effect), 1 where the effect acts on the cell.
        hits, trials: (block, cell).
        times: how many blocks came out just so.
    """

    kits: NDArray[np.intp]
    terms: NDArray[np.intp]
    acts: Numbers
    hits: Numbers
    trials: Numbers
    times: Numbers


class Likelihood:
    """Computes the likelihood of kits' logits and terms' spreads, latent effects integrated out."""

    def __init__(self, trials: Iterable[Trial], kits: int, terms: int) -> None:
        """Sorts cells into blocks of one shape.

        Args:
            trials: of all cells; those of one kit and groups are added up.
            kits: how many there are.
            terms: how many groups a cell has.
        """
        self.kits, self.terms = kits, terms
        self._shapes = _shapes(trials, terms)

    def __call__(
        self, logits: Numbers, log_spreads: Numbers, *, uphill: bool = True
    ) -> tuple[Numbers, Numbers, Numbers]:
        """Computes log likelihoods and their gradients, for several points at once.

        Args:
            logits: (point, kit), of a cell whose latent effects are all 0.
            log_spreads: (point, term).
            uphill: whether gradients are wanted, which take as long again; else they are 0.

        Returns:
            (point), and the gradients by `logits` and by `log_spreads`.
        """
        values = np.zeros(len(logits))
        by_logit, by_spread = np.zeros_like(logits), np.zeros_like(log_spreads)
        for shape in self._shapes:
            cells, effects = shape.acts.shape
            size = len(shape.hits) * max(_INNER * cells, effects * effects)
            chunk = max(1, _AT_ONCE // size)
            for start in range(0, len(logits), chunk):
                part = slice(start, start + chunk)
                value, logit, spread = _block_likelihood(shape, logits[part], np.exp(log_spreads[part]), uphill)
                values[part] += value
                by_logit[part] += logit
                by_spread[part] += spread
        return values, by_logit, by_spread


def _shapes(trials: Iterable[Trial], terms: int) -> list[_Shape]:
    """Adds up cells, and gathers the blocks that have the same cells and latent effects."""
    blocks: dict[str, dict[tuple[int, tuple[str, ...]], Numbers]] = defaultdict(dict)
    for trial in trials:
        cells = blocks[trial.block]
        counted = np.array([trial.hits, trial.trials])
        key = trial.kit, trial.groups
        cells[key] = cells[key] + counted if key in cells else counted
    alike: dict[tuple[tuple[int, ...], ...], Counter[tuple[tuple[float, float], ...]]] = defaultdict(Counter)
    for cells in blocks.values():
        # Groups are numbered within their block: whatever they are called, blocks of one design are of one shape.
        labels: list[list[str]] = []
        for term in range(terms):
            labels.append(sorted({groups[term] for _, groups in cells}))
        numbered: list[tuple[tuple[int, ...], tuple[float, float]]] = []
        for (kit, groups), (hits, count) in cells.items():
            ranks = (labels[term].index(group) for term, group in enumerate(groups))
            numbered.append(((kit, *ranks), (float(hits), float(count))))
        numbered.sort()
        alike[tuple(key for key, _ in numbered)][tuple(outcome for _, outcome in numbered)] += 1
    return [_shape(keys, outcomes) for keys, outcomes in sorted(alike.items())]


def _shape(keys: Sequence[tuple[int, ...]], outcomes: Counter[tuple[tuple[float, float], ...]]) -> _Shape:
    groups = np.array([key[1:] for key in keys], dtype=np.intp).reshape(len(keys), -1)
    counts = groups.max(axis=0) + 1
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
    acts = np.zeros((len(keys), int(counts.sum())))
    for term in range(groups.shape[1]):
        acts[np.arange(len(keys)), first[term] + groups[:, term]] = 1.0
    counted = np.array(sorted(outcomes), dtype=float)  # block × cell × (hits, trials)
    return _Shape(
        kits=np.array([key[0] for key in keys], dtype=np.intp),
        terms=np.repeat(np.arange(groups.shape[1]), counts),
        acts=acts,
        hits=counted[:, :, 0],
        trials=counted[:, :, 1],
        times=np.array([outcomes[outcome] for outcome in sorted(outcomes)], dtype=float),
    )


def _block_likelihood(
    shape: _Shape, logits: Numbers, spreads: Numbers, uphill: bool
) -> tuple[Numbers, Numbers, Numbers]:
    """Integrates the blocks of one shape; effects are in units of their spread, so that their prior is N(0, 1)."""
    offset = logits[:, None, shape.kits]  # point × 1 × cell
    scale = spreads[:, None, shape.terms]  # point × 1 × effect
    centre, curvature = _mode(shape, offset, scale)
    lower = np.linalg.cholesky(curvature)
    normals = _mirrored(shape.terms.size)
    # With curvature L·Lᵀ, the draws ε·L⁻¹ have its inverse as their covariance.
    effects = centre[:, :, None, :] + _WIDER * (normals @ np.linalg.inv(lower))
    acting = (effects * scale[:, :, None, :]).astype(np.float32)  # half as long: the draws take most of the time
    acts, trials, hits = (part.astype(np.float32) for part in (shape.acts, shape.trials, shape.hits))
    linear = acting @ acts.T + offset[:, :, None, :].astype(np.float32)
    small = np.exp(-np.abs(linear))
    misfit = trials[:, None, :] * (np.maximum(linear, 0) + np.log1p(small)) - hits[:, None, :] * linear
    ratio = (normals**2).sum(axis=-1) / 2 - (effects**2).sum(axis=-1) / 2 - misfit.sum(axis=-1)
    largest = ratio.max(axis=-1, keepdims=True)
    weights = np.exp(ratio - largest)
    total = weights.sum(axis=-1, keepdims=True)
    half_determinant = np.log(np.diagonal(lower, axis1=-2, axis2=-1)).sum(axis=-1)
    value = (largest + np.log(total / len(normals)))[..., 0] - half_determinant + shape.terms.size * np.log(_WIDER)
    by_logit, by_spread = np.zeros_like(logits), np.zeros_like(spreads)
    if not uphill:
        return value @ shape.times, by_logit, by_spread
    # Fisher's identity: the gradient of a marginal likelihood is the mean of the joint one's.
    weights = (weights / total * shape.times[:, None]).astype(np.float32)
    rates = np.where(linear > 0, np.float32(1), small) / (1 + small)
    residual = (hits[:, None, :] - trials[:, None, :] * rates) * weights[..., None]
    by_effect = ((residual @ acts) * acting).sum(axis=(1, 2))
    np.add.at(by_logit.T, shape.kits, residual.sum(axis=(1, 2)).T)
    np.add.at(by_spread.T, shape.terms, by_effect.T)
    return value @ shape.times, by_logit, by_spread


def _mode(shape: _Shape, offset: Numbers, scale: Numbers) -> tuple[Numbers, Numbers]:
    """Finds the most probable latent effects by Newton's method, and the curvature there."""
    points, effects = len(offset), shape.terms.size
    squares = (shape.acts[:, :, None] * shape.acts[:, None, :]).reshape(len(shape.acts), -1)
    both = scale[..., :, None] * scale[..., None, :]
    found = np.zeros((points, len(shape.hits), effects))
    for step in range(_STEPS):
        rates = expit(offset + (found * scale) @ shape.acts.T)
        weights = shape.trials * rates * (1 - rates)
        curvature = both * (weights @ squares).reshape(*found.shape, effects) + np.eye(effects)
        uphill = ((shape.hits - shape.trials * rates) @ shape.acts) * scale - found
        move = np.linalg.solve(curvature, uphill[..., None])[..., 0]
        reach = np.abs((move * scale) @ shape.acts.T).max(axis=-1, keepdims=True)
        if reach.max() < _CLOSE or step == _STEPS - 1:
            break
        # The likelihood is concave but flat far out, where a full step would leap over the top.
        found = found + move * np.minimum(1.0, _LONGEST / np.maximum(reach, _CLOSE))
    return found, curvature


@functools.cache
def _mirrored(size: int) -> Numbers:
    """Draws points of a standard normal that lie evenly (Sobol's), each with its mirror image."""
    even = ndtri(qmc.Sobol(size, seed=np.random.default_rng(0)).random(_INNER // 2))
    return np.concatenate([even, -even])
