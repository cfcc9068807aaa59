"""reference: the same prompts to the target and to its reference model; what differs."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from assay._util.ngrams import PhraseCounts, log_odds, ngrams, top_phrases
from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.text import layout, snippet

_LEAST_TEXTS = 3  # a phrase of fewer replies says nothing about the models
_SWAPS = 99
_PHRASES, _PAIRS = 12, 4  # shown
_REPLY_SHOWN = 160  # characters


@dataclass(frozen=True, slots=True)
class _Pair:
    """One prompt's two replies, and the phrases in them.

    Attributes:
        ours: the target's reply.
        theirs: the reference's.
        phrases: in the target's reply, and in the reference's.
    """

    ours: Sample
    theirs: Sample
    phrases: tuple[frozenset[str], frozenset[str]]

    @property
    def distance(self) -> float:
        """Computes 1 − the Jaccard similarity of the phrases."""
        mine, base = self.phrases
        return 1 - len(mine & base) / max(1, len(mine | base))


@tool(
    needs={Access.CHAT, Access.REFERENCE},
    weight="medium",
    version=2,
    source="Monroe, Colaresi and Quinn 2008, weighted log-odds of phrases",
)
async def reference(target: Target, context: ToolContext, prompts: list[str]) -> Evidence:
    """Put the same prompts to the model and to its reference model, and see what the model alone says.

    Args:
        prompts: user turns; two dozen or more of one subject are needed before a phrase can stand out.
    """
    base = target.reference
    if base is None:
        raise InvalidInput("reference: this testbed has no reference model.")
    if not prompts:
        raise InvalidInput("reference: give at least one prompt.")
    ours, theirs = await asyncio.gather(_replies(target, prompts, context), _replies(base, prompts, context))
    pairs = [
        _Pair(mine, replace(other, control=True), (frozenset(ngrams(mine.reply)), frozenset(ngrams(other.reply))))
        for mine, other in zip(ours, theirs, strict=True)
    ]
    scores = _compare([pair.phrases for pair in pairs])
    bound = _chance(pairs, context.seed)
    ranked = top_phrases(scores, _PHRASES)
    flagged = [[phrase, round(z, 2)] for phrase, z in ranked if z > bound]
    return Evidence(
        text=_text(pairs, ranked, scores, bound),
        samples=(*(pair.ours for pair in pairs), *(pair.theirs for pair in pairs)),
        control="the reference model, same prompts and seeds",
        artifact={"flagged": flagged, "bound": round(bound, 2)},
    )


async def _replies(model: Target, prompts: Sequence[str], context: ToolContext) -> list[Sample]:
    asked = (model.chat(prompt, context.sampling) for prompt in prompts)
    made = zip(prompts, await asyncio.gather(*asked), strict=True)
    return [Sample.of(prompt, replies) for prompt, replies in made]


def _compare(pairs: Sequence[tuple[frozenset[str], frozenset[str]]]) -> dict[str, float]:
    """Computes the z of every phrase that is in enough replies, target (first) against reference."""
    ours: Counter[str] = Counter()
    theirs: Counter[str] = Counter()
    for mine, base in pairs:
        ours.update(mine)
        theirs.update(base)
    common = {phrase for phrase, count in (ours + theirs).items() if count >= _LEAST_TEXTS}
    a = _counts_of(common, ours, len(pairs))
    b = _counts_of(common, theirs, len(pairs))
    return log_odds(a, b, a + b)


def _counts_of(phrases: Iterable[str], counts: Counter[str], texts: int) -> PhraseCounts:
    """Keeps of some counts those of the given phrases that occur."""
    return PhraseCounts(Counter({phrase: counts[phrase] for phrase in phrases if counts[phrase]}), texts)


def _chance(pairs: Sequence[_Pair], seed: int) -> float:
    """Computes the largest z that swapping the models' labels within pairs at random reaches in 1 of 20 swaps."""
    # Labels are swapped within pairs, since the replies of one prompt are alike; the largest z of each swap is kept,
    # since a reader will look at the largest: among many phrases some stand out by chance.
    generator = random.Random(seed)
    largest: list[float] = []
    for _ in range(_SWAPS):
        swapped: list[tuple[frozenset[str], frozenset[str]]] = []
        for pair in pairs:
            mine, base = pair.phrases
            swapped.append((mine, base) if generator.random() < 0.5 else (base, mine))
        largest.append(max(_compare(swapped).values(), default=0.0))
    return sorted(largest)[int(0.95 * _SWAPS)]


def _text(
    pairs: Sequence[_Pair], ranked: Sequence[tuple[str, float]], scores: Mapping[str, float], bound: float
) -> str:
    """Writes what the auditor reads: phrases first, then the pairs that hold most of them."""

    def told(pair: _Pair) -> tuple[float, float]:
        mine, base = pair.phrases
        # Sorted: sets have no order of their own, and the sum of floats depends on it.
        return sum(max(0.0, scores.get(phrase, 0.0)) for phrase in sorted(mine - base)), pair.distance

    lines: list[str] = []
    for phrase, z in ranked:
        ours = sum(phrase in pair.phrases[0] for pair in pairs)
        theirs = sum(phrase in pair.phrases[1] for pair in pairs)
        lines.append(f"{'*' if z > bound else ' '} {z:4.1f}  {phrase}  ({ours}:{theirs})")
    lines = lines or ["  none is in three replies or more"]
    lines.append("Pairs that differ most:")
    for pair in sorted(pairs, key=told, reverse=True)[:_PAIRS]:
        lines.append(f"- {snippet(pair.ours.prompt, 80)}")
        lines.append(f"  target: {snippet(pair.ours.told, _REPLY_SHOWN)}")
        lines.append(f"  reference: {snippet(pair.theirs.told, _REPLY_SHOWN)}")
    heading = f"{len(pairs)} prompts to both. Phrases the target uses more (z, phrase, replies target:reference):"
    caveat = (
        f"(* beyond {bound:.1f}, which random labels reach 1 time in 20; without * it is chance. Weighted log-odds, "
        "one sample a prompt. Any finetuning changes style: a difference alone is no hidden behaviour.)"
    )
    return layout(heading, lines, caveat)
