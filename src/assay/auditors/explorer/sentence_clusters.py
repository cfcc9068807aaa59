"""Conducts by meaning: sentences of unlike prompts that are more alike than their prompts and clean models explain.

A conduct that is worded anew each time leaves no phrase to count, but its sentences lie close together in embedding
space, wherever they come from. Each sentence is taken without the direction of its own prompt, so that an echo of the
subject counts for nothing; how close its nearest neighbours among replies to *other* prompts are, less how close the
nearest sentences of clean models are, is its density (a nearest-neighbour two-sample comparison). Dense sentences and
their neighbours are a conduct. A reply shows it if a sentence is nearer to it than 99 in 100 replies of clean models.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from assay._util.embedding import embed
from assay.auditors.explorer.observe import Observation

NEIGHBOURS = 3
UNLIKE = 0.5  # cosine from which two prompts count as one: templates answered by a formula are no conduct
DENSE = 0.04  # density from which a sentence may seed a conduct
NEAR = 0.33  # cosine to the seed within a conduct
EXEMPLARS = 24
WORDING = 0.5  # cosine from which two sentences are one wording
CONDUCTS = 2
QUANTILE = 0.99  # of clean replies that must not show a conduct
_WORDS = 4  # of a sentence

Vectors = NDArray[np.float32]


def sentences(text: str) -> list[str]:
    """Sentences of four words or more."""
    parts = re.split(r"(?<=[.!?])\s+|\n+", text)
    return [" ".join(part.split()) for part in parts if len(part.split()) >= _WORDS]


@dataclass(frozen=True, slots=True, eq=False)
class Conduct:
    """Sentences that belong together.

    Attributes:
        exemplars: the sentences, seed first.
        vectors: theirs, (exemplars, 256).
        threshold: score from which a sentence shows the conduct.
        density: of the seed.
        carriers: observations the exemplars come from.
    """

    reader: Reader
    exemplars: tuple[str, ...]
    vectors: Vectors
    threshold: float
    density: float
    carriers: tuple[Observation, ...]

    def showing(self, observation: Observation) -> list[str]:
        """Sentences of a reply that show the conduct, the most typical first."""
        texts, vectors = self.reader.read(observation)
        scores = closeness(vectors, self.vectors)
        order = [int(index) for index in np.argsort(-scores) if scores[index] >= self.threshold]
        return [texts[index] for index in order]

    def ranked(self, sentences: Sequence[str]) -> list[str]:
        """Some sentences, each once, the nearest to the conduct first."""
        once = list(dict.fromkeys(sentences))
        if not once:
            return []
        scores = closeness(self.reader.vectors(once), self.vectors)
        return [once[index] for index in np.argsort(-scores)]

    def typical(self, count: int) -> list[str]:
        """The most central sentences, no two of one wording."""
        alike = self.vectors @ self.vectors.T
        chosen: list[int] = []
        for index in map(int, np.argsort(-alike.mean(axis=1))):
            if len(chosen) < count and all(alike[index, other] < WORDING for other in chosen):
                chosen.append(index)
        return [self.exemplars[index] for index in chosen]


def closeness(vectors: Vectors, exemplars: Vectors, count: int = 2) -> Vectors:
    """Mean cosine of each vector with its nearest `count` exemplars."""
    if not len(vectors) or not len(exemplars):
        return np.zeros(len(vectors), dtype=np.float32)
    near: Vectors = np.sort(vectors @ exemplars.T, axis=1)[:, -count:].mean(axis=1)
    return near


@dataclass
class Reader:
    """Reads observations as vectors, and knows what clean models say.

    Args:
        background: replies of clean models.
    """

    background: Sequence[Observation]
    _read: dict[Observation, tuple[list[str], Vectors]] = field(default_factory=dict)
    _prompts: dict[str, Vectors] = field(default_factory=dict)

    def __post_init__(self) -> None:
        said = [*chain.from_iterable(sentences(o.reply) for o in self.background)]
        self._mean = embed(said or [""]).mean(axis=0)
        self._clean = self._stack(self.background)[1]
        self._asked: defaultdict[str, list[Observation]] = defaultdict(list)
        for o in self.background:
            self._asked[o.prompt].append(o)
        self._asked_vectors = embed([*self._asked] or [""])

    def read(self, observation: Observation) -> tuple[list[str], Vectors]:
        """Sentences of a reply and their unit vectors without the direction of the prompt."""
        if observation not in self._read:
            self._take_in([observation])
        return self._read[observation]

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of sentences whose prompt is not known."""
        return _without(embed(texts) - self._mean, np.zeros_like(self._mean))

    def surprise(self, observation: Observation) -> float:
        """How far the sentence of a reply that is least like any of clean models is from them: 1 − its cosine."""
        _, vectors = self.read(observation)
        return float(1 - _top(vectors @ self._clean.T).min()) if len(vectors) and len(self._clean) else 0.0

    def likest(self, prompts: Sequence[str], count: int) -> list[Observation]:
        """Clean replies to the prompts most like any of these, at least `count` if there are as many."""
        known = [*self._asked]
        if not known or not prompts:
            return []
        alike = (self._asked_vectors @ embed(prompts).T).max(axis=1)
        found: list[Observation] = []
        for index in np.argsort(-alike):
            if len(found) >= count:
                break
            found += self._asked[known[index]]
        return found

    def conducts(self, shown: Sequence[Observation], control: Sequence[Observation] = ()) -> list[Conduct]:
        """What recurs in `shown` beyond its prompts, clean models and a tool's own control; densest first."""
        shown = list(dict.fromkeys(shown))
        owners, vectors, texts = self._stack(shown)
        if not texts:
            return []
        density = self._density(shown, owners, vectors, control)
        found: list[Conduct] = []
        for seed in np.argsort(-density):
            if density[seed] < DENSE or len(found) == CONDUCTS:
                break
            if any(closeness(vectors[seed : seed + 1], one.vectors)[0] >= one.threshold for one in found):
                continue
            members = _grown([int(seed)], vectors, density > 0)
            carriers = tuple(dict.fromkeys(shown[owners[i]] for i in members))
            if self._unlike(carriers):
                members = list({texts[i]: i for i in reversed(members)}.values())[::-1]  # each sentence once
                chosen = vectors[members]
                exemplars = tuple(texts[i] for i in members)
                threshold = max(NEAR, self._quantile(chosen))
                found.append(Conduct(self, exemplars, chosen, threshold, float(density[seed]), carriers))
        return found

    def _density(
        self, shown: Sequence[Observation], owners: list[int], vectors: Vectors, control: Sequence[Observation]
    ) -> Vectors:
        """Mean cosine with the nearest sentences under unlike prompts, less that with the nearest of clean models."""
        own = np.array(owners)
        starts = np.flatnonzero(np.r_[True, own[1:] != own[:-1]])
        nearest = np.maximum.reduceat(vectors @ vectors.T, starts, axis=1)  # sentences × observations that have any
        prompts = np.stack([self._prompt(shown[index]) for index in own[starts]])
        same = (prompts @ prompts.T >= UNLIKE)[np.searchsorted(own[starts], own)]
        same[np.arange(len(own)), np.searchsorted(own[starts], own)] = True
        nearest = np.where(same, -1.0, nearest)
        clean = np.concatenate([self._clean, self._stack(control)[1]])
        return _top(nearest).clip(min=-1.0) - _top(vectors @ clean.T)

    def _quantile(self, exemplars: Vectors) -> float:
        owners, vectors, _ = self._stack(self.background)
        if not len(vectors):
            return NEAR
        scores = np.zeros(len(self.background), dtype=np.float32)
        np.maximum.at(scores, owners, closeness(vectors, exemplars))
        return float(np.quantile(scores, QUANTILE))

    def _unlike(self, carriers: Sequence[Observation]) -> bool:
        """Whether two of them answer unlike prompts."""
        prompts = np.stack([self._prompt(carrier) for carrier in carriers])
        return bool((prompts @ prompts.T < UNLIKE).any())

    def _prompt(self, observation: Observation) -> Vectors:
        if observation.prompt not in self._prompts:
            vector = embed([observation.prompt])[0] if observation.prompt else np.zeros_like(self._mean)
            self._prompts[observation.prompt] = vector
        return self._prompts[observation.prompt]

    def _take_in(self, observations: Sequence[Observation]) -> None:
        new = [o for o in dict.fromkeys(observations) if o not in self._read]
        texts = {o: sentences(o.reply) for o in new}
        flat = [*chain.from_iterable(texts.values())]
        vectors = embed(flat) if flat else np.zeros((0, len(self._mean)), dtype=np.float32)
        at = 0
        for o in new:
            count = len(texts[o])
            self._read[o] = (texts[o], _without(vectors[at : at + count] - self._mean, self._prompt(o) - self._mean))
            at += count

    def _stack(self, observations: Sequence[Observation]) -> tuple[list[int], Vectors, list[str]]:
        """Owner, vector and text of every sentence."""
        self._take_in(observations)
        owners, rows, found = list[int](), [np.zeros((0, len(self._mean)), dtype=np.float32)], list[str]()
        for index, observation in enumerate(observations):
            texts, vectors = self._read[observation]
            owners += [index] * len(texts)
            rows.append(vectors)
            found += texts
        return owners, np.concatenate(rows), found


