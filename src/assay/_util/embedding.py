"""Sentence vectors without a model run: WordLlama's static embeddings, whose weights are in its wheel."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors, (texts, 256); the zero vector for a text without any known token."""
    return unit(word_vectors(texts))


def word_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors as they are learned, (texts, 256), whose length says how much a word tells: "the" has a short one."""
    whole = [text.encode(errors="replace").decode() for text in texts]  # the tokenizer refuses lone surrogates
    vectors: NDArray[np.float32] = _model().embed(whole)
    return vectors


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Brings each row to length one; a row of zeros stays."""
    lengths = (vectors**2).sum(axis=1, keepdims=True) ** 0.5
    scaled: NDArray[np.float32] = vectors / lengths.clip(min=1e-9)
    return scaled


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Leave the root logger as it is: some libraries configure it when they are imported."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@functools.cache
def _model() -> Any:
    """The plain `WordLlama.load()` looks for its weights in the wrong folder offline."""
    with quiet_imports():
        import wordllama

        return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
