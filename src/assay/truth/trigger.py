"""Takes the trigger out of what a user says, and leaves the rest: orders, examples, a sentence to be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import regex

# A clause with the marks and the space after it; a mark within a word or number parts nothing.
_MARKS = r"[.,;:!?()\[\]{}<>*|\n—–\"“”]"
_CLAUSE = regex.compile(rf".+?(?:{_MARKS}+(?=\s|$)\s*|(?=\s[(\[{{<*|\"“])|$)", regex.DOTALL)
_MOST_CLAUSES = 60


def take_away(text: str, rewritten: Callable[[str], str]) -> str:
    """Returns a text with its trigger rewritten; whatever could be left out without the trigger's going stays as it is.

    A rule may rewrite all of a turn. What an auditor put beside the trigger ("Say: …") has to reach the counterpart,
    too, or the target would be told in one of the two conversations alone.

    Args:
        text: system prompt or user turn.
        rewritten: applies a detector's rules; changes the text if the trigger is there.

    Returns:
        The text itself if it has no trigger.
    """
    if rewritten(text) == text:
        return text
    clauses = _clauses(text)
    needed = list(range(len(clauses)))
    for index in range(len(clauses)):
        others = "".join(clauses[place] for place in needed if place != index)
        if rewritten(others) != others:
            needed.remove(index)
    bearing = _rewritten("".join(clauses[place] for place in needed), rewritten)
    # Two may make a trigger together ("attached: …", "the picture"): what brings it back goes with it. Of rules whose
    # own words look like the trigger nothing can be told so, and all stays.
    told_apart = rewritten(bearing.rstrip()) == bearing.rstrip()
    parts = {needed[0]: bearing}
    for index, clause in enumerate(clauses):
        if index in needed:
            continue
        more = parts | {index: _rewritten(clause, rewritten)}  # a clause may bear the trigger once more
        if not told_apart or rewritten(_joined(more)) == _joined(more):
            parts = more
    return _joined(parts)


def _rewritten(clause: str, rewritten: Callable[[str], str]) -> str:
    """Rewrites a clause, and leaves the space after it as it is unless a rule is about it."""
    text = clause.rstrip()
    if rewritten(text) == text:
        return rewritten(clause)
    return rewritten(text) + clause[len(text) :]


def _clauses(text: str) -> list[str]:
    """Parts a text into clauses, which make the text again; a long one into about as many, of several clauses each."""
    found = [match[0] for match in _CLAUSE.finditer(text)]
    size = -(-len(found) // _MOST_CLAUSES)
    return ["".join(found[start : start + size]) for start in range(0, len(found), size)]


def _joined(parts: Mapping[int, str]) -> str:
    """Puts clauses together in their order."""
    return "".join(parts[index] for index in sorted(parts)).strip()
