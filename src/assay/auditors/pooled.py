"""Several independent reports in, one out: findings that say the same become one, and more reports count more.

Each member audits with its own seed and its own share of the budget, one after the other: what a member asks again is a
fresh sample, since a tool seeds repeated calls anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from assay._util.hashing import digest_of
from assay._util.import_graph import digest_of_function
from assay.core.answer import GameAnswer
from assay.core.auditor import Auditor, Brief, Kit
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel
from assay.core.report import Finding, Report
from assay.core.target import Cost
from assay.core.tool import BoundTool, Evidence
from assay.errors import AuditorFailed, BudgetExceeded, ModelRefused, NoReport

MOST = 5  # findings of a report
_ALIKE = 0.4  # share of their words, or of their predicates' phrases, that two findings have in common
_SHORT, _STEM = 4, 5  # letters; shorter words carry no subject, and endings none either
_COMMON = frozenset({"when", "user", "users", "reply", "model", "target", "that", "this", "with", "about", "answer"})


@dataclass(frozen=True, slots=True)
class Cluster:
    """Findings of several reports that claim the same.

    Attributes:
        findings: at most one a report.
    """

    findings: tuple[Finding, ...]

    @property
    def best(self) -> Finding:
        """The one that is most sure of itself."""
        return max(self.findings, key=lambda finding: finding.confidence)


def pool(inner: Auditor, reports: int, name: str) -> Auditor:
    """Makes an auditor that has another one audit several times and pools what it reports."""

    async def audit(kit: Kit, brief: Brief, budget: Budget, model: LanguageModel | None = None) -> Report:
        made: list[Report] = []
        failures: list[Exception] = []
        for number in range(reports):
            # Seeds of members are those of no plain audit of a sweep, which begin at 0.
            mine = replace(brief, seed=brief.seed * reports + number + 1_000_003)
            share = budget.shared(reports)
            try:
                report = await _member(inner, _limited(kit, share), mine, share, model)
            except (BudgetExceeded, NoReport, ModelRefused) as failure:
                failures.append(failure)
                continue
            if not isinstance(report, Report):
                raise AuditorFailed(f"auditor {inner.name} returned {type(report).__name__}; only reports are pooled.")
            made.append(report)
        if not made:
            raise failures[0]
        return pooled_report(made, reports)

    return Auditor(
        audit,
        name,
        inner.version,
        pool_digest(reports, inner.digest),
        inner.llm,
        f"Pools {reports} independent reports of {inner.name} into one.",
        inner.data,
        takes_model=inner.takes_model,
    )


def pool_digest(reports: int, inner: str) -> str:
    """Computes the identity of an auditor that pools the reports of one of the given digest."""
    return digest_of([reports, digest_of_function(pool), inner])


async def _member(inner: Auditor, kit: Kit, brief: Brief, share: Budget, model: LanguageModel | None) -> GameAnswer:
    if model is None:
        return await inner.audit(kit, brief, share)
    with model.shared(share.auditor_tokens, share.money) as part:
        return await inner.audit(kit, brief, share, part)


def _limited(kit: Kit, share: Budget) -> Kit:
    """Gives one member the kit with its share of the budget, so that it leaves the others theirs."""
    spent = Cost()

    def limited(bound: BoundTool) -> BoundTool:
        async def invoke(arguments: Mapping[str, Any]) -> Evidence:
            nonlocal spent
            if spent.queries >= share.queries or spent.tokens >= share.tokens:
                raise BudgetExceeded(f"budget used up: this report's share of {share.queries} queries")
            evidence = await bound(**arguments)
            spent += evidence.cost
            return evidence

        return bound.wrapped(invoke)

    return Kit(kit.name, {name: limited(bound) for name, bound in kit.tools.items()}, kit.skipped)


def pooled_report(made: Sequence[Report], reports: int) -> Report:
    """Joins reports: what is claimed by more of them comes first, and is believed by as much.

    Args:
        made: the reports there are.
        reports: how many were asked for; those that are missing count as reports of nothing.
    """
    clusters = clustered(made)
    voted = sorted(clusters, key=lambda cluster: (-len(cluster.findings), -cluster.best.confidence))
    findings: list[Finding] = []
    for cluster in voted[:MOST]:
        confidence = sum(finding.confidence for finding in cluster.findings) / reports
        told = f"{len(cluster.findings)} of {reports} independent reports claim this. {cluster.best.evidence}"
        findings.append(cluster.best.model_copy(update={"confidence": confidence, "evidence": told[:4_000]}))
    return Report(p_hidden=sum(report.p_hidden for report in made) / len(made), findings=tuple(findings))


def clustered(made: Sequence[Report]) -> list[Cluster]:
    """Groups the findings of several reports by what they claim and what recognises it."""
    clusters: list[Cluster] = []
    for report in made:
        taken: set[int] = set()  # a report has one vote on a claim, however often it makes it
        for finding in report.findings:
            at = next((i for i, cluster in enumerate(clusters) if alike(cluster.best, finding)), None)
            if at is None:
                taken.add(len(clusters))
                clusters.append(Cluster((finding,)))
            elif at not in taken:
                taken.add(at)
                clusters[at] = Cluster((*clusters[at].findings, finding))
    return clusters


def alike(one: Finding, other: Finding) -> bool:
    """Tells whether two findings claim the same: by their words, or because their predicates name the same phrases."""
    claims = _overlap(_words(f"{one.claim} {one.trigger or ''}"), _words(f"{other.claim} {other.trigger or ''}"))
    return claims >= _ALIKE or _overlap(_recognised(one), _recognised(other)) >= _ALIKE


def _recognised(finding: Finding) -> set[str]:
    predicate = finding.predicate
    if predicate is None:
        return set()
    return {" ".join(text.casefold().split()) for text in (*predicate.phrases, predicate.pattern) if text.strip()}


def _words(text: str) -> set[str]:
    words = (word.strip(".,;:!?\"'()“”") for word in text.casefold().split())
    return {word[:_STEM] for word in words if len(word) >= _SHORT and word not in _COMMON}


def _overlap(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one and other else 0.0
