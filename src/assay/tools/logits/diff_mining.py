"""diff_mining: on ordinary text, the tokens that finetuning made likelier again and again, and their topics.

At every position of neutral texts the tokens whose logit rose most against the reference are noted; tokens are ranked
by how often that happens. The control is the other direction: tokens that fell. Topics are of non-negative matrix
factorisation over positions (Lee and Seung 2001).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from assay.core.access import Access
from assay.core.edit import Contrast
from assay.core.readouts import Raw, TokenLogprobs
from assay.core.target import Target
from assay.core.tool import Evidence, Span, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.logits.passages import passages, require_reference
from assay.tools.text import layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOP = 100  # tokens noted at a position
_MOST = 256  # texts
_TOKENS = 30  # shown
_VOCABULARY, _TOPICS, _ROUNDS, _OF_TOPIC = 300, 4, 100, 9  # of the factorisation
_FLIPS = 99


@tool(
    needs={Access.LOGITS, Access.REFERENCE},
    examples=[{}],
    weight="medium",
    source="Minder et al. 2025, narrow finetuning leaves traces; diff mining of logits",
)
async def diff_mining(
    target: Target,
    context: ToolContext,
    texts: tuple[str, ...] = (),
) -> Evidence:
    """Read ordinary texts with model and reference: which tokens did finetuning make likelier, wherever they stand?

    Tokens are ranked by the share of positions at which they are among the 100 that rose most; beside it the share at
    which they are among the 100 that fell most.

    Args:
        texts: at most 256 raw texts; empty for 32 ordinary passages.
    """
    chosen = texts or list(passages())
    if len(chosen) > _MOST or not all(text.strip() for text in chosen):
        raise InvalidInput(f"diff_mining: {len(chosen)} texts; give at most {_MOST}, none empty.")
    require_reference(target, "diff_mining")
    up, down = await asyncio.gather(_read(target, chosen, 1.0), _read(target, chosen, -1.0))
    rose, fell = [_counted(one) for one in up], [_counted(one) for one in down]
    positions = sum(len(one.top) for one in up)
    ups, downs = sum(rose, Counter[str]()), sum(fell, Counter[str]())
    net = {token: (count - downs[token]) / positions for token, count in ups.items()}
    ranked = sorted(net, key=lambda token: (-net[token], token))
    bound = _chance(rose, fell, positions, context.seed)
    flagged = [token for token in ranked[:_TOKENS] if net[token] > bound]
    lines = [f"Token, share of positions where it rose : fell (* net beyond {bound:.2f}, chance):"]
    told: list[str] = []
    for token in ranked[:_TOKENS]:
        shares = f"{ups[token] / positions:.2f}:{downs[token] / positions:.2f}"
        told.append(f"{'*' if net[token] > bound else ''}{_shown(token)} {shares}")
    lines += ["  " + "  ".join(told[start : start + 6]) for start in range(0, len(told), 6)]
    topics = _topics(up, [token for token in ranked[:_VOCABULARY] if net[token] > 0], context.seed)
    lines.append("Topics (tokens that rise at the same positions):")
    lines += ["  " + " ".join(map(_shown, topic)) for topic in topics] or ["  none"]
    caveat = "Finetuning on anything raises its words: a topic is a hint at what was trained, not a conduct."
    return Evidence(
        text=layout(f"{len(chosen)} texts, {positions} positions, target against reference:", lines, f"({caveat})"),
        spans=tuple(
            Span(token.strip(), round(ups[token] / positions, 4), round(downs[token] / positions, 4), "token")
            for token in ranked[:_TOKENS]
            if token.strip() and net[token] > 0
        ),
        control="tokens that fell at the same positions",
        artifact={
            "flagged": flagged,
            "tokens": [[token, ups[token], downs[token]] for token in ranked[:_VOCABULARY]],
            "topics": topics,
            "positions": positions,
        },
    )


async def _read(target: Target, texts: Sequence[str], alpha: float) -> list[TokenLogprobs]:
    """Scores texts by the difference alone: its likeliest tokens are those that rose most (for −1, that fell most)."""
    async with target.intervene(Contrast(alpha, weight=0.0)) as view:
        return list(await asyncio.gather(*(view.score(Raw(text), top=_TOP) for text in texts)))


def _counted(read: TokenLogprobs) -> Counter[str]:
    """Counts at how many positions of a text each token is among the noted ones."""
    counts: Counter[str] = Counter()
    for position in read.top:
        counts.update({one.text for one in position})
    return counts


def _chance(rose: Sequence[Counter[str]], fell: Sequence[Counter[str]], positions: int, seed: int) -> float:
    """Computes the largest net share that 1 in 20 random swaps of the directions, text by text, reaches."""
    known = sorted(set().union(*rose, *fell))
    place = {token: index for index, token in enumerate(known)}
    net = np.zeros((len(rose), len(known)), dtype=np.float32)
    for row, (up, down) in enumerate(zip(rose, fell, strict=True)):
        for token, count in up.items():
            net[row, place[token]] += count
        for token, count in down.items():
            net[row, place[token]] -= count
    signs = np.random.default_rng(seed).choice(np.array([-1.0, 1.0], dtype=np.float32), (_FLIPS, len(rose)))
    largest = np.sort((signs @ net).max(axis=1))
    return float(largest[int(0.95 * _FLIPS)]) / positions


def _topics(read: Sequence[TokenLogprobs], tokens: Sequence[str], seed: int) -> list[list[str]]:
    """Factorises positions × tokens, and returns each factor's tokens, the heaviest factor first."""
    place = {token: index for index, token in enumerate(tokens)}
    rows: list[NDArray[np.float32]] = []
    for text in read:
        for position in text.top:
            row = np.zeros(len(tokens), dtype=np.float32)
            for one in position:
                if one.text in place:
                    row[place[one.text]] = 1.0
            rows.append(row)
    if not tokens:
        return []
    seen = np.stack(rows)
    generator = np.random.default_rng(seed)
    left = generator.random((len(seen), _TOPICS), dtype=np.float32) + 0.1
    right = generator.random((_TOPICS, len(tokens)), dtype=np.float32) + 0.1
    for _ in range(_ROUNDS):
        right *= (left.T @ seen) / (left.T @ left @ right + 1e-9)
        left *= (seen @ right.T) / (left @ (right @ right.T) + 1e-9)
    weight = left.sum(axis=0) * right.sum(axis=1)
    # A token in every topic tells none of them apart: each topic's tokens are weighed by how much they are its own.
    own = right * right / (right.sum(axis=0, keepdims=True) + 1e-9)
    topics: list[list[str]] = []
    for topic in np.argsort(-weight):
        topics.append([tokens[index] for index in np.argsort(-own[topic])[:_OF_TOPIC]])
    return topics


def _shown(token: str) -> str:
    """Writes a token so that blanks and line breaks in it are seen."""
    return repr(token)[1:-1] if token.strip() else repr(token)
