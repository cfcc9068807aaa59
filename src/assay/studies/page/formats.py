"""Writes numbers as the page and the terminal show them."""

from __future__ import annotations

from assay.studies.effects.results import KitResult
from assay.studies.effects.verdict import whole


def percent(value: float | None) -> str:
    """Writes a rate as a whole percentage; a dash where there is none."""
    return "–" if value is None else f"{whole(100 * value)} %"


def interval(bounds: tuple[float, float] | None) -> str:
    """Writes an interval of rates in percent."""
    return "" if bounds is None else f"[{whole(100 * bounds[0])}, {whole(100 * bounds[1])}]"


def number(value: float | None, bounds: tuple[float, float] | None) -> str:
    """Writes a number and its bounds with two decimals; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.2f}" if bounds is None else f"{value:.2f} [{bounds[0]:.2f}, {bounds[1]:.2f}]"


def p_value(value: float) -> str:
    """Writes a p value at the precision worth reading."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def tokens_spent(kit: KitResult) -> str:
    """Writes what an audit cost: the target's tokens and, where a language model audited, its own and the money."""
    if kit.auditor_tokens is None:
        return f"{kit.target_tokens:,.0f}"
    paid = "" if kit.money is None else f" ({kit.money:.3g} money)"
    return f"{kit.target_tokens:,.0f} + {kit.auditor_tokens:,.0f} own{paid}"
