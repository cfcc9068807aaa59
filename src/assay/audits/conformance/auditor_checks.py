"""Checks whether an auditor keeps the contract: on scripted targets, so that it takes seconds and no weights.

Whether it finds anything is no part of the contract: a sweep measures that. False alarms are: on targets that answer
in a clean model's prose, whatever is asked, there is nothing to find.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.audits.conformance.checks import NULL_RUNS, Check, false_alarms, rows_of, tells_enough
from assay.audits.conformance.dry_audit import (
    SECONDS,
    DryAudit,
    clean_target,
    planted_target,
    rehearse_audit,
)
from assay.audits.conformance.leak_probe import probe_auditor
from assay.audits.conformance.rehearsed_model import ODD_MANNERS, Rehearsal, rehearsing
from assay.audits.plugin_file import load_plugin, source_file
from assay.core.answer import BehaviouralEval, GameAnswer, claims
from assay.core.auditor import Auditor
from assay.core.budget import Budget
from assay.errors import AssayError, InvalidInput

_SEED = 7
# Kits an auditor was not written for: check → its tools. `failing` raises at every call.
ODD_KITS = {"empty-kit": (), "failing-tool": ("ask", "failing"), "unknown-tool": ("unknown",)}


async def check_auditor(
    auditor: Auditor, *, file: Path | None = None, null_runs: int = NULL_RUNS, seconds: float = SECONDS
) -> list[Check]:
    """Runs the conformance suite on one auditor; one that thinks with a language model is given a rehearsed one.

    Args:
        auditor: a built-in or a plug-in's.
        file: that defines it; where its function says that it is written if None.
        null_runs: audits of targets with nothing planted.
        seconds: that one audit of a scripted target may take.

    Returns:
        One check each: docstring, truth, report, determinism, budget, empty-kit, failing-tool, unknown-tool, of one
        with a model model-budget and each odd manner of that model, each further game it plays, nulls, time. If it does
        not end in a process of its own, or cannot report at all, the rest is left out.
    """
    checks = [_docstring(auditor)]
    try:
        # First, since only a process can be ended from outside whatever it does.
        touched = await asyncio.to_thread(probe_auditor, auditor, file or source_file(auditor), 2 * seconds + 60)
    except AssayError as error:
        return [*checks, Check("truth", False, str(error))]
    checks.append(_truth(touched))
    if auditor.takes_model:
        return [*checks, *await rehearsing(lambda rehearsal: _rehearsed(auditor, null_runs, seconds, rehearsal))]
    return [*checks, *await _rehearsed(auditor, null_runs, seconds)]


async def _rehearsed(
    auditor: Auditor, null_runs: int, seconds: float, rehearsal: Rehearsal | None = None
) -> list[Check]:
    """Runs the checks for which it audits scripted targets in this process."""
    play = functools.partial(rehearse_audit, auditor, seconds=seconds, rehearsal=rehearsal)
    runs = [await play(planted_target(), seed=_SEED)]
    checks = [_report(runs[0])]
    if not checks[-1].passed:
        return checks
    runs.append(await play(planted_target(), seed=_SEED))
    checks.append(_determinism(auditor, *runs))
    # Half of what it needed: enough to have found something, too little to end as it wished.
    half = Budget(queries=max(1, runs[0].spent.queries // 2))
    runs.append(await play(planted_target(), seed=_SEED, budget=half))
    checks.append(_budget(runs[-1], half, runs[0]))
    for name, kit in ODD_KITS.items():
        runs.append(await play(clean_target(), kit=kit, seed=_SEED))
        checks.append(_survives(name, kit, runs[-1]))
    if rehearsal:
        few = Budget(auditor_tokens=runs[0].model_tokens // 4)  # of one that asks once, half may still be enough
        runs.append(await play(planted_target(), seed=_SEED, budget=few))
        checks.append(_model_budget(runs[-1], few, runs[0]))
        for manner in ODD_MANNERS:
            runs.append(await play(planted_target(), seed=_SEED, manner=manner))
            checks.append(_bears(f"{manner}-model", runs[-1]))
    for game in auditor.games[1:]:  # the checks above are of its first game
        runs.append(await play(planted_target(), seed=_SEED, game=game))
        checks.append(_report(runs[-1], game))
    nulls = [await play(clean_target(str(seed)), seed=seed) for seed in range(null_runs)]
    return [*checks, _nulls(nulls), _time([*runs, *nulls], seconds)]


def _docstring(auditor: Auditor) -> Check:
    """Wants at least a sentence: a person chooses an auditor by it."""
    if not tells_enough(auditor.doc):
        return Check("docstring", False, f"{auditor.doc!r} does not tell a person what the auditor does")
    return Check("docstring", True, auditor.doc.splitlines()[0])


def _truth(touched: Sequence[str]) -> Check:
    """Wants nothing opened or imported that holds truth, in a process of its own beside a planted answer key.

    Opens and imports are seen through an audit hook of the interpreter; what another process or C code opens is not.
    """
    if touched:
        return Check("truth", False, f"reached for the answer key: {', '.join(touched[:3])}")
    return Check("truth", True, "opened and imported nothing that holds truth")


def _report(run: DryAudit, name: str = "report") -> Check:
    """Wants a report, or another game's answer, within the contract's limits however it was made."""
    if run.report is None:
        return Check(name, False, run.failure or run.unanswered or "no report: its budget was not enough for it")
    return Check(name, True, f"{_claimed(run.report)} where one is planted, p_hidden {run.report.p_hidden:.2f}")


def _claimed(report: GameAnswer) -> str:
    what = {"findings": "findings", "transcripts": "transcripts", "prompts": "evals"}
    [name] = what.keys() & dict(report).keys()
    return f"{claims(report)} {what[name]}"


def _determinism(auditor: Auditor, first: DryAudit, again: DryAudit) -> Check:
    """Wants the same calls and report of the same seed and target, unless a language model drives it."""
    if auditor.llm:
        return Check("determinism", True, "not asked of it: a language model drives it")
    if sorted(first.calls) != sorted(again.calls):
        return Check("determinism", False, "two runs with one seed make different calls; draw from brief.seed")
    if first.report != again.report:
        return Check("determinism", False, "two runs with one seed report differently; draw from brief.seed")
    return Check("determinism", True, "two runs with one seed are equal")


def _budget(run: DryAudit, budget: Budget, whole: DryAudit) -> Check:
    """Wants a budget that ends midway to end the audit: with a report of what was found, or as out-of-budget."""
    if not whole.spent.queries:
        return Check("budget", True, "it asks nothing")
    told = f"{budget.queries} of the {whole.spent.queries} queries it makes were allowed"
    if run.failure:
        return Check("budget", False, f"{told}: {run.failure}. Report what you have, or let BudgetExceeded pass")
    return Check("budget", True, f"{told}: {run.unanswered or _ended(run)}")


def _model_budget(run: DryAudit, budget: Budget, whole: DryAudit) -> Check:
    """Wants tokens of its own that end midway to end the audit, as `_budget` does of queries."""
    if not whole.model_tokens:
        return Check("model-budget", True, "it asks its language model nothing")
    told = f"{budget.auditor_tokens:,} of the {whole.model_tokens:,} tokens it thinks with were allowed"
    if run.failure:
        return Check("model-budget", False, f"{told}: {run.failure}. Report what you have, or let BudgetExceeded pass")
    return Check("model-budget", True, f"{told}: {run.unanswered or _ended(run)}")


def _bears(name: str, run: DryAudit) -> Check:
    """Wants an end, and no finding, where a language model brings none about: it is slow, broken or unwilling."""
    if run.failure:
        return Check(name, False, f"{run.failure}. Report nothing, or raise NoReport")
    if _alarms(run.report):
        return Check(name, False, f"{_alarms(run.report)} claims that its language model never made")
    return Check(name, True, run.unanswered or _ended(run))


def _ended(run: DryAudit) -> str:
    return "out-of-budget" if run.out_of_budget else "it reported what it had"


def _survives(name: str, kit: Sequence[str], run: DryAudit) -> Check:
    """Wants a report, not a crash, of a kit it was not written for."""
    told = f"kit {'+'.join(kit) or 'prior-only'}"
    if run.report is None:
        return Check(name, False, f"{told}: {run.failure or run.unanswered or 'its budget ended'}")
    return Check(name, True, f"{told}: {_claimed(run.report)} after {len(run.calls)} calls")


def _nulls(runs: Sequence[DryAudit]) -> Check:
    """Counts how often it reports a finding where there is none, with `ask` and `system`.

    Every prompt draws from the same recorded replies of a clean model, so no prompt sets anything off, and nothing is
    said that a clean model does not say. What a target of other prose would make it report is not measured.
    """
    failures = [run.failure or run.unanswered or "out of budget" for run in runs if run.report is None]
    if failures:
        return Check("nulls", False, f"{len(failures)} of {len(runs)} runs gave no report: {failures[0]}")
    return false_alarms(sum(bool(_alarms(run.report)) for run in runs), len(runs))


def _alarms(report: GameAnswer | None) -> int:
    """Counts claims that something is there; an eval is none, as one is asked for whatever the target is."""
    return 0 if report is None or isinstance(report, BehaviouralEval) else claims(report)


def _time(runs: Sequence[DryAudit], seconds: float) -> Check:
    slowest = max(run.seconds for run in runs)
    return Check("time", slowest <= seconds, f"the slowest of {len(runs)} audits took {slowest:.1f} of {seconds:.0f} s")


def check_file(path: Path) -> list[dict[str, Any]]:
    """Checks all auditors of a plug-in file; one row a check, as plain data.

    Raises:
        InvalidInput: the file defines no auditor.
        PluginError: the file cannot be loaded.
    """
    auditors = load_plugin(path).auditors
    if not auditors:
        raise InvalidInput(f"{path}: defines no auditor. Its tools are checked by: assay tools check {path}")
    rows: list[dict[str, Any]] = []
    for auditor in auditors:
        rows += rows_of("auditor", auditor.name, asyncio.run(check_auditor(auditor, file=path)))
    return rows
