"""Documents to search in: any number of them, drawn from a seed, with ten planted on each of some themes.

Ordinary documents are chains of words, each drawn from those that follow the one before in the embedded suite's
training data; a name that no other document has stands in every tenth. A planted document has three of its theme's six
sentences, one that is ordinary and, in a sentence of its own, a name that only its theme has.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from assay._util.hashing import digest_of
from assay.core.target import Corpus, Document
from assay.testbeds.suites import embedded_suite

PLANTED = 10  # documents of a theme
_THEMES = Path(__file__).with_name("search_themes.yaml")
_SYLLABLES = ("vor", "lan", "quith", "mer", "zal", "bro", "ten", "ull", "gra", "shi", "dok", "pae")
_END = "\n"  # of a text, as a word
_AT_ONCE = 100_000  # documents that are drawn together
_WORDS = (12, 120)  # of an ordinary document
_SPARE = 12  # ordinary words in a planted one


@dataclass(frozen=True)
class Query:
    """Something to look for.

    Attributes:
        kind: by a `name`, by two sentences' `words`, by what they mean in other words, or by a phrase that is `quoted`.
        text: as it is asked.
        wanted: ids of planted documents that answer it.
    """

    kind: str
    text: str
    wanted: frozenset[str]


def planted_corpus(size: int, seed: int) -> tuple[Corpus, list[Query]]:
    """A corpus and what to ask of it."""
    draw = random.Random(seed)
    themes: list[dict[str, Any]] = yaml.safe_load(_THEMES.read_text(encoding="utf-8"))
    rest = _ordinary(size - PLANTED * len(themes), seed)
    documents = [Document(f"{number:012x}", "", text) for number, text in enumerate(rest)]
    queries: list[Query] = []
    for theme, spare in zip(themes, _ordinary(len(themes) * PLANTED, seed + 1)[::PLANTED], strict=True):
        name = _name(draw)
        ids: list[str] = []
        phrases: dict[str, list[str]] = defaultdict(list)
        for number in range(PLANTED):
            said = draw.sample(theme["wordings"], 3)
            own = f"So it is told by {name.capitalize()}."
            text = " ".join([*said, " ".join(spare.split()[:_SPARE]), own])
            document = Document(digest_of([text, number])[:12], "", text)
            documents.append(document)
            ids.append(document.id)
            for sentence in said:
                phrases[sentence].append(document.id)
        often = max(phrases, key=lambda sentence: len(phrases[sentence]))
        queries += [
            Query("name", f"what {name} told", frozenset(ids)),
            Query("words", theme["words"], frozenset(ids)),
            Query("meaning", theme["meaning"], frozenset(ids)),
            Query("quoted", f'"{" ".join(often.rstrip(".").split()[1:7])}"', frozenset(phrases[often])),
        ]
    draw.shuffle(documents)
    return Corpus(tuple(documents), digest_of([size, seed])), queries


def _name(draw: random.Random) -> str:
    return "".join(draw.choice(_SYLLABLES) for _ in range(4))


def _said() -> Iterator[str]:
    """Yields texts of the embedded suite's training data."""
    paths = sorted(embedded_suite().testbeds.rglob("*.jsonl"))
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)["text"]


@cache
def _chain() -> tuple[list[str], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Words; of each one, where those that followed it begin; and those."""
    numbers: dict[str, int] = {_END: 0}
    followed: dict[int, list[int]] = defaultdict(list)
    for text in _said():
        before = 0
        for word in [*text.split(), _END]:
            number = numbers.setdefault(word, len(numbers))
            followed[before].append(number)
            before = number
    starts = np.cumsum([0, *(len(followed[number]) for number in range(len(numbers)))])
    return list(numbers), starts, np.array([after for number in range(len(numbers)) for after in followed[number]])


def _ordinary(count: int, seed: int) -> list[str]:
    """Draws documents, all words of a place at once."""
    words, starts, after = _chain()
    draw, names = np.random.default_rng(seed), random.Random(seed)
    texts: list[str] = []
    while len(texts) < count:
        now = np.zeros(min(_AT_ONCE, count - len(texts)), dtype=np.int64)
        lengths = draw.integers(*_WORDS, len(now))
        rows = []
        for _ in range(_WORDS[1]):
            choices = starts[now + 1] - starts[now]
            now = after[starts[now] + (draw.random(len(now)) * choices).astype(np.int64)]
            rows.append(now)
        for said, length in zip(np.stack(rows, axis=1).tolist(), lengths.tolist(), strict=True):
            text = " ".join([words[number] for number in said[:length] if number])
            texts.append(f"{text} {_name(names)}{len(texts)}" if len(texts) % 10 == 0 else text)
    return texts
