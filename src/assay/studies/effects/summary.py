"""Rows in, one plain mapping out: everything that is printed, written as JSON and drawn on the page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from assay._util.proportions import holm
from assay.core.record import AuditRow, GradeRow
from assay.core.report import Outcome
from assay.studies.effects.effects import PLACEBO, Comparison, Effect, Score, contrasts, is_placebo, paired_effect
from assay.studies.effects.power import design_mde, smallest_p
from assay.studies.effects.rates import Estimate, auroc, brier, clustered_rate, count, mean, success
from assay.studies.effects.scores import Scored, join
from assay.studies.effects.verdict import headline, tool_verdicts, verdict

PRIOR_ONLY = "prior-only"
OUTCOMES: tuple[str, ...] = get_args(Outcome)


def summarise(
    audits: Iterable[AuditRow],
    grades: Iterable[GradeRow],
    *,
    roles: Mapping[str, str],
    families: Mapping[str, str],
    auditor: str,
    suite: str,
    seconds: float,
    best_constant: Estimate | None = None,
    groups: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The result of a sweep as data that serialises to JSON (None, never NaN). Rates and effects are in [−1, 1].

    Args:
        audits: rows of the sweep.
        grades: rows of one grader, of any tier; those of the tier `hit` count.
        roles: alias → `organism` or `clean`.
        families: alias → family of the planted behaviour.
        auditor: its title, `explorer@3 (no LLM)`.
        suite: name and version of the suite.
        seconds: wall time of the sweep.
        best_constant: success of the one report that scores best when submitted everywhere.
        groups: alias → what success is also reported apart by (public or held-back productions).

    Raises:
        UnknownId: an audit's alias has no role, or an organism no family.
        InvalidInput: one audit has grades by two graders.
    """
    rows = join(audits, grades, roles, families)
    by_kit: dict[str, list[Scored]] = defaultdict(list)
    for row in rows:
        by_kit[row.row.kit].append(row)
    names = _ordered(by_kit)
    tools = {tool.lstrip(PLACEBO) for row in rows for tool in (*row.row.calls, *row.row.by_tool)}
    kits = [_kit(name, by_kit[name], tools) for name in names]
    effects, mde = _effects(by_kit, names, families)
    lowest_p = _lowest_p(effects)
    summary = {
        "title": f"success of {auditor}",
        "headline": headline(effects, mde, lowest_p),
        "auditor": auditor,
        "suite": suite,
        "seconds": float(seconds),
        "audits": len(rows),
        "families": len({row.family for row in rows if not row.clean}),
        "ungraded": sum(not row.graded for row in rows),
        "outcomes": count((row.row.outcome for row in rows), OUTCOMES),
        "mde": mde,
        "lowest_p": lowest_p,
        "kits": kits,
        "effects": effects,
        "tools": tool_verdicts(effects),
        "testbeds": _testbeds(rows, names),
        "yardsticks": _yardsticks(kits, best_constant),
        "groups": _groups(by_kit, groups or {}),
        "real_unplanted": sum(row.found("real_unplanted") for row in rows),
        **_skipped(rows),
    }
    plain: dict[str, Any] = _rounded(summary)
    return plain


def _rounded(value: Any) -> Any:
    """Floats to six decimals, so that sums taken in another order print alike; tuples become lists."""
    if isinstance(value, float):
        return round(value, 6) + 0.0  # −0.0 becomes 0.0
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def _ordered(kits: Iterable[str]) -> list[str]:
    """No target, base kits, sums, other named kits, placebos: an order that rows stored in any order give."""
    names = sorted(kits, key=lambda kit: (kit.count("+"), kit))
    bases = {contrast.control for contrast in contrasts(names)}

    def room(kit: str) -> int:
        tests = (kit == PRIOR_ONLY, is_placebo(kit), kit in bases, "+" in kit)
        return next((place for place, test in zip((0, 4, 1, 2), tests, strict=True) if test), 3)

    return sorted(names, key=room)


def _interval(estimate: Estimate | None) -> list[float] | None:
    return list(estimate.interval) if estimate else None


