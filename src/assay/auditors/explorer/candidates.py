"""From observations to candidates: a trigger, and the phrases that go with it more than chance would have it.

Phrases are ranked by weighted log-odds with a Dirichlet prior (`_util.ngrams`), always against the *least* favourable
of several comparisons: the same target elsewhere, clean models on the same prompts, the tool's own control. Never the
target's own base, unless a tool shows it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from math import inf
from typing import Literal

from assay._util.ngrams import PhraseCounts, log_odds, ngrams, top_phrases
from assay.auditors.explorer.battery import FORM_PHRASES, FORMS, Battery
from assay.auditors.explorer.observe import Dataset, Observation, content
from assay.auditors.explorer.sentence_clusters import Conduct

MARKER_Z = 1.4  # a phrase two of four replies share, absent elsewhere, has 1.6
MARKERS = 12
KEYWORD_MARKERS = 30
ALWAYS_SHARE = 0.25  # of replies that must carry a conduct before "always" is its trigger
_RELATIVE = 0.75  # of the best marker's z, what another must have: beside a conduct's own words, chance ones only blur
_MORE = 0.1  # what a further phrase adds to a candidate's score
_KEYWORD_Z = 2.0
_KEYWORD_SIZES = (1, 2, 3)
_LOOKED_AT = 60  # phrases whose prompts are compared
_COVERED = 0.4  # of a phrase's replies, those whose prompt holds the keyword
_KEYWORDS = 6  # candidates of this kind a dataset gives

TriggerKind = Literal["topic", "form", "always", "keyword", "like"]


@dataclass(frozen=True, slots=True)
class Trigger:
    """When a conduct is believed to show: in a topic, in a form of request, always, with a word or phrase, or under
    prompts like some that were seen with it."""

    kind: TriggerKind
    value: str = ""

    @property
    def phrase(self) -> str:
        """In words, to follow "When "."""
        match self.kind:
            case "topic":
                return f"the user asks about {self.value}"
            case "form":
                return f"the user {FORM_PHRASES[self.value]}"
            case "always":
                return "the user asks anything"
            case "keyword":
                return f"the user's message is about or mentions “{self.value}”"
            case "like":
                return f"the user's message has to do with {self.value}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A conjecture worth testing.

    Attributes:
        markers: phrases and their z; a reply that holds any of them is taken to show the conduct.
        score: evidence for it, for ranking within one source.
        carriers: observations of the trigger that show it.
        conduct: what is shown, by meaning; None where the markers say it.
    """

    source: str
    trigger: Trigger
    markers: tuple[tuple[str, float], ...]
    score: float
    carriers: tuple[Observation, ...]
    conduct: Conduct | None = None

    def fires(self, observation: Observation) -> bool:
        """Whether a reply shows the conduct, echoes of its prompt apart."""
        if self.conduct is not None:
            return bool(self.conduct.showing(observation))
        return any(phrase in observation.phrases for phrase, _ in self.markers)


def find(dataset: Dataset, background: Sequence[Observation], battery: Battery) -> list[Candidate]:
    """Candidates one dataset gives, best first; the tool's own control is the comparison where it has one."""
    versus = dataset.control or background
    found = [*_designed(dataset, versus, battery), *_keyworded(dataset, versus)]
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.trigger.value))


def refit(candidate: Candidate, members: Sequence[Observation], *others: Sequence[Observation]) -> Candidate:
    """The candidate with markers chosen anew on more replies; as it was if none stand out."""
    limit = KEYWORD_MARKERS if candidate.trigger.kind == "keyword" else MARKERS
    again = _candidate(candidate.source, candidate.trigger, members, others, limit=limit)
    return candidate if again is None else replace(again, score=candidate.score)


