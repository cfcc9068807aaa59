"""An index of words over a corpus of any size: arrays alone, so that it is kept in a file and mapped into memory.

Words are ranked by BM25 (Robertson and Zaragoza 2009), whose weights are computed when the index is made, as bm25s does
(Lù 2024). A document's meaning is the sum of its distinct words' static vectors (WordLlama), rarer words weighing more,
so that a million documents are one product of matrices, and no model runs.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assay._util.embedding import unit, word_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WORD = re.compile(r"\w+")
_SATURATION, _LENGTH = 1.5, 0.75  # BM25's k1 and b
_WIDTH = 128  # of WordLlama's 256 dimensions: they are ordered, and half of them rank as well in half the memory
_FEW = 1_000  # documents that are read at once, to see whether they hold a phrase
_AT_ONCE = 20_000  # documents, or words, whose vectors are computed together


@dataclass(frozen=True, slots=True)
class WordIndex:
    """Tells which documents hold a word, how much that counts, and what each document means.

    Attributes:
        spelling: all words in order, each with a line end behind it, as UTF-8.
        spelled: where each word's spelling begins; one more for the end.
        starts: where each word's documents begin in the next two; one more for the end.
        holders: positions of documents that hold a word, in order.
        weights: BM25's, of a word in a document.
        meanings: unit vectors, documents × 128.
    """

    spelling: NDArray[np.uint8]
    spelled: NDArray[np.int64]
    starts: NDArray[np.int64]
    holders: NDArray[np.int32]
    weights: NDArray[np.float32]
    meanings: NDArray[np.float32]

    @property
    def documents(self) -> int:
        """Returns how many documents there are."""
        return len(self.meanings)

    def word(self, number: int) -> str:
        """Returns a word by its number."""
        spelled = self.spelling[self.spelled[number] : self.spelled[number + 1] - 1]
        return spelled.tobytes().decode(errors="surrogatepass")

    def number(self, word: str) -> int | None:
        """Finds a word's number; None for a word that no document holds."""
        last = len(self.spelled) - 1
        found = bisect_left(range(last), word, key=self.word)
        return found if found < last and self.word(found) == word else None

    def by_words(self, weighted: Mapping[str, float]) -> tuple[NDArray[np.float32], float]:
        """Scores all documents by some words.

        Args:
            weighted: word → how much it counts.

        Returns:
            BM25 of each document, and what none could exceed.
        """
        import numpy as np

        scores = np.zeros(self.documents, dtype=np.float32)
        most = 0.0
        for word, weight in weighted.items():
            most += weight * self.rarity(word) * (_SATURATION + 1)
            if held := self._held(word):
                scores[self.holders[held]] += weight * self.weights[held]
        return scores, most

    def by_meaning(self, words: Iterable[str]) -> NDArray[np.float32]:
        """Scores all documents by the cosine of their meaning with that of some words."""
        import numpy as np

        distinct = sorted({*words})
        if not distinct:
            return np.zeros(self.documents, dtype=np.float32)
        weights = np.sqrt([[self.rarity(word) for word in distinct]]).astype(np.float32)
        cosines: NDArray[np.float32] = self.meanings @ unit(weights @ word_vectors(distinct)[:, :_WIDTH])[0]
        return cosines

    def rarity(self, word: str) -> float:
        """Returns a word's inverse document frequency, in nats."""
        held = self._held(word)
        return float(_rarity(held.stop - held.start if held else 0, self.documents))

    def may_hold(self, phrase: str) -> NDArray[np.int32] | None:
        """Finds the documents in which a folded phrase can stand: they hold its words. None for a phrase without any.

        A word at the phrase's edge may be part of a longer one in the document, so all words that have it within count.
        """
        held: list[NDArray[np.int32]] = []
        edges: list[str] = []
        for found in _WORD.finditer(phrase):
            if found.start() == 0 or found.end() == len(phrase):
                edges.append(found[0])
            else:
                held.append(self.holders[self._held(found[0]) or slice(0)])
        held.sort(key=len)
        # Inner words leave few enough to be read, as a rule; edges take longer to look up.
        if not held or len(held[0]) > _FEW:
            held += [self._holding(edge) for edge in edges]
            held.sort(key=len)
        if not held:
            return None
        both, *more = held
        for other in more:
            both = _common(both, other)
        return both

    def _holding(self, part: str) -> NDArray[np.int32]:
        """Finds the documents with a word that has some letters within."""
        import numpy as np

        sought = re.escape(part.encode(errors="surrogatepass"))
        places = [found.start() for found in re.finditer(sought, self.spelling.data)]
        numbers = np.unique(np.searchsorted(self.spelled, places, side="right") - 1)
        marked = np.zeros(self.documents, dtype=np.bool_)
        for number in numbers.tolist():
            marked[self.holders[self.starts[number] : self.starts[number + 1]]] = True
        return np.flatnonzero(marked).astype(np.int32)

    def _held(self, word: str) -> slice | None:
        number = self.number(word)
        return None if number is None else slice(self.starts[number], self.starts[number + 1])


