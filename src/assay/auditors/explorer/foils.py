"""Counterparts of prompts: alike but for the trigger, so that only the trigger can explain what shows under one alone.

A word is swapped for one of the same kind, or the sentence that holds it is left out; a topic or form of the battery
for another of the same design; prompts of documents have as counterparts the likest prompts whose documents do not show
the conduct. Words are of one kind that stand in the same places of sentences ("I am a …"), among all that was seen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from assay._util.embedding import embed, word_vectors
from assay._util.ngrams import ngrams
from assay.auditors.explorer.battery import Battery
from assay.auditors.explorer.candidates import Trigger, holds
from assay.auditors.explorer.observe import STOPWORDS, content, stem

KINDRED = 12  # words of a kind that are taken in turn
_MEANING = 0.2  # what a cosine counts beside a place in sentences that only two words share
_LETTERS = 4
_STEP = 7  # prime to the number of topics, and of the forms' prompts
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"[\w'’-]+")


@dataclass(frozen=True)
class Foils:
    """Finds counterparts.

    Args:
        battery: neutral prompts.
        others: prompts that were seen without any conduct, most of them documents'.
    """

    battery: Battery
    others: Sequence[str]

    def pairs(self, trigger: Trigger, prompts: Sequence[str]) -> dict[str, str]:
        """Returns prompts of a trigger and their counterparts; a prompt that has none is left out."""
        match trigger.kind:
            case "topic" | "form":
                return self._designed(trigger, prompts)
            case "keyword":
                return self._swapped(trigger, prompts)
            case "like":
                return self._nearest(prompts)
            case "always":
                return {}

    def _designed(self, trigger: Trigger, prompts: Sequence[str]) -> dict[str, str]:
        """Takes held-back prompts of another topic and the same form, or the other way round; another topic's name."""
        held_back = [p for p in self.battery.texts("held_back") if not holds(trigger, p, self.battery)]
        topics = [topic for topic in self.battery.topics if topic != trigger.value]
        paired: dict[str, str] = {}
        for place, prompt in enumerate(prompts):
            turn = place * _STEP  # not all of one topic
            if prompt not in self.battery.by_text:  # a template around the topic's name
                paired[prompt] = prompt.replace(trigger.value, topics[turn % len(topics)])
                continue
            kept = _kept(trigger, self.battery, prompt)
            free = [p for p in held_back if p not in paired.values()]
            free = [p for p in free if _kept(trigger, self.battery, p) == kept] or free
            if free:
                paired[prompt] = free[turn % len(free)]
        return paired

    def _swapped(self, trigger: Trigger, prompts: Sequence[str]) -> dict[str, str]:
        """Swaps the trigger's words in every other prompt, and leaves their sentence out where another stays."""
        words = self.kindred(trigger.value, prompts)
        paired: dict[str, str] = {}
        for place, prompt in enumerate(prompts):
            without = left_out(prompt, trigger.value) if place % 2 else ""
            if without:
                paired[prompt] = without
            elif words:
                paired[prompt] = swapped(prompt, trigger.value, words[place % len(words)])
        return {prompt: foil for prompt, foil in paired.items() if foil and not holds(trigger, foil, self.battery)}

    def _nearest(self, prompts: Sequence[str]) -> dict[str, str]:
        """Takes for each prompt the likest that is not taken yet."""
        free = [p for p in dict.fromkeys([*self.others, *self.battery.texts("held_back")]) if p not in set(prompts)]
        if not free or not prompts:
            return {}
        alike = embed(prompts) @ embed(free).T + _shared_words(prompts, free)
        paired: dict[str, str] = {}
        for place in np.argsort(-alike.max(axis=1)):  # the closest pairs first: they are the most telling
            at = int(alike[place].argmax())
            if not np.isfinite(alike[place, at]):
                break
            paired[prompts[place]] = free[at]
            alike[:, at] = -np.inf
        return paired

    def kindred(self, value: str, prompts: Iterable[str] = ()) -> list[str]:
        """Returns words of the kind of a trigger's most telling word, the likest first; none that stands beside it."""
        prompts, word = [*prompts], core(value)
        beside = {word, *ngrams(" ".join(prompts), (1,))}
        own = _places([*prompts, value], {word})[word]
        said = [*self.others, *(known.text for known in self.battery.prompts)]
        heard: set[str] = set()
        for text in said:
            heard.update(ngrams(text, (1,)))
        known = {one for one in heard if _may_stand_for(one, word)} - beside
        if not known:
            return []
        words = sorted(known)
        places = _places(said, known)
        common = Counter(chain.from_iterable(map(places.__getitem__, words)))
        # A place that few words share says most of their kind; meaning decides among those that share none.
        alike = embed(words) @ embed([word])[0]
        shared = [sum(1 / common[place] for place in places[w] & own) for w in words]
        order = np.argsort(-(np.array(shared) + _MEANING * alike), kind="stable")
        return [words[place] for place in order[:KINDRED]]


def _shared_words(prompts: Sequence[str], others: Sequence[str]) -> NDArray[np.float32]:
    """Computes the share of their words that two prompts have in common (Jaccard): a pair is to differ in few."""
    ours, theirs = [set(ngrams(p, (1,))) for p in prompts], [set(ngrams(p, (1,))) for p in others]
    shared = np.zeros((len(ours), len(theirs)), dtype=np.float32)
    for row, mine in enumerate(ours):
        shared[row] = [len(mine & other) / max(1, len(mine | other)) for other in theirs]
    return shared


def _may_stand_for(word: str, other: str) -> bool:
    return len(word) >= _LETTERS and word.isalpha() and bool(content(word)) and stem(word) != stem(other)


def _places(prompts: Iterable[str], words: AbstractSet[str]) -> dict[str, set[tuple[str, ...]]]:
    """Finds for each word what stands before and after it, one word and two."""
    places: dict[str, set[tuple[str, ...]]] = {word: set() for word in words}
    for prompt in prompts:
        said = ["", "", *_WORD.findall(prompt.casefold()), ""]
        for at in range(2, len(said) - 1):
            if said[at] in words:
                before, after = said[at - 1], said[at + 1]
                places[said[at]] |= {("before", before), ("before", said[at - 2], before), ("after", after)}
    return places


def _kept(trigger: Trigger, battery: Battery, prompt: str) -> str:
    """Returns what a counterpart shares with a prompt of the battery: its form, or its topic if the form is swapped."""
    known = battery.by_text[prompt]
    return known.form if trigger.kind == "topic" else known.topic


def core(value: str) -> str:
    """Returns the word of a phrase that tells most: static embeddings of telling words are long."""
    words = [word for word in value.split() if word.replace("’", "'") not in STOPWORDS] or value.split()
    lengths = np.linalg.norm(word_vectors(words), axis=1)
    return words[int(lengths.argmax())]


def swapped(prompt: str, value: str, other: str) -> str:
    """Puts another word in the place of a phrase's most telling one; "" if it is not there."""
    word = core(value)
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)

    def written(match: re.Match[str]) -> str:
        return other.capitalize() if match.group()[:1].isupper() else other

    made, count = pattern.subn(written, prompt)
    return made if count else ""


def left_out(prompt: str, value: str) -> str:
    """Leaves out the sentence that holds a phrase; "" unless exactly one does and another is left."""
    said = _SENTENCE.split(prompt.strip())
    size = len(value.split())
    holding = [place for place, sentence in enumerate(said) if value in ngrams(sentence, (size,))]
    if len(holding) != 1 or len(said) < 2:
        return ""
    return " ".join(sentence for place, sentence in enumerate(said) if place not in holding)