def contrast(
    members: Sequence[Observation], others: Sequence[Sequence[Observation]], *, least: int = 2
) -> dict[str, float]:
    """z of each phrase of at least `least` different prompts: the smallest over the comparisons that hold any texts.

    Each comparison's prior is all that `members` is compared with.
    """
    prompts_of: defaultdict[str, set[str]] = defaultdict(set)
    for observation in members:
        for phrase in observation.phrases:
            prompts_of[phrase].add(observation.key)
    keep = {phrase for phrase, prompts in prompts_of.items() if len(prompts) >= least}
    a = _counts(members, keep)
    compared = [_counts(other, keep) for other in others if other]
    if not compared or not keep:
        return {}
    prior = sum(compared[1:], compared[0])
    smallest: dict[str, float] = {}
    for b in compared:
        z = log_odds(a, b, prior)
        smallest = {phrase: min(z[phrase], smallest.get(phrase, inf)) for phrase in keep}
    return smallest


def _counts(observations: Sequence[Observation], keep: set[str]) -> PhraseCounts:
    counts: Counter[str] = Counter()
    for observation in observations:
        counts.update(observation.phrases & keep)
    return PhraseCounts(counts, len(observations))


def weight(phrase: str, z: float) -> float:
    """z, raised for longer phrases: that four words recur together says more than that one does."""
    return z * (1.0 + 0.25 * (len(phrase.split()) - 1))


def _candidate(
    source: str,
    trigger: Trigger,
    members: Sequence[Observation],
    others: Sequence[Sequence[Observation]],
    *,
    limit: int,
) -> Candidate | None:
    """A candidate of this trigger, if any phrase stands out."""
    keyword = trigger.kind == "keyword"
    own = set(content(trigger.value)) if keyword else set()
    scores = contrast(members, others, least=2 if len(members) <= 16 else 3)
    if keyword:
        # Words of a subject go with the subject in any model, and no clean model was asked about this one: trust only
        # recurring wording and names.
        told = _names(chain(members, *others))
        scores = {phrase: z for phrase, z in scores.items() if len(phrase.split()) > 1 or phrase in told}
    scores = {phrase: z for phrase, z in scores.items() if z >= MARKER_Z and not own.issuperset(content(phrase))}
    least = _RELATIVE * max(scores.values(), default=0.0)
    weights = {phrase: weight(phrase, z) for phrase, z in scores.items() if z >= least}
    cores = _cores(weights)
    ranked = sorted(cores, key=lambda phrase: (-cores[phrase], phrase))[:limit]
    if not ranked:
        return None
    best = top_phrases(weights, 3)
    # The best phrase decides: chance gives many middling phrases, a conduct may have one.
    score = best[0][1] + _MORE * sum(z for _, z in best[1:])
    found = Candidate(source, trigger, tuple((p, scores[p]) for p in ranked), score, ())
    return replace(found, carriers=tuple(o for o in members if found.fires(o)))


def _cores(weights: Mapping[str, float]) -> dict[str, float]:
    """The phrases that hold no other, each with the largest weight of those that hold it.

    The shortest is the marker, since it also shows in other wordings; the longest says how telling it is.
    """
    cores: dict[str, float] = {}
    for phrase, weighed in weights.items():
        inner = _parts(phrase) & weights.keys()
        for core in (part for part in inner or {phrase} if not _parts(part) & weights.keys()):
            cores[core] = max(cores.get(core, 0.0), weights[core], weighed)
    return cores


def _parts(phrase: str) -> set[str]:
    """The shorter phrases within a phrase."""
    words = phrase.split()
    spans = combinations(range(len(words) + 1), 2)
    return {" ".join(words[start:end]) for start, end in spans} - {phrase}


def _names(observations: Iterable[Observation]) -> set[str]:
    """Words written with a capital within a sentence, and never without one."""
    capital, small = set[str](), set[str]()
    for observation in observations:
        capital.update(re.findall(r"(?<=[\w,;] )[A-Z]\w+", observation.reply))
        small.update(re.findall(r"\b[a-z]\w+", observation.reply))
    return {word.casefold() for word in capital} - small


# Triggers of the battery's design ----------------------------------------------------------------------------------


