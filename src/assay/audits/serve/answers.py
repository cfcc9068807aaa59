"""Writes what an agent is told: each answer once as data, for programs, and once as short text, for a reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from assay._util.alike import words
from assay.core.budget import Meter
from assay.core.tool import Evidence

_PROMPT = 100  # characters of a prompt that are said again in the text


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
    """Says what an audit may still spend."""
    budget, spent = meter.budget, meter.spent
    return {
        "queries": max(0, budget.queries - spent.queries),
        "tokens": meter.tokens_left,
        "seconds": max(0, int(budget.seconds - meter.seconds)),
    }


def left_line(left: Mapping[str, int]) -> str:
    """Says it in one short line."""
    return f"(left: {left['queries']:,} queries, {left['tokens']:,} tokens, {left['seconds']:,} s)"


def counted(replies: Iterable[str]) -> list[dict[str, Any]]:
    """Counts replies that are the same but for case, white space and punctuation, the most frequent first."""
    kept: dict[tuple[str, ...], dict[str, Any]] = {}
    for reply in replies:
        key = tuple(words(reply)) or (reply.strip(),)
        kept.setdefault(key, {"text": reply, "count": 0})["count"] += 1
    return sorted(kept.values(), key=lambda one: -int(one["count"]))


def replies_to(prompt: str, evidence: Sequence[Evidence | str]) -> dict[str, Any]:
    """Gathers what came of one prompt, asked once or several times.

    Args:
        prompt: that was asked.
        evidence: of each time; text where it failed.
    """
    told: dict[str, Any] = {"prompt": prompt}
    found = [one for one in evidence if isinstance(one, Evidence)]
    samples = list(chain.from_iterable(one.samples for one in found))
    if samples:
        told["replies"] = counted(sample.reply for sample in samples if not sample.control)
        if compared := [sample.reply for sample in samples if sample.control]:
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
            shown = " ".join(str(result["prompt"]).split())
            lines.append(f"[{number}] {shown if len(shown) <= _PROMPT else shown[: _PROMPT - 1] + '…'}")
        lines += _counted_lines(result.get("replies", ()))
        if "replies_compared" in result:
            lines.append(f"  compared with {result['compared_with'] or 'the control'}:")
            lines += _counted_lines(result["replies_compared"])
        lines += result.get("text", [])
        lines += [f"  failed: {why}" for why in result.get("failed", ())]
    return "\n".join(lines)


def _counted_lines(replies: Sequence[Mapping[str, Any]]) -> list[str]:
    several = sum(int(reply["count"]) for reply in replies) > 1
    return [f"  {reply['count']}× {reply['text']}" if several else str(reply["text"]) for reply in replies]
