"""Finds the phrases that one set of texts uses more than another, by word n-grams and their weighted log-odds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import log, sqrt

PHRASE_SIZES = (1, 2, 3)  # words in a phrase
PRIOR_TEXTS = 10.0  # how many texts the background's shares are worth

_WORD = r"[^\W_]+(?:(?:['’.@/\-]|(?<=\d)[,:](?=\d))[^\W_]+)*%?"  # don't, 3.5, 10:30, 1,000, e.g, state-of-the-art
_SYMBOL = "[\u2190-\u2bff\U0001f000-\U0001faff]"  # arrows, dingbats and emoji are words of their own
_TOKEN = re.compile(f"{_WORD}|{_SYMBOL}")


def _runs(text: str) -> Iterator[list[str]]:
    """Yields runs of words with nothing but white space between them; punctuation ends a run."""
    run: list[str] = []
    end = 0
    for match in _TOKEN.finditer(text):
        if run and not text[end : match.start()].isspace():
            yield run
            run = []
        run.append(match.group())
        end = match.end()
    if run:
        yield run


def ngrams(text: str, sizes: Iterable[int] = PHRASE_SIZES) -> list[str]:
    """Lists the case-folded word n-grams of a text, in reading order for each run of words, repeats kept.

    None crosses punctuation, so each is a substring of the case-folded text with single spaces and can serve as a
    phrase of a report's predicate as it is. "Smith et al., 2019" gives "smith et al" and "2019".
    """
    sizes = tuple(sizes)  # gone through once for each run
    found: list[str] = []
    for run in _runs(text.casefold()):
        for size in sizes:
            starts = range(len(run) - size + 1)
            found += [" ".join(run[start : start + size]) for start in starts]
    return found


@dataclass(frozen=True, slots=True)
class PhraseCounts:
    """Tells in how many of a set of texts each phrase occurs.

    Attributes:
        counts: phrase → number of texts that hold it (once or more).
        texts: how many texts there are.
    """

    counts: Counter[str]
    texts: int

    @classmethod
    def of(cls, texts: Iterable[str], sizes: Iterable[int] = PHRASE_SIZES) -> PhraseCounts:
        """Counts the phrases of some texts; a text that repeats a phrase counts once."""
        sizes = tuple(sizes)
        counts: Counter[str] = Counter()
        total = 0
        for text in texts:
            counts.update(set(ngrams(text, sizes)))
            total += 1
        return cls(counts, total)

    def __add__(self, other: PhraseCounts) -> PhraseCounts:
        return PhraseCounts(self.counts + other.counts, self.texts + other.texts)

    def __sub__(self, other: PhraseCounts) -> PhraseCounts:
        """Returns what is left without a part of the texts."""
        return PhraseCounts(self.counts - other.counts, self.texts - other.texts)

    def share(self, phrase: str) -> float:
        """Returns the share of the texts that hold the phrase, 0 for no texts."""
        return self.counts[phrase] / self.texts if self.texts else 0.0


def log_odds(
    a: PhraseCounts, b: PhraseCounts, prior: PhraseCounts | None = None, *, strength: float = PRIOR_TEXTS
) -> dict[str, float]:
    """Returns each phrase's weighted log-odds, texts `a` against texts `b`, with an informative Dirichlet prior.

    Monroe, Colaresi and Quinn (2008), "Fightin' Words", equations 16 to 22, on document frequencies: a phrase is in a
    text or not, so the Dirichlet becomes Beta(½ + s·p, ½ + s·(1 − p)), where p is the phrase's share in the background
    and s the prior's strength. The half keeps phrases the background never saw from an infinite variance.

    Args:
        a: texts of interest.
        b: texts they are compared with.
        prior: background texts; None for a flat prior.
        strength: how many texts the background's shares are worth.

    Returns:
        phrase → z-score, for every phrase of `a` or `b`; positive where `a` uses it more. About standard normal where
        nothing differs, but thousands are looked at: the largest of a null comparison often passes 3.
    """
    scores: dict[str, float] = {}
    for phrase in a.counts.keys() | b.counts.keys():
        share = prior.share(phrase) if prior is not None else 0.0
        pulled = strength if prior is not None else 0.0
        alpha, beta = 0.5 + pulled * share, 0.5 + pulled * (1.0 - share)
        in_a, in_b = a.counts[phrase] + alpha, b.counts[phrase] + alpha
        out_a, out_b = a.texts - a.counts[phrase] + beta, b.texts - b.counts[phrase] + beta
        spread = sqrt(1.0 / in_a + 1.0 / out_a + 1.0 / in_b + 1.0 / out_b)
        scores[phrase] = (log(in_a / out_a) - log(in_b / out_b)) / spread
    return scores


def top_phrases(scores: dict[str, float], k: int, *, least: float = 0.0) -> list[tuple[str, float]]:
    """Returns the k best-scored phrases above `least`, longest first among equals, without parts of those taken.

    A phrase is left out if it holds, or is held by, one taken before, so that one turn of phrase takes one line.
    """
    chosen: list[tuple[str, float]] = []
    for phrase, score in sorted(scores.items(), key=lambda item: (-item[1], -len(item[0]), item[0])):
        if len(chosen) == k or score <= least:
            break
        padded = f" {phrase} "
        if not any(padded in f" {taken} " or f" {taken} " in padded for taken, _ in chosen):
            chosen.append((phrase, score))
    return chosen