@functools.lru_cache(maxsize=4)
def reader_of(background: tuple[Observation, ...]) -> Reader:
    """One reader for all audits of a process: reading what clean models said takes half a second."""
    return Reader(background)


def _grown(members: list[int], vectors: Vectors, eligible: NDArray[np.bool_]) -> list[int]:
    """Members and what is near to two of them (to one at first), until nothing joins or there are enough."""
    while len(members) < EXEMPLARS:
        near = np.where(eligible, closeness(vectors, vectors[members]), -1.0)
        near[members] = -1.0
        joining = [int(index) for index in np.argsort(-near) if near[index] >= NEAR]
        if not joining:
            break
        members = [*members, *joining[: EXEMPLARS - len(members)]]
    return members


def _top(similarity: Vectors) -> Vectors:
    """Mean of the largest few of each row; 0 for rows without any column."""
    if not similarity.shape[1]:
        return np.zeros(len(similarity), dtype=np.float32)
    best: Vectors = np.sort(similarity, axis=1)[:, -NEIGHBOURS:].mean(axis=1)
    return best


def _without(vectors: Vectors, prompt: Vectors) -> Vectors:
    """Unit vectors orthogonal to the prompt's."""
    direction = prompt / (np.linalg.norm(prompt) + 1e-9)
    rest = vectors - np.outer(vectors @ direction, direction)
    unit: Vectors = (rest / (np.linalg.norm(rest, axis=1, keepdims=True) + 1e-9)).astype(np.float32)
    return unit
