"""A sparse dictionary of directions: a BatchTopK autoencoder (Bussmann et al. 2024), trained with numpy alone.

Over a batch the largest k activations a row, on average, are kept. Small dictionaries on a few ten thousand rows take
under a minute of one core, so that a tool can train one while it prepares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.core.readouts import Array

_BATCH = 512
_RATE = 1e-3
_DECAY = (0.9, 0.999)  # of Adam's two averages
_SETTLED = 20  # last steps, whose thresholds are averaged


@dataclass(frozen=True, slots=True)
class Dictionary:
    """What was learned, in units in which a row has length 1 on average.

    Attributes:
        encode: (width, features).
        bias: (features,).
        centre: (width,), taken from each row before it is encoded.
        scale: rows are divided by it.
        threshold: below it a feature is silent.
        explained: share of the rows' variance that is rebuilt.
    """

    encode: Array
    bias: Array
    centre: Array
    scale: float
    threshold: float
    explained: float

    def active(self, rows: Array) -> Array:
        """Computes the features of rows, (rows, features), zero where they are silent."""
        raw = (rows / self.scale - self.centre) @ self.encode + self.bias
        return np.where(raw >= self.threshold, raw, 0.0).astype(np.float32)


class _Adam:
    """Adam's averages of one parameter."""

    def __init__(self, like: Array) -> None:
        self._mean, self._square, self._step = np.zeros_like(like), np.zeros_like(like), 0

    def move(self, parameter: Array, slope: Array) -> None:
        """Takes one step, in place."""
        self._step += 1
        first, second = _DECAY
        self._mean = first * self._mean + (1 - first) * slope
        self._square = second * self._square + (1 - second) * slope * slope
        mean, square = self._mean / (1 - first**self._step), self._square / (1 - second**self._step)
        parameter -= _RATE * mean / (np.sqrt(square) + 1e-8)


def train(rows: Array, features: int, k: int, steps: int, seed: int) -> Dictionary:
    """Learns a dictionary.

    Args:
        rows: (rows, width), not all the same.
        features: directions to learn.
        k: of them active in a row, on average.
        steps: of Adam.
        seed: of beginnings and batches.
    """
    generator = np.random.default_rng(seed)
    scale = float(np.linalg.norm(rows, axis=1).mean())
    data = (rows / scale).astype(np.float32)
    decode = generator.standard_normal((features, data.shape[1])).astype(np.float32)
    decode /= np.linalg.norm(decode, axis=1, keepdims=True)
    encode, bias, centre = decode.T.copy(), np.zeros(features, np.float32), data.mean(axis=0)
    parameters = (encode, bias, decode, centre)
    adams = [_Adam(parameter) for parameter in parameters]
    thresholds: list[float] = []
    size = min(_BATCH, len(data))
    for _ in range(steps):
        batch = data[generator.integers(0, len(data), size)]
        raw = (batch - centre) @ encode + bias
        threshold = max(_kth(raw, k * size), 1e-6)
        thresholds.append(threshold)
        mask = raw >= threshold
        active = raw * mask
        error = (active @ decode + centre - batch) * (2 / size)
        inner = (error @ decode.T) * mask
        slopes = ((batch - centre).T @ inner, inner.sum(axis=0), active.T @ error, error.sum(axis=0))
        for parameter, adam, slope in zip(parameters, adams, slopes, strict=True):
            adam.move(parameter, slope)
        decode /= np.maximum(np.linalg.norm(decode, axis=1, keepdims=True), 1e-8)
    learned = Dictionary(encode, bias, centre, scale, float(np.mean(thresholds[-_SETTLED:])), 0.0)
    some = data[generator.integers(0, len(data), min(len(data), 4 * _BATCH))]
    left = learned.active(some * scale) @ decode + centre - some
    explained = 1 - float((left**2).sum() / max(float(((some - some.mean(axis=0)) ** 2).sum()), 1e-12))
    return Dictionary(encode, bias, centre, scale, learned.threshold, explained)


def _kth(values: Array, count: int) -> float:
    """Returns the count-th largest of all values."""
    flat = values.ravel()
    count = min(count, flat.size)
    return float(np.partition(flat, flat.size - count)[flat.size - count])
