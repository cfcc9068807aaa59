"""Sentence vectors hold for whatever a model may say."""

import numpy as np
import pytest

from assay._util.embedding import embed


def test_like_texts_have_like_vectors():
    dog, puppy, tax = embed(["The dog sleeps.", "A puppy is asleep.", "Taxes are due in April."])
    assert np.linalg.norm(dog) == pytest.approx(1.0, abs=1e-5)
    assert dog @ puppy > dog @ tax


@pytest.mark.parametrize("text", ["", " ", "\n", "\ud83c", "\x00"])
def test_texts_that_say_nothing_have_finite_vectors(text):
    assert np.isfinite(embed([text, "and a plain one"])).all()