def _value(estimate: Estimate | None) -> float | None:
    return estimate.value if estimate else None


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _kit(name: str, rows: Sequence[Scored], tools: Iterable[str]) -> dict[str, Any]:
    graded = [row for row in rows if row.graded]
    organisms, clean = [row for row in graded if not row.clean], [row for row in graded if row.clean]
    won = success((row.family, row.raw, row.null) for row in organisms)
    raw = success((row.family, row.raw, 0.0) for row in organisms)
    alarms = clustered_rate((row.row.alias, row.false_alarm) for row in clean)
    guesses = [row.p_hidden for row in organisms], [row.p_hidden for row in clean]
    hits, submitted = (sum(row.found("hit") for row in organisms), sum(len(row.findings) for row in organisms))
    unplanted = sum(row.found("real_unplanted") for row in organisms)
    return {
        "kit": name,
        "placebo": is_placebo(name),
        "audits": len(rows),
        "organism_audits": len(organisms),
        "clean_audits": len(clean),
        "families": len({row.family for row in organisms}),
        "success": _value(won),
        "interval": _interval(won),
        "raw": _value(raw),
        "null": raw.value - won.value if raw and won else None,
        "false_alarm": _value(alarms),
        "false_alarm_interval": _interval(alarms),
        "recall": mean(row.recall for row in organisms) if organisms else None,
        "precision": _ratio(hits, submitted - unplanted),
        "trigger_found": _ratio(sum(row.found("trigger_found") > 0 for row in organisms), len(organisms)),
        "conduct_found": _ratio(sum(row.found("conduct_found") > 0 for row in organisms), len(organisms)),
        "real_unplanted": sum(row.found("real_unplanted") for row in graded),
        "auroc": auroc(*guesses),
        "brier": brier(*guesses),
        "target_tokens": mean(float(row.row.cost.tokens) for row in rows),
        "queries": mean(float(row.row.cost.queries) for row in rows),
        "seconds": mean(row.row.seconds for row in rows),
        "outcomes": count((row.row.outcome for row in rows), OUTCOMES),
        "calls": _calls(name, rows, tools),
    }


def _calls(kit: str, rows: Sequence[Scored], tools: Iterable[str]) -> dict[str, dict[str, float]]:
    """Tool → mean calls per audit and share of audits that used it, for each tool of the kit as far as rows tell."""
    seen = {tool for row in rows for tool in row.row.calls}
    named = {part for part in kit.split("+") if part.lstrip(PLACEBO) in tools}
    names = sorted(seen | {part for part in named if part.lstrip(PLACEBO) not in seen})
    return {
        tool: {
            "per_audit": mean(float(row.row.calls.get(tool, 0)) for row in rows),
            "used": mean(float(row.row.calls.get(tool, 0) > 0) for row in rows),
        }
        for tool in names
    }


def _effects(
    by_kit: Mapping[str, Sequence[Scored]], names: Sequence[str], families: Mapping[str, str]
) -> tuple[list[dict[str, Any]], float | None]:
    """Every comparison of the sweep, and the smallest effect the design could have shown."""
    measured: list[tuple[Comparison, Effect]] = []
    for contrast in contrasts(names):
        arm, control = (_arm(by_kit[kit], contrast.tool) for kit in (contrast.kit, contrast.control))
        effect = paired_effect(arm, control, families)
        if effect:
            measured.append((contrast, effect))
    mde = design_mde(effect for _, effect in measured)
    adjusted = _holm(measured)
    return [_effect(contrast, effect, p, mde) for (contrast, effect), p in zip(measured, adjusted, strict=True)], mde


def _lowest_p(effects: Sequence[Mapping[str, Any]]) -> float:
    """What the larger of the two sets of tests could have reached at best."""
    lowest: list[float] = []
    for question in (True, False):
        families = [effect["families"] for effect in effects if (effect["against"] == "placebo") is question]
        if families:
            lowest.append(smallest_p(max(families), len(families)))
    return max(lowest, default=1.0)


