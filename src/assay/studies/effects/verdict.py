"""Says of a tool, given its effects, that it `helps`, `hurts` or is `not told apart`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal

from assay.studies.effects.numbers import EffectVerdict
from assay.studies.effects.power import SIGNIFICANT, families_that_change
from assay.studies.effects.results import Effect, Summary
from assay.studies.effects.shrunken import Hierarchical, ShrunkenEffect

HELPS: EffectVerdict = "helps"
HURTS: EffectVerdict = "hurts"
OPEN: EffectVerdict = "not told apart"


def verdict(delta: float, p_adjusted: float) -> EffectVerdict:
    """Judges one effect: it must be significant after correction for the tools tested with it."""
    if p_adjusted >= SIGNIFICANT or delta == 0:
        return OPEN
    return HELPS if delta > 0 else HURTS


def tool_verdicts(effects: Iterable[Effect | ShrunkenEffect]) -> dict[str, EffectVerdict]:
    """Says of each tool what every comparison made of it says alike; otherwise it is not told apart.

    A tool compared with a base kit and with its placebo helps if it beats both. A tool compared with its placebo
    alone (a base kit itself) is listed by that.
    """
    # One comparison alone can mislead: over the base kit a tool may win by its words and its cost, not its information.
    said: dict[str, set[EffectVerdict]] = {}
    for effect in effects:
        said.setdefault(effect.tool, set()).add(effect.verdict)
    return {tool: next(iter(words)) if len(words) == 1 else OPEN for tool, words in said.items()}


def headline(effects: Sequence[Effect], smallest: float | None, model: Hierarchical | None = None) -> str:
    """Answers "which tool helps?" in a sentence or two.

    Verdicts are the exact tests'; the sizes are the model's where there is one, since what was found significant is
    overstated by its plain difference.

    Args:
        effects: as in the summary.
        smallest: the effect that the design shows four times in five; None if it shows none.
        model: whose shrunken effects are told; None to tell the plain ones.
    """
    added = [effect for effect in effects if not effect.against_placebo]
    if not added:
        return "No tool was compared with a base kit: add a kit such as chat+search beside chat."
    tools = list(dict.fromkeys(effect.tool for effect in added))
    words = tool_verdicts(effect for effect in effects if effect.tool in tools)
    sizes: Sequence[Effect | ShrunkenEffect] = model.effects if model else effects
    sentences: list[str] = []
    for word in (HELPS, HURTS):
        named = [_named(tool, sizes) for tool in tools if words[tool] == word]
        if named:
            sentences.append(f"{_listed(named)} {word if len(named) == 1 else word.removesuffix('s')}.")
    rest = [tool for tool in tools if words[tool] == OPEN]
    if len(rest) == len(tools):
        who = "No tool is" if len(rest) > 1 else f"{rest[0]} is not"
    else:
        who = f"{_listed(rest)} {'is' if len(rest) == 1 else 'are'} not" if rest else ""
    if rest:
        sentences.append(f"{who} told apart from doing without: {_limit(smallest, effects)}.")
    if len(rest) == len(tools):
        sentences.append(_largest([size for size in sizes if not size.against_placebo]))
    return " ".join(sentences)


def disagreement(effects: Sequence[Effect], model: Hierarchical | None) -> str:
    """Says in a sentence of which tools the exact tests and the model do not say the same; "" if of none."""
    exact = tool_verdicts(effects)
    shrunken = tool_verdicts(model.effects if model else ())
    parted = [
        f"{tool} {_said(exact[tool])} by the tests and {_said(word)} by the model"
        for tool, word in shrunken.items()
        if exact[tool] != word
    ]
    return f"Exact tests and hierarchical model disagree: {_listed(parted)}." if parted else ""


def _said(word: EffectVerdict) -> str:
    return f"is {word}" if word == OPEN else word


def smallest_effect(summary: Summary) -> str:
    """Says how large an effect must be for this sweep's verdict to find it four times in five."""
    tools = len({effect.tool for effect in summary.effects if not effect.against_placebo})
    return power_told(summary.smallest_shown, summary.families, summary.seeds, tools)


def power_told(smallest: float | None, families: int, seeds: int, tools: int) -> str:
    """Says what a design shows four times in five.

    Args:
        smallest: the effect, simulated; None if no effect is large enough.
        families: of the design.
        seeds: of the design.
        tools: of the design.
    """
    parts = ((families, "family", "families"), (seeds, "seed", "seeds"), (tools, "tool", "tools"))
    design = ", ".join(f"{number} {one if number == 1 else many}" for number, one, many in parts)
    if smallest is None:
        return f"No effect is large enough for the verdict to find it four times in five ({design})."
    change = families_that_change(smallest, families)
    return (
        f"The verdict finds an effect of {whole(100 * smallest)} points four times in five (simulated: {design}, base "
        f"success 20 %; {change} families would have to change)."
    )


def points(value: float) -> str:
    """Writes a difference of rates in percentage points, with its sign; 0 has none."""
    rounded = whole(100 * value)
    return f"{rounded:+d}" if rounded else "0"


def whole(value: float) -> int:
    """Rounds to a whole number, halves away from 0: 12.5 % is 13 %, as people expect, and not 12."""
    return int(Decimal(repr(round(value, 6))).quantize(Decimal(1), ROUND_HALF_UP))


def _largest(added: Sequence[Effect | ShrunkenEffect]) -> str:
    effect = max(added, key=lambda effect: effect.delta)
    how = ", shrunken," if isinstance(effect, ShrunkenEffect) else ","
    return (
        f"The largest difference is {effect.tool}'s{how} {points(effect.delta)} points over {effect.against} "
        f"{_bounds(effect)}."
    )


def _bounds(effect: Effect | ShrunkenEffect) -> str:
    low, high = effect.interval
    return f"[{points(low)}, {points(high)}]"


def _limit(smallest: float | None, effects: Sequence[Effect]) -> str:
    """Says what stood in the way of telling a tool apart."""
    families = min(effect.families for effect in effects)
    if families == 1:
        return "the effect of one family says nothing of others"
    if smallest is None:
        return f"with {families} families no effect is large enough to be shown four times in five"
    change = families_that_change(smallest, families)
    return (
        f"four times in five only an effect of {whole(100 * smallest)} points is "
        f"({change} of {families} families would have to change)"
    )


def _named(tool: str, effects: Iterable[Effect | ShrunkenEffect]) -> str:
    """Names a tool with all its effects in brackets; shrunken ones with their intervals."""
    parts: list[str] = []
    for effect in effects:
        if effect.tool == tool:
            opponent = "its placebo" if effect.against_placebo else effect.against
            bounds = f" {_bounds(effect)}" if isinstance(effect, ShrunkenEffect) else ""
            parts.append(f"{points(effect.delta)} points{bounds} against {opponent}")
    return f"{tool} ({', '.join(parts)})"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