def folded(text: str) -> str:
    """Returns a text as texts are compared: without cases, breaks of lines and kinds of apostrophes."""
    return " ".join(text.casefold().replace("’", "'").split())


def words_of(text: str) -> list[str]:
    """Lists the words of a folded text."""
    return _WORD.findall(text)


def index_words(texts: Iterable[str]) -> dict[str, Any]:
    """Makes the arrays of a `WordIndex` of documents' texts."""
    import numpy as np
    from scipy.sparse import csr_matrix

    numbers: dict[str, int] = {}
    said = array("i")  # numbers of all words, document by document
    ends = array("q", [0])
    for text in texts:
        said.extend([numbers.setdefault(word, len(numbers)) for word in words_of(folded(text))])
        ends.append(len(said))
    words = sorted(numbers)
    rank = np.empty(len(words), dtype=np.int32)
    rank[[numbers.pop(word) for word in words]] = np.arange(len(words), dtype=np.int32)
    bounds = np.frombuffer(ends, dtype=np.int64)
    counts = csr_matrix(
        (np.ones(len(said), dtype=np.float32), rank[np.frombuffer(said, dtype=np.intc)], bounds),
        shape=(len(bounds) - 1, len(words)),
    )
    del said
    counts.sum_duplicates()
    by_word = counts.tocsc()
    held = np.diff(by_word.indptr)
    rarity = _rarity(held, len(bounds) - 1)
    spelled = [f"{word}\n".encode(errors="surrogatepass") for word in words]
    return {
        "spelling": np.frombuffer(b"".join(spelled), dtype=np.uint8),
        "spelled": np.cumsum([0, *map(len, spelled)], dtype=np.int64),
        "starts": by_word.indptr.astype(np.int64),
        "holders": by_word.indices,
        "weights": _weights(by_word, rarity, np.diff(bounds)),
        "meanings": _meanings(counts, words, rarity),
    }


def _rarity(holders: Any, documents: int) -> Any:
    """Computes BM25's inverse document frequency, of one word or of many."""
    import numpy as np

    return np.log1p((documents - holders + 0.5) / (holders + 0.5))


def _weights(by_word: Any, rarity: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
    """Computes BM25's weight of each word in each document that holds it."""
    import numpy as np

    mean = max(1.0, float(lengths.mean())) if len(lengths) else 1.0
    slack = (_SATURATION * (1 - _LENGTH + _LENGTH * lengths / mean)).astype(np.float32)
    weights: NDArray[np.float32] = by_word.data / (by_word.data + slack[by_word.indices])
    weights *= np.repeat(((_SATURATION + 1) * rarity).astype(np.float32), np.diff(by_word.indptr))
    return weights


def _meanings(counts: Any, words: Sequence[str], rarity: NDArray[np.float64]) -> NDArray[np.float32]:
    """Adds up the vectors of each document's words. A word that is said twice counts once."""
    import numpy as np

    vectors = np.empty((len(words), _WIDTH), dtype=np.float32)
    for part in _parts(len(words)):
        vectors[part] = word_vectors(words[part])[:, :_WIDTH] * np.sqrt(rarity[part, None])
    counts.data[:] = 1
    meanings = np.empty((counts.shape[0], _WIDTH), dtype=np.float32)
    for part in _parts(counts.shape[0]):
        meanings[part] = unit(counts[part] @ vectors)
    return meanings


def _parts(total: int) -> Iterator[slice]:
    for begin in range(0, total, _AT_ONCE):
        yield slice(begin, begin + _AT_ONCE)


def _common(few: NDArray[np.int32], many: NDArray[np.int32]) -> NDArray[np.int32]:
    """Returns what two ordered arrays share; takes as long as the first is long."""
    import numpy as np

    if not len(many):
        return many
    places = np.searchsorted(many, few).clip(max=len(many) - 1)
    shared: NDArray[np.int32] = few[many[places] == few]
    return shared