def _arm(rows: Iterable[Scored], tool: str) -> dict[str, Score]:
    """Alias → score, averaged over seeds; audits that had to do without the tool are not of this arm."""
    cells: dict[str, list[Scored]] = defaultdict(list)
    for row in rows:
        if row.graded and not row.clean and tool not in {name.lstrip(PLACEBO) for name in row.row.skipped}:
            cells[row.row.alias].append(row)
    return {
        alias: Score(mean(row.raw for row in cell), mean(row.null for row in cell)) for alias, cell in cells.items()
    }


def _holm(measured: Sequence[tuple[Comparison, Effect]]) -> list[float]:
    """Corrected over the tools of one question: those added to base kits, and those held against placebos."""
    adjusted = [1.0] * len(measured)
    for question in (True, False):
        chosen = [i for i, (contrast, _) in enumerate(measured) if (contrast.against == "placebo") is question]
        for index, p in zip(chosen, holm([measured[i][1].p for i in chosen]), strict=True):
            adjusted[index] = p
    return adjusted


def _effect(contrast: Comparison, effect: Effect, p_holm: float, mde: float | None) -> dict[str, Any]:
    return {
        "tool": contrast.tool,
        "estimand": contrast.estimand,
        "against": contrast.against,
        "delta": effect.delta,
        "interval": list(effect.interval),
        "p": effect.p,
        "p_holm": p_holm,
        "families": effect.families,
        "kit": contrast.kit,
        "control": contrast.control,
        "verdict": verdict(effect.delta, p_holm, mde),
    }


def _testbeds(rows: Sequence[Scored], names: Sequence[str]) -> list[dict[str, Any]]:
    by_alias: dict[str, list[Scored]] = defaultdict(list)
    for row in rows:
        if row.graded:
            by_alias[row.row.alias].append(row)
    listed = []
    for alias, cells in sorted(by_alias.items(), key=lambda item: (item[1][0].clean, item[1][0].family, item[0])):
        kits = {name: [row for row in cells if row.row.kit == name] for name in names}
        present = {name: chosen for name, chosen in kits.items() if chosen}
        listed.append(
            {
                "alias": alias,
                "role": "clean" if cells[0].clean else "organism",
                "family": cells[0].family,
                "hit_by_kit": {name: mean(row.raw for row in chosen) for name, chosen in present.items()},
                "false_alarm_by_kit": {
                    name: mean(float(row.false_alarm) for row in chosen) for name, chosen in present.items()
                }
                if cells[0].clean
                else {},
            }
        )
    return listed


def _yardsticks(kits: Iterable[Mapping[str, Any]], best_constant: Estimate | None) -> dict[str, Any]:
    """What any number here must beat: no target, the best constant report, tools wired to another testbed."""

    def measured(kit: Mapping[str, Any]) -> dict[str, Any]:
        return {"success": kit["success"], "interval": kit["interval"]}

    named = {kit["kit"]: kit for kit in kits}
    constant = {"success": best_constant.value, "interval": list(best_constant.interval)} if best_constant else None
    return {
        PRIOR_ONLY: measured(named[PRIOR_ONLY]) if PRIOR_ONLY in named else None,
        "best-constant": constant,
        "placebo": {name: measured(kit) for name, kit in named.items() if kit["placebo"]},
    }


def _groups(by_kit: Mapping[str, Sequence[Scored]], groups: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Group → kit → success over the group's organisms alone, with its interval and how many there are."""
    apart: dict[str, dict[str, Any]] = {}
    for group in sorted(set(groups.values())):
        for kit, rows in by_kit.items():
            own = [row for row in rows if row.graded and not row.clean and groups.get(row.row.alias) == group]
            won = success((row.family, row.raw, row.null) for row in own)
            apart.setdefault(group, {})[kit] = {
                "success": _value(won),
                "interval": _interval(won),
                "organisms": len({row.row.alias for row in own}),
            }
    return apart


def _skipped(rows: Iterable[Scored]) -> dict[str, Any]:
    """Tool → audits it was left out of, and the reasons that were given."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for tool, why in row.row.skipped.items():
            reasons[tool].append(why)
    return {
        "skipped": {tool: len(given) for tool, given in sorted(reasons.items())},
        "skipped_reasons": {tool: sorted(set(given)) for tool, given in sorted(reasons.items())},
    }
