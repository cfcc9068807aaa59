"""Says of a tool, given its effects, that it `helps`, `hurts` or is `not told apart`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from assay.studies.effects.results import Effect, EffectVerdict

HELPS: EffectVerdict = "helps"
HURTS: EffectVerdict = "hurts"
OPEN: EffectVerdict = "not told apart"
SIGNIFICANT = 0.05  # of p after Holm's correction


def verdict(delta: float, p_holm: float, mde: float | None) -> EffectVerdict:
    """Judges one effect: it must be significant after correction, and no smaller than the design could have shown."""
    if mde is None or p_holm >= SIGNIFICANT or abs(delta) < mde:
        return OPEN
    return HELPS if delta > 0 else HURTS


def tool_verdicts(effects: Iterable[Effect]) -> dict[str, EffectVerdict]:
    """Says of each tool what every comparison made of it says alike; otherwise it is not told apart.

    A tool compared with a base kit and with its placebo helps if it beats both. A tool compared with its placebo
    alone (a base kit itself) is listed by that.
    """
    # One comparison alone can mislead: over the base kit a tool may win by its words and its cost, not its information.
    said: dict[str, set[EffectVerdict]] = {}
    for effect in effects:
        said.setdefault(effect.tool, set()).add(effect.verdict)
    return {tool: next(iter(words)) if len(words) == 1 else OPEN for tool, words in said.items()}


def headline(effects: Sequence[Effect], mde: float | None, lowest_p: float) -> str:
    """Answers "which tool helps?" in a sentence or two.

    Args:
        effects: as in the summary.
        mde: the smallest effect the design could have shown.
        lowest_p: the smallest corrected p the design could have reached.
    """
    added = [effect for effect in effects if not effect.against_placebo]
    if not added:
        return "No tool was compared with a base kit: add a kit such as chat+search beside chat."
    tools = list(dict.fromkeys(effect.tool for effect in added))
    words = tool_verdicts(effect for effect in effects if effect.tool in tools)
    sentences: list[str] = []
    for word in (HELPS, HURTS):
        named = [_named(tool, effects) for tool in tools if words[tool] == word]
        if named:
            sentences.append(f"{_listed(named)} {word if len(named) == 1 else word.removesuffix('s')}.")
    rest = [tool for tool in tools if words[tool] == OPEN]
    if len(rest) == len(tools):
        who = "No tool is" if len(rest) > 1 else f"{rest[0]} is not"
    else:
        who = f"{_listed(rest)} {'is' if len(rest) == 1 else 'are'} not" if rest else ""
    if rest:
        sentences.append(f"{who} told apart from doing without: {_limit(mde, lowest_p)}.")
    if len(rest) == len(tools):
        sentences.append(_largest(added))
    return " ".join(sentences)


def points(value: float) -> str:
    """Writes a difference of rates in percentage points, with its sign; 0 has none."""
    whole = round(100 * value)
    return f"{whole:+d}" if whole else "0"


def _largest(added: Sequence[Effect]) -> str:
    effect = max(added, key=lambda effect: effect.delta)
    low, high = effect.interval
    return (
        f"The largest difference is {effect.tool}'s, {points(effect.delta)} points over {effect.against} "
        f"[{points(low)}, {points(high)}]."
    )


def _limit(mde: float | None, lowest_p: float) -> str:
    """Says what stood in the way of telling a tool apart."""
    if mde is None:
        return "the effect of one family says nothing of others"
    if lowest_p >= SIGNIFICANT:
        return f"with so few families for so many tools p after correction cannot fall below {lowest_p:.2f}"
    if mde > 1:
        return "no effect at all could have been shown with this design"
    return f"effects under {100 * mde:.0f} points could not have been shown with this design"


def _named(tool: str, effects: Iterable[Effect]) -> str:
    """Names a tool with all its effects in brackets."""
    parts: list[str] = []
    for effect in effects:
        if effect.tool == tool:
            opponent = "its placebo" if effect.against_placebo else effect.against
            parts.append(f"{points(effect.delta)} points against {opponent}")
    return f"{tool} ({', '.join(parts)})"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