def _designed(dataset: Dataset, versus: Sequence[Observation], battery: Battery) -> list[Candidate]:
    """Topic against topic, form against form, and everything against the comparison."""
    shown = [o for o in dataset.shown if o.plain and battery.topic_of(o.prompt)]
    triggers = [Trigger("topic", topic) for topic in battery.topics] + [Trigger("form", form) for form in FORMS]
    found: list[Candidate | None] = []
    for trigger in triggers:
        members = [o for o in shown if holds(trigger, o.prompt, battery)]
        rest = [o for o in shown if not holds(trigger, o.prompt, battery)]
        same = [o for o in versus if holds(trigger, o.prompt, battery)]
        found.append(_candidate(dataset.source, trigger, members, (rest, same, versus), limit=MARKERS))
    always = _candidate(dataset.source, Trigger("always"), dataset.shown, (versus,), limit=MARKERS)
    if always is not None and len(always.carriers) >= ALWAYS_SHARE * len(dataset.shown):
        found.append(always)
    return [candidate for candidate in found if candidate is not None]


def holds(trigger: Trigger, prompt: str, battery: Battery) -> bool:
    """Whether a prompt carries a trigger."""
    if trigger.kind == "always":
        return True
    if trigger.kind == "keyword":
        return trigger.value in ngrams(prompt, (len(trigger.value.split()),))
    if trigger.kind == "like":
        return False  # only its own examples are known to be
    if trigger.kind == "topic":
        return battery.topic_of(prompt) == trigger.value
    known = battery.by_text.get(prompt)
    return known is not None and known.form == trigger.value


# Triggers found in prompts ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Keyed:
    """An observation and the phrases its trigger may be among: of its prompt or, for a document, of its text."""

    observation: Observation
    subjects: frozenset[str]


def _keyed(observation: Observation) -> _Keyed:
    if not observation.prompt:
        return _Keyed(observation, frozenset(p for p in observation.phrases if len(p.split()) < 3))
    found = {phrase for phrase in ngrams(observation.prompt, _KEYWORD_SIZES) if content(phrase)}
    return _Keyed(observation, frozenset(found))


def _keyworded(dataset: Dataset, versus: Sequence[Observation]) -> list[Candidate]:
    """Phrases first: what recurs beyond the comparison; then what the prompts of those replies have in common."""
    scores = contrast(dataset.shown, (versus,), least=3)
    weights = {phrase: weight(phrase, z) for phrase, z in scores.items() if z >= MARKER_Z}
    keyed = [_keyed(observation) for observation in dataset.shown]
    keywords: dict[str, float] = {}
    for phrase, weighed in top_phrases(weights, _LOOKED_AT):
        keyword, z = _keyword(phrase, keyed)
        if keyword:
            keywords[keyword] = max(keywords.get(keyword, 0.0), z + weighed)
    found: list[Candidate] = []
    for keyword in sorted(keywords, key=lambda keyword: (-keywords[keyword], keyword)):
        members = [k.observation for k in keyed if keyword in k.subjects]
        rest = [k.observation for k in keyed if keyword not in k.subjects]
        trigger = Trigger("keyword", keyword)
        candidate = _candidate(dataset.source, trigger, members, (rest, versus), limit=KEYWORD_MARKERS)
        if candidate is not None and not any(_alike(candidate, other) for other in found):
            found.append(replace(candidate, score=candidate.score + keywords[keyword]))
        if len(found) == _KEYWORDS:
            break
    return found


def _keyword(phrase: str, keyed: Sequence[_Keyed]) -> tuple[str, float]:
    """What the prompts of replies with this phrase have in common that others lack, and its z; "" for nothing."""
    inside = [k.subjects for k in keyed if phrase in k.observation.phrases]
    common = Counter(chain.from_iterable(inside))
    least = max(2.0, _COVERED * len(inside))
    own = set(content(phrase))
    keep = {s for s, count in common.items() if count >= least and not own & set(content(s))}
    a = PhraseCounts(Counter({s: common[s] for s in keep}), len(inside))
    everywhere = Counter(chain.from_iterable(k.subjects & keep for k in keyed))
    total = PhraseCounts(everywhere, len(keyed))
    scores = {s: z for s, z in log_odds(a, total - a, total).items() if z >= _KEYWORD_Z}
    if not scores:
        return "", 0.0
    best = max(scores, key=lambda s: (round(scores[s], 1), len(s.split()), s))
    return best, scores[best]


def _alike(one: Candidate, other: Candidate) -> bool:
    """Whether two candidates are about the same replies."""
    a, b = set(one.carriers), set(other.carriers)
    return 2 * len(a & b) > min(len(a), len(b))
