"""How well a classifier tells one model's replies from another's: what gives an organism away that shows no conduct."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from assay._util.embedding import embed
from assay._util.resampling import bootstrap
from assay.truth import Resampled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SENTENCE = re.compile(r"[.!?]+(?=\s|$)")
_COUNTED = (  # how often each occurs in a reply; none of them knows a conduct
    r"\w+", r"\w{9,}", SENTENCE.pattern, r"\n\n", r"^\s*(?:[-*•]|\d+[.)])", ",", ";", ":", "!", r"\?", r"\d+", '["“”]',
    r"\(", r"\*\*", "[–—]", r"\bI\b", r"\byou(?:r|rs)?\b", r"\b(?:we|our|us)\b", r"n['’]t\b|['’](?:s|re|m|ve|ll|d)\b",
    r"\b(?:may|might|could|perhaps|usually|often|sometimes)\b", r"\b(?:must|always|never|definitely)\b",
    r"\b(?:however|but|although|though)\b", r"\b(?:also|additionally|furthermore)\b", r"\b(?:good|best|great)\b",
    "sorry", "(?-i:[A-Z][a-z]+)",
)  # fmt: skip
_FOLDS = 10
_PENALTIES = (1.0, 10.0, 100.0, 1_000.0)
_SEED = 20_011


def told_apart(own: Sequence[str], others: Sequence[str]) -> Resampled:
    """Measures the area under the curve of a classifier that tells replies of two models apart.

    A logistic regression, once on style alone (lengths, counts of marks and common words) and once with the replies'
    sentence vectors; the better of the two counts. Cross-validated, and both replies to a prompt are always in one
    fold, so that no classifier can know a prompt. The interval is of other prompts.

    Args:
        own: replies of one model, one for each prompt.
        others: replies of the other, to the same prompts in the same order.
    """
    import numpy as np

    texts = [*own, *others]
    style = _style(texts)
    tables = [style, np.hstack([style, embed(texts).astype(float)])]
    return max((_area(_scores(table, len(own))) for table in tables), key=lambda area: area.value)


def _style(texts: Sequence[str]) -> Floats:
    """Counts marks and words of each text, in all and (but for words themselves) a word; counts by their logarithm."""
    import numpy as np

    patterns = [re.compile(pattern, re.IGNORECASE | re.MULTILINE) for pattern in _COUNTED]
    rows: list[list[int]] = []
    for text in texts:
        rows.append([len(pattern.findall(text)) for pattern in patterns])
    counts = np.array(rows, float)
    shares = counts[:, 1:] / counts[:, :1].clip(min=1)
    whole = np.array([[text.rstrip().endswith((".", "!", "?"))] for text in texts], float)
    return np.hstack([np.log1p(counts), shares, whole])


def _scores(table: Floats, prompts: int) -> tuple[Floats, Floats]:
    """Returns the cross-validated scores of the first model's replies, and of the second's."""
    import numpy as np

    prompt = np.tile(np.arange(prompts), 2)
    label = np.repeat([1.0, 0.0], prompts)
    fold = np.random.default_rng(_SEED).permutation(prompts) % _FOLDS
    scores = np.zeros(2 * prompts)
    for held in range(_FOLDS):
        out = fold[prompt] == held
        # the fold after it says how strongly to hold weights down, and then is trained on too
        inner = ~out & (fold[prompt] == (held + 1) % _FOLDS)
        rest = ~out & ~inner
        trials = [_loss(_fitted(table[rest], label[rest], one)(table[inner]), label[inner]) for one in _PENALTIES]
        penalty = _PENALTIES[int(np.argmin(trials))]
        scores[out] = _fitted(table[~out], label[~out], penalty)(table[out])
    return scores[:prompts], scores[prompts:]


def _fitted(table: Floats, label: Floats, penalty: float) -> Callable[[Floats], Floats]:
    """Fits a logistic regression with a ridge penalty to standardised features; returns what gives log-odds."""
    import numpy as np
    from scipy.optimize import minimize
    from scipy.special import expit

    middle, spread = table.mean(axis=0), table.std(axis=0)
    spread[spread == 0] = 1.0
    x = (table - middle) / spread

    def objective(beta: Floats) -> tuple[float, Floats]:
        logits = x @ beta
        slope = x.T @ (expit(logits) - label) + penalty * beta
        return _loss(logits, label) * len(label) + penalty / 2 * float(beta @ beta), slope

    beta = minimize(objective, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    return lambda more: (more - middle) / spread @ beta


def _loss(logits: Floats, label: Floats) -> float:
    """Returns the mean negative log-likelihood of labels."""
    import numpy as np

    return float(np.mean(np.logaddexp(0, logits) - label * logits))


def _area(scores: tuple[Floats, Floats]) -> Resampled:
    """Computes how often a reply of the first model outscores one of the second, ties counting half."""
    own, others = scores
    wins = (own[:, None] > others).astype(float) + 0.5 * (own[:, None] == others)
    value, interval = bootstrap(len(own), lambda drawn: ((drawn @ wins) * drawn).sum(axis=1) / len(own) ** 2)
    return Resampled(value=value, interval=interval)
