"""Regular expressions that somebody else wrote: compiled and matched within limits of time and memory.

Counted repetitions are compiled to as many steps as they count, and nested ones multiply: twenty characters can fill
any memory. That is bounded before anything is compiled. What grows while a pattern is matched (backtracking, recursion)
grows with time, so that the time limit bounds it: the worst one found, among 18,000 random ones and some that were
built for it, took 100 MB.
"""

from __future__ import annotations

import functools

import regex

LOOKED_AT = 20_000  # characters of a text that are looked at
_MOST_STEPS = 200_000  # of a compiled pattern, by a bound from above; some 40 MB
_COUNT = regex.compile(r"\{0*([0-9]+)")
_SPACED = regex.compile(r"\(\?[\w-]*x")  # the flag under which spaces and comments may stand within a count


class Unusable(ValueError):
    """A pattern that is no regular expression, or one over the limits."""


class OverLimit(Unusable):
    """A pattern that would take too much memory."""


@functools.lru_cache(maxsize=1_000)
def compiled(pattern: str, *, dotall: bool = False) -> regex.Pattern[str]:
    """Compiles a pattern that matches whatever the case.

    Args:
        pattern: somebody's.
        dotall: `.` spans lines.

    Raises:
        OverLimit: it repeats or nests too much.
        Unusable: it is no regular expression.
    """
    # Nothing is parsed: all least counts are multiplied, nested or not, so that no class or escape can hide one.
    if "{" in pattern and _SPACED.search(pattern):
        raise OverLimit("counted repetitions are not looked for under the flag x: leave the flag out")
    steps = len(pattern)
    for count in _COUNT.findall(pattern):
        steps *= max(1, int(count[:9]))
        if steps > _MOST_STEPS:
            raise OverLimit(f"counted repetitions may come to {_MOST_STEPS:,} steps, nested ones multiplied")
    try:
        return regex.compile(pattern, regex.IGNORECASE | (regex.DOTALL if dotall else 0))
    except regex.error as error:
        raise Unusable(f"{pattern!r} is not a regular expression: {error}") from None
    except (MemoryError, RecursionError, OverflowError) as error:
        raise OverLimit(f"a pattern may not be nested or repeated this much: {type(error).__name__}") from None


def spans(pattern: regex.Pattern[str], text: str, seconds: float, most: int = 1) -> list[tuple[int, int]]:
    """Finds where a pattern matches, in the first 20,000 characters of a text.

    Args:
        pattern: as `compiled` returns it.
        text: to look at.
        seconds: the time for all of it.
        most: matches to find.

    Raises:
        TimeoutError: it took longer, or more memory than there is.
    """
    found: list[tuple[int, int]] = []
    try:
        for match in pattern.finditer(text[:LOOKED_AT], timeout=seconds):
            found.append(match.span())
            if len(found) == most:
                break
    except (MemoryError, RecursionError):
        raise TimeoutError("out of memory") from None
    return found
