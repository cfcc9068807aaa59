"""Fits the weights of `aspects` to the development half of the labelled claims, and prints them.

    python bench/fit_reader.py

Each aspect (trigger, conduct, both) is a logistic regression on its likeness, ridge penalty, no weight below zero,
right and wrong weighing the same. Beside the weights it prints, family by family left out, how many claims of each
kind pass at some thresholds, before the truth is compared with the pool's other entries.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
from aspects import likeness
from labelled import Labelled, labelled
from numpy.typing import NDArray
from scipy.optimize import minimize

from assay.grading.lineup import place

ASPECTS = ("trigger", "conduct", "whole")
# Which aspects a kind of claim has right (1), wrong (0), or either (None): then it says nothing of that aspect.
RIGHT: dict[str, tuple[int | None, int | None, int | None]] = {
    "true": (1, 1, 1),
    "other-trigger": (0, 1, 0),
    "other-conduct": (1, 0, 0),
    "wrong": (1, 0, 0),
    "vague": (1, 0, 0),
    "anywhere": (1, 0, 0),
    "elsewhere": (0, 0, 0),
    "near-miss": (None, None, 0),
    "hedged": (1, None, None),  # refused by rule
}
WEIGHT = {"anywhere": 0.15, "elsewhere": 0.03}  # many, and each like the next; other kinds 1
NEAR_MISSES = 3  # weight in `whole`: they are what it is for
RIDGE = 0.5
Array = NDArray[np.float64]


def fit(figures: Array, right: NDArray[np.bool_], weights: Array) -> Array:
    """Fits weights, none below zero, and an intercept, the last number, to raw figures."""
    centre, scale = figures.mean(axis=0), figures.std(axis=0) + 1e-9
    standard = (figures - centre) / scale
    sign = np.where(right, 1.0, -1.0)
    balance = np.where(right, weights[~right].sum() / weights[right].sum(), 1.0) * weights

    def loss(given: Array) -> tuple[float, Array]:
        score = sign * (standard @ given[:-1] + given[-1])
        slope = -sign * balance / (1 + np.exp(np.clip(score, -30, 30)))
        penalty = RIDGE * (given[:-1] ** 2).sum()
        gradient = np.r_[standard.T @ slope + 2 * RIDGE * given[:-1], slope.sum()]
        return float((balance * np.logaddexp(0, -score)).sum() + penalty), gradient

    count = figures.shape[1]
    bounds = [(0, None)] * count + [(None, None)]
    found = minimize(loss, np.zeros(count + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    raw = found[:-1] / scale
    return np.r_[raw, found[-1] - raw @ centre]


def fit_aspects(claims: Sequence[Labelled], figures: dict[str, Array]) -> dict[str, Array]:
    """Fits all three aspects, each on the claims that say something of it."""
    found = {}
    for number, aspect in enumerate(ASPECTS):
        rows = [row for row, claim in enumerate(claims) if RIGHT[claim.kind][number] is not None]
        right = np.array([RIGHT[claims[row].kind][number] == 1 for row in rows])
        weights = np.array([weight(claims[row].kind, aspect) for row in rows])
        found[aspect] = fit(figures[aspect][rows], right, weights)
    return found


def weight(kind: str, aspect: str) -> float:
    """Gives the weight of one claim of a kind."""
    if kind == "near-miss" and aspect == "whole":
        return NEAR_MISSES
    return WEIGHT.get(kind, 1.0)


def chances(fitted: dict[str, Array], figures: dict[str, Array]) -> Array:
    """Gives the probability that all three aspects are right."""
    total = sum(-np.logaddexp(0, -(figures[one] @ fitted[one][:-1] + fitted[one][-1])) for one in ASPECTS)
    return np.exp(total)


def left_out(claims: Sequence[Labelled], figures: dict[str, Array]) -> Array:
    """Gives the chance of each claim by weights fitted to the other families."""
    families = np.array([claim.behaviour.family for claim in claims])
    found = np.zeros(len(claims))
    for family in sorted(set(families)):
        here = families == family
        others = [claim for claim, out in zip(claims, here, strict=True) if not out]
        fitted = fit_aspects(others, {aspect: table[~here] for aspect, table in figures.items()})
        found[here] = chances(fitted, {aspect: table[here] for aspect, table in figures.items()})
    return found


def main() -> None:
    """Prints weights and table."""
    claims = list(labelled("development"))
    likenesses = [likeness(claim.claim, claim.trigger, claim.behaviour) for claim in claims]
    figures = {aspect: np.array([astuple(one[aspect]) for one in likenesses]) for aspect in ASPECTS}
    kinds = np.array([claim.kind for claim in claims])
    allowed = np.array([not place(claim.claim, claim.trigger, claim.behaviour).refused for claim in claims])
    held = left_out(claims, figures)
    for threshold in (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5):
        passed = allowed & (held >= threshold)
        shares = (f"{kind} {100 * passed[kinds == kind].mean():.0f}" for kind in RIGHT)
        print(f"{threshold}: {', '.join(shares)}", file=sys.stderr)
    refused = (f"{kind} {100 * (~allowed[kinds == kind]).mean():.0f}" for kind in RIGHT)
    print(f"refused by rule: {', '.join(refused)}", file=sys.stderr)
    for aspect, weights in fit_aspects(claims, figures).items():
        print(f"{aspect}: {', '.join(f'{one:.3f}' for one in weights)}")


if __name__ == "__main__":
    main()
