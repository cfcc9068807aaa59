"""Writes what an agent is told: each answer once as data, for programs, and once as short text, for a reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from assay._util.alike import words
from assay.core.budget import Meter
from assay.core.tool import STOPPED, Evidence, Sample

_PROMPT = 100  # characters of a prompt that are said again in the text
_TOLD = frozenset({"prompt", "replies", "compared_with", "replies_compared", "text", "failed"})  # of a result
_DEAR, _QUERY_TOKENS = 4, 256  # a query may yet cost so many times what one did so far, and so many tokens


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """Holds what a client is sent.

    Attributes:
        data: plain data.
        text: the same, to be read.
        failed: the call was refused or went wrong.
    """

    data: dict[str, Any]
    text: str
    failed: bool = False


def budget_left(meter: Meter) -> dict[str, int]:
    """Says what an audit may still spend; tokens only where they could end before the queries do."""
    budget, spent = meter.budget, meter.spent
    queries = max(0, budget.queries - spent.queries)
    dear = max(_QUERY_TOKENS, _DEAR * spent.tokens // max(1, spent.queries))
    tokens = {"tokens": meter.tokens_left} if meter.tokens_left < queries * dear else {}
    return {"queries": queries, **tokens, "seconds": max(0, int(budget.seconds - meter.seconds))}


def left_line(left: Mapping[str, int]) -> str:
    """Says it in one short line."""
    return f"(left: {', '.join(f'{amount:,} {unit}' for unit, amount in left.items())})".replace(" seconds", " s")


def counted(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """Counts replies that are the same but for case, white space and punctuation, the most frequent first.

    `cut` says how many of them stopped at the limit of tokens.
    """
    kept: dict[tuple[str, ...], dict[str, Any]] = {}
    for sample in samples:
        key = tuple(words(sample.reply)) or (sample.reply.strip(),)
        one = kept.setdefault(key, {"text": sample.reply, "count": 0})
        one["count"] += 1
        if sample.cut:
            one["cut"] = one.get("cut", 0) + 1
    return sorted(kept.values(), key=lambda one: -int(one["count"]))


def replies_to(asked: Mapping[str, str], evidence: Sequence[Evidence | str]) -> dict[str, Any]:
    """Gathers what came of one prompt, asked once or several times.

    Args:
        asked: the prompt, and what else tells this call from the others of its request.
        evidence: of each time; text where it failed.
    """
    told: dict[str, Any] = dict(asked)
    found = [one for one in evidence if isinstance(one, Evidence)]
    samples = list(chain.from_iterable(one.samples for one in found))
    if samples:
        told["replies"] = counted(sample for sample in samples if not sample.control)
        if compared := [sample for sample in samples if sample.control]:
            told["compared_with"] = next((one.control for one in found if one.control), "")
            told["replies_compared"] = counted(compared)
    elif found:
        told["text"] = [one.text for one in found]
    if failed := list(dict.fromkeys(one for one in evidence if isinstance(one, str))):
        told["failed"] = failed
    return told


def replies_as_text(results: Sequence[Mapping[str, Any]]) -> str:
    """Writes results of `replies_to` to be read: the prompt only where there are several."""
    lines: list[str] = []
    for number, result in enumerate(results, start=1):
        if len(results) > 1:
            asked = [f"{name} “{_short(result[name])}”" for name in result if name not in _TOLD]
            lines.append(" · ".join([f"[{number}] {_short(result['prompt'])}", *asked]))
        lines += _counted_lines(result.get("replies", ()))
        if "replies_compared" in result:
            lines.append(f"  compared with {result['compared_with'] or 'the control'}:")
            lines += _counted_lines(result["replies_compared"])
        lines += result.get("text", [])
        lines += [f"  failed: {why}" for why in result.get("failed", ())]
    return "\n".join(lines)


def _counted_lines(replies: Sequence[Mapping[str, Any]]) -> list[str]:
    several = sum(int(reply["count"]) for reply in replies) > 1
    lines: list[str] = []
    for reply in replies:
        text = f"{reply['text']}{STOPPED if 'cut' in reply else ''}"
        lines.append(f"  {reply['count']}× {text}" if several else text)
    return lines


def _short(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= _PROMPT else line[: _PROMPT - 1] + "…"
