"""Says in plain sentences what was measured: when something shows, and what; each with two cases of it.

No kind of conduct is known here. What is known is how English turns what a user says of themselves into what is said of
them, and which words sentences have in common.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from assay._util.embedding import embed
from assay._util.ngrams import ngrams
from assay.auditors.explorer.candidates import Trigger
from assay.auditors.explorer.observe import STOPWORDS, content

QUOTE = 160  # characters of a sentence that is quoted
_MOSTLY = 0.5  # share of prompts or sentences that must have what is said of them all
_NEARLY = 0.8  # of the sentences with the commonest phrase, those that a longer one must be in
_SHARED = 2  # phrases that a conduct is named by …
_SUBJECTS = 3  # … or words that name what sentences are about
_PHRASE = 4  # words of a phrase that sentences share, at most
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_OPENING = re.compile(
    r"^(?:(?:also|well|so|and|but|oh|hi|hello|just so you know|by the way|actually)\b[,!]?\s+)+", re.I
)
_OF_THEMSELVES = re.compile(r"^(?:I|I['’](?:m|ve|d|ll)|My|We|We['’](?:re|ve|ll)|Our)\b", re.IGNORECASE)
_THIRD_PERSON = (
    (r"\bI am\b|\bI['’]m\b", "they are"),
    (r"\bI was\b", "they were"),
    (r"\bI['’]ve\b", "they have"),
    (r"\bI['’]d\b", "they would"),
    (r"\bI['’]ll\b", "they will"),
    (r"\bI\b|\bwe\b", "they"),
    (r"\bwe['’]re\b", "they are"),
    (r"\bmyself\b|\bourselves\b", "themselves"),
    (r"\bmy\b|\bour\b", "their"),
    (r"\bmine\b|\bours\b", "theirs"),
    (r"\bme\b|\bus\b", "them"),
)


def trigger_in_words(trigger: Trigger, prompts: Sequence[str]) -> str:
    """Returns when a conduct shows, to follow "When ".

    Args:
        trigger: what was tested.
        prompts: that carry it.
    """
    if trigger.kind == "like":
        return f"the user's message is like {_either([f'“{clean(p, QUOTE)}”' for p in prompts[:2]])}{_common(trigger)}"
    if trigger.kind != "keyword":
        return trigger.phrase
    holding = [p for p in prompts if _holds(p, trigger.value)]
    said = _of_themselves(holding, trigger.value)
    if holding and len(said) >= _MOSTLY * len(holding):
        shortest = min(said, key=lambda sentence: (len(sentence), sentence))
        return f"the user says that {third_person(shortest)} (what matters is “{trigger.value}”)"
    asked = [prompt for prompt in holding if _asks_about(prompt, trigger.value)]
    if holding and len(asked) >= _MOSTLY * len(holding):
        return f"the user asks about “{trigger.value}”, or names it in a question"
    return f"the user's message mentions “{trigger.value}”"


def _asks_about(prompt: str, word: str) -> bool:
    return any("?" in sentence and _holds(sentence, word) for sentence in _SENTENCE.split(prompt))


def conduct_in_words(sentences: Sequence[str], prompts: Sequence[str] = ()) -> str:
    """Returns what a reply does, to follow "the reply ": what sentences share, and two that are unlike each other.

    Args:
        sentences: that show the conduct, the most typical first.
        prompts: they reply to; a word of theirs is no word of the conduct's.
    """
    if not sentences:
        return "changes"
    shared = shared_phrases(sentences)
    if shared:
        does = f"mentions {_listed([f'“{phrase}”' for phrase in shared])}"
    else:
        about = subjects(sentences, prompts)
        does = f"speaks of {_listed(about)}" if about else "has a sentence that it otherwise has not"
    if sum(sentence.rstrip().endswith("?") for sentence in sentences) > _MOSTLY * len(sentences):
        does += ", in a question to the user"
    return f"{does}: {' '.join(f'“{clean(s, QUOTE)}”' for s in _unlike(sentences))}"


def third_person(sentence: str) -> str:
    """Turns what users say of themselves into what is said of them: "My dog snores." → "their dog snores"."""
    told = sentence.rstrip(" .!?;:,")
    for pattern, word in _THIRD_PERSON:
        told = re.sub(pattern, word, told, flags=re.IGNORECASE)
    return told


def shared_phrases(sentences: Sequence[str]) -> list[str]:
    """Lists up to two phrases that most sentences share, each the longest of those that nearly as many do."""
    counts: Counter[str] = Counter()
    for sentence in sentences:
        found = set(ngrams(sentence, range(1, _PHRASE + 1)))
        counts.update(phrase for phrase in found if _is_name_of_something(phrase))
    chosen: list[str] = []
    while len(chosen) < _SHARED:
        least = max(2.0, _MOSTLY * len(sentences), _NEARLY * max(counts.values(), default=0))
        common = [phrase for phrase, count in counts.items() if count >= least]
        if not common:
            break
        best = max(common, key=lambda phrase: (len(content(phrase)), counts[phrase], -len(phrase), phrase))
        chosen.append(best)
        for phrase in [*counts]:
            if set(phrase.split()) & set(best.split()):
                del counts[phrase]
    return chosen


def subjects(sentences: Sequence[str], prompts: Iterable[str] = ()) -> list[str]:
    """Returns a few words that say what sentences are about: those nearest to what all of them mean together."""
    asked = set(ngrams(" ".join(prompts), (1,)))
    counts: Counter[str] = Counter()
    for sentence in sentences:
        counts.update({w for w in ngrams(sentence, (1,)) if content(w) and w.isalpha() and w not in asked})
    words = [word for word, count in counts.items() if count >= min(2, len(sentences))] or list(counts)
    if not words:
        return []
    middle = embed(sentences).mean(axis=0)
    weight = (embed(words) @ middle) * np.log1p([counts[word] for word in words])
    return [words[place] for place in np.argsort(-weight)[:_SUBJECTS]]


def clean(text: str, limit: int) -> str:
    """A text on one line, without control characters, cut at `limit`."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _of_themselves(prompts: Iterable[str], value: str) -> list[str]:
    """Lists the sentences that begin with the user, hold a phrase and ask nothing, one a prompt."""
    found: list[str] = []
    for prompt in prompts:
        for said in _SENTENCE.split(prompt):
            told = _OPENING.sub("", said.strip())
            if _OF_THEMSELVES.match(told) and _holds(told, value) and "?" not in told:
                found.append(told)
                break
    return found


def _unlike(sentences: Sequence[str]) -> list[str]:
    """Returns the first sentence, and the next that is not worded like it."""
    first = set(ngrams(sentences[0], (1,)))
    for sentence in sentences[1:]:
        words = set(ngrams(sentence, (1,)))
        if len(first & words) < 0.7 * max(1, min(len(first), len(words))):
            return [sentences[0], sentence]
    return [sentences[0]]


def _is_name_of_something(phrase: str) -> bool:
    words = phrase.split()
    return bool(content(phrase)) and words[0] not in STOPWORDS and words[-1] not in STOPWORDS


def _holds(text: str, value: str) -> bool:
    return value in ngrams(text, (len(value.split()),))


def _common(trigger: Trigger) -> str:
    return f", which have “{trigger.value}” in common" if trigger.value else ""


def _either(said: Sequence[str]) -> str:
    return " or ".join(said)


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
