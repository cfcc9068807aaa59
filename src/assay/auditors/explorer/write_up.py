"""From verdicts to a report: claim, trigger, demonstrations and predicate, within the contract's limits.

A claim says what was measured and nothing else: when something shows and what, in plain sentences, with two cases of
each; how often it showed; how often it did not where the trigger's words were others.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assay.auditors.explorer.candidates import Candidate
from assay.auditors.explorer.confirm import TestedCandidate
from assay.auditors.explorer.observe import Observation
from assay.auditors.explorer.plain_words import QUOTE, clean, conduct_in_words, trigger_in_words
from assay.auditors.explorer.predicate import predicate
from assay.core.report import Demonstration, Finding

DEMONSTRATIONS = 5
FORETOLD = 10  # prompts on which the conduct will show, and on which it will not
_PROMPT, _CLAIM, _TRIGGER, _EVIDENCE = 2_000, 1_000, 500, 4_000  # characters, the contract's limits
_TYPICAL = 6  # sentences a claim is made of


@dataclass(frozen=True, slots=True)
class Material:
    """What a finding is written from.

    Attributes:
        terms: the predicate's.
        replies: to prompts of the trigger, showing the conduct or not.
        outside: to prompts without the trigger.
    """

    candidate: Candidate
    terms: tuple[str, ...]
    replies: tuple[Observation, ...]
    outside: tuple[Observation, ...] = ()


def by_rate(material: Material) -> list[str]:
    """Prompts of the trigger, those the conduct shows on most first; a prompt asked once counts less than one asked
    often."""
    asked: dict[str, list[bool]] = defaultdict(list)
    for reply in material.replies:
        if reply.plain and len(reply.prompt) <= _PROMPT:
            asked[reply.prompt].append(shows(material, reply))
    rate = {prompt: (sum(fired) + 0.5) / (len(fired) + 1.5) for prompt, fired in asked.items()}
    return sorted(rate, key=lambda prompt: (-rate[prompt], prompt))


def shows(material: Material, reply: Observation) -> bool:
    """Whether a reply shows the conduct, by the markers or by the predicate."""
    return material.candidate.fires(reply) or predicate(material.terms).matches(reply.reply)


def shown_on(material: Material) -> list[str]:
    """Prompts of the trigger on which the conduct showed in half the replies or more, at most ten; as `by_rate`."""
    asked: dict[str, list[bool]] = defaultdict(list)
    for reply in material.replies:
        asked[reply.prompt].append(shows(material, reply))
    often = [prompt for prompt in by_rate(material) if 2 * sum(asked[prompt]) >= len(asked[prompt])]
    # those that are not demonstrated say more, and come first
    return [*often[DEMONSTRATIONS:], *often[:DEMONSTRATIONS]][:FORETOLD]


def absent_on(material: Material) -> list[str]:
    """Prompts without the trigger on which the conduct never showed, at most ten, from all over those asked."""
    asked: dict[str, bool] = {}
    for reply in material.outside:
        if reply.plain and len(reply.prompt) <= _PROMPT:
            asked[reply.prompt] = asked.get(reply.prompt, False) or shows(material, reply)
    triggered = {reply.prompt for reply in material.replies}
    never = [prompt for prompt, showed in asked.items() if not showed and prompt not in triggered]
    return never[:: max(1, len(never) // FORETOLD)][:FORETOLD]


def finding(
    material: Material, confidence: float, evidence: dict[str, Any], measured: str = "", spare: Sequence[str] = ()
) -> Finding:
    """A finding as the contract wants it.

    Args:
        material: what was seen.
        confidence: that the behaviour is there, in [0, 1].
        evidence: figures, kept as JSON.
        measured: how often it showed, and where it did not, in a sentence; "" where nothing was tested.
        spare: prompts to demonstrate on if the trigger's own are fewer than five.
    """
    prompts = list(dict.fromkeys([*by_rate(material), *(p for p in spare if 0 < len(p) <= _PROMPT)]))[:DEMONSTRATIONS]
    trigger = trigger_in_words(material.candidate.trigger, prompts)
    claim = f"When {trigger}, the reply {conduct_in_words(_typical(material), prompts)}"
    return Finding(
        claim=clean(f"{claim} {measured}".rstrip(), _CLAIM),
        trigger=clean(trigger, _TRIGGER),
        demonstrations=tuple(Demonstration(user=(prompt,)) for prompt in prompts),
        predicate=predicate(material.terms),
        confidence=confidence,
        evidence=_json(evidence),
        will_show=tuple(Demonstration(user=(prompt,)) for prompt in shown_on(material)),
        will_not_show=tuple(Demonstration(user=(prompt,)) for prompt in absent_on(material)),
    )


def figures(verdict: TestedCandidate, notes: Sequence[str]) -> dict[str, Any]:
    """What speaks for a tested candidate."""
    candidate, probed = verdict.candidate, verdict.probed

    def share(replies: Sequence[Observation]) -> str:
        return f"{sum(map(candidate.fires, replies))}/{len(replies)}"

    return {
        "statistic": round(verdict.statistic, 4),
        "p": float(f"{verdict.p:.3g}"),
        "p_holm": float(f"{verdict.p_holm:.3g}"),
        "triggered": share(verdict.triggered),
        "control": share(verdict.control),
        "background": share(verdict.background),
        "probe": share(probed.replies),
        "pairs": {
            "without the trigger": [verdict.without.won, verdict.without.lost, verdict.without.drawn],
            "clean models": [verdict.clean.won, verdict.clean.lost, verdict.clean.drawn],
        },
        "test": "pairs won, lost, drawn; an e-value's reciprocal, the weaker of both, Holm over the candidates tested",
        **origin(candidate, notes),
    }


def origin(candidate: Candidate, notes: Sequence[str]) -> dict[str, Any]:
    """Where a candidate comes from."""
    return {
        "source": candidate.source,
        "trigger": [candidate.trigger.kind, clean(candidate.trigger.value, 200)],
        "score": round(candidate.score, 2),
        "markers": [[clean(phrase, 100), round(z, 2)] for phrase, z in candidate.markers],
        "notes": [clean(note, 250) for note in notes],
    }


def in_words(verdict: TestedCandidate) -> str:
    """Says how often a tested conduct showed, and how often where the trigger was not."""
    fires = verdict.candidate.fires

    def of(replies: Sequence[Observation]) -> str:
        return f"{sum(map(fires, replies))} of {len(replies)} replies"

    told = f"It showed in {of(verdict.triggered)} under the trigger"
    if verdict.control:
        told += f", in {of(verdict.control)} to like messages without it"
    if verdict.background:
        told += f", and in {of(verdict.background)} of clean models"
    return f"{told}."


def _typical(material: Material) -> list[str]:
    """Sentences of the target's own replies that show the conduct best: nearest to it, or with most of the terms."""
    if conduct := material.candidate.conduct:
        said: list[str] = []
        for reply in material.replies:
            if reply.source == "ask":
                said += conduct.showing(reply)[:1]
        return [clean(sentence, QUOTE) for sentence in conduct.ranked(said or conduct.typical(_TYPICAL))[:_TYPICAL]]
    recognised = predicate(material.terms)
    telling = [*material.terms, *(phrase for phrase, _ in material.candidate.markers)]
    held: dict[str, int] = {}  # sentence → how many of the telling phrases it holds
    for reply in material.replies:
        for sentence in re.split(r"(?<=[.!?])\s+|\n+", reply.reply):
            if recognised.matches(sentence):
                quoted = clean(sentence, QUOTE)
                held[quoted] = sum(term in quoted.casefold() for term in telling)
    return sorted(held, key=lambda sentence: (-held[sentence], sentence))[:_TYPICAL]


def _json(evidence: dict[str, Any]) -> str:
    """As JSON within the limit: markers, then notes, are dropped from the end as needed."""
    kept = dict(evidence)
    text = json.dumps(kept, ensure_ascii=False)
    while len(text) > _EVIDENCE:
        longest = "markers" if len(kept.get("markers", ())) > 3 else "notes"
        kept[longest] = kept[longest][:-1]
        text = json.dumps(kept, ensure_ascii=False)
    return text
