"""What an examination found, as data: pooled findings, what became of each on fresh samples, and how good that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import fsum

from assay._util.yaml_models import Data
from assay.auditors.pooled import alike
from assay.core.record import AuditRow
from assay.core.report import Finding, parse_report
from assay.core.testbed import TargetSpec
from assay.grading.examined import Reproduction, Verdict
from assay.studies.measured import Filed, Measured, Who
from assay.studies.plan import Plan

_ORDER: tuple[Verdict, ...] = ("reproduced", "shows", "not reproduced", "not tried")
NO_SWEEPS = (
    "No sweep on file was given (--from DIR): how often this procedure finds what is there, and how often it cries "
    "wolf, is not measured."
)


@dataclass(frozen=True, slots=True)
class Claim:
    """One finding of one report.

    Attributes:
        auditor: title of who made it.
        kit, seed, run_key: of the audit.
        finding: as reported.
    """

    auditor: str
    kit: str
    seed: int
    run_key: str
    finding: Finding


def pooled_claims(claims: Iterable[Claim]) -> list[list[Claim]]:
    """Groups claims that say the same, as `pooled:N:NAME` does; each group begins with its most confident one.

    Unlike there, a report that says a thing twice has both kept: each wording is run again.
    """
    groups: list[list[Claim]] = []
    for claim in sorted(claims, key=lambda claim: -claim.finding.confidence):
        group = next((group for group in groups if alike(group[0].finding, claim.finding)), None)
        if group is None:
            groups.append([claim])
        else:
            group.append(claim)
    return groups


class FoundBy(Data):
    """An audit that reported a finding: title of the auditor, kit, seed, and how sure it was."""

    auditor: str
    kit: str
    seed: int
    confidence: float


class ExaminedFinding(Data):
    """Findings that say the same.

    Attributes:
        finding: the wording that stands for them: the surest that reproduced, or else the surest.
        reproduction: what became of it.
        found_by: the audits that reported it, each once.
        wordings: how many were run again.
        reproduced: how many of them reproduced, or showed where there was nothing to compare with.
    """

    finding: Finding
    reproduction: Reproduction
    found_by: tuple[FoundBy, ...]
    wordings: int
    reproduced: int

    @classmethod
    def of(cls, claims: Sequence[Claim], again: Sequence[Reproduction]) -> ExaminedFinding:
        """Joins claims, the surest first, with what became of each."""
        chosen = min(range(len(claims)), key=lambda number: _ORDER.index(again[number].verdict))
        by = {one.run_key: one for one in reversed(claims)}  # of two by one audit, the surer
        found_by = [
            FoundBy(auditor=c.auditor, kit=c.kit, seed=c.seed, confidence=c.finding.confidence) for c in by.values()
        ]
        return cls(
            finding=claims[chosen].finding,
            reproduction=again[chosen],
            found_by=tuple(sorted(found_by, key=lambda one: (one.auditor, one.kit, one.seed))),
            wordings=len(claims),
            reproduced=sum(one.verdict in ("reproduced", "shows") for one in again),
        )

    @property
    def rank(self) -> tuple[int, int, float]:
        """Orders findings: by what became of them, by how many audits have them, by how sure the surest is."""
        sure = max(one.confidence for one in self.found_by)
        return (_ORDER.index(self.reproduction.verdict), -len(self.found_by), -sure)


class Examination(Data):
    """What was found of a model whose truth nobody looked at.

    Attributes:
        target: as it was named.
        alias, base, access: of the testbed.
        seeds: audits of each auditor and kit.
        audits: how many there were.
        outcomes: how they ended.
        skipped: tool → why it was left out.
        p_hidden: mean over the reports of the probability that anything is hidden; None without a report.
        findings: what reproduced first.
        measured: one for each auditor and kit that was played; without rates where no sweep on file has it.
        together: of all of these audits at once; None where that is not measured.
        caveats: what is not known of the procedure, in words.
        machine: that made the audits' replies.
        plugins: code from outside that was trusted.
    """

    target: str
    alias: str
    base: str
    access: tuple[str, ...]
    seeds: int
    audits: int
    outcomes: dict[str, int]
    skipped: dict[str, str]
    p_hidden: float | None = None
    findings: tuple[ExaminedFinding, ...] = ()
    measured: tuple[Measured, ...] = ()
    together: Measured | None = None
    caveats: tuple[str, ...] = ()
    machine: str = ""
    plugins: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """Returns the answer in a sentence."""
        count = Counter(one.reproduction.verdict for one in self.findings)
        if not self.findings:
            return f"Nothing was found in {self.target} by {self.audits} audits."
        told = f"{count['reproduced']} of {len(self.findings)} findings about {self.target} reproduced on fresh samples"
        return f"{told}; {count['shows']} show, with nothing to compare with." if count["shows"] else f"{told}."


def make_examination(
    target: str,
    spec: TargetSpec,
    plans: Sequence[Plan],
    rows: Sequence[AuditRow],
    findings: Sequence[ExaminedFinding],
    filed: Filed,
) -> Examination:
    """Sums up.

    Args:
        target: as it was named.
        spec: of the testbed.
        plans: one an auditor.
        rows: their audits.
        findings: in any order.
        filed: sweeps on file.
    """
    kinds: list[Who] = []
    for plan in plans:
        kinds += [(plan.title, kit) for kit in plan.stages]
    seeds = len(plans[0].design.seeds)
    measured = tuple(filed.single(kind) for kind in kinds)
    together = filed.together(kinds, seeds)
    hidden = [parse_report(row.report).p_hidden for row in rows if row.report]
    skipped: dict[str, str] = {}
    for row in rows:
        skipped |= row.skipped
    return Examination(
        target=target,
        alias=spec.alias,
        base=spec.base,
        access=tuple(sorted(map(str, spec.access))),
        seeds=seeds,
        audits=len(rows),
        outcomes=dict(Counter(row.outcome for row in rows)),
        skipped=skipped,
        p_hidden=fsum(hidden) / len(hidden) if hidden else None,
        findings=tuple(sorted(findings, key=lambda one: one.rank)),
        measured=measured,
        together=together,
        caveats=tuple(_caveats(spec.base, filed, measured, together)),
        machine="; ".join(sorted({row.machine for row in rows if row.machine})),
        plugins=tuple(dict.fromkeys(chain.from_iterable(plan.trusted for plan in plans))),
    )


def _caveats(base: str, filed: Filed, measured: Sequence[Measured], together: Measured | None) -> list[str]:
    """Says plainly what is not measured of this procedure, or not for such a target."""
    if not filed.audits:
        return [filed.why or NO_SWEEPS]
    told: list[str] = []
    missing = [f"{one.auditor} with {one.kit}" for one in measured if not one.organisms and not one.clean]
    if missing:
        told.append(f"The sweeps on file have no graded audit of {', '.join(missing)}.")
    known = [one for one in (*measured, *([together] if together else [])) if one.bases]
    if not known:
        return [*told, "There is no measurement of this procedure."]
    bases = sorted(set(chain.from_iterable(one.bases for one in known)))
    if base not in bases:
        told.append(
            f"Measured on testbeds of {', '.join(bases)} alone: for a target on {base} there is no measurement, and "
            f"these rates need not hold."
        )
    if together is None:
        told.append("No testbed on file has had all of these audits: the procedure as a whole is not measured.")
    if not any(one.organisms for one in known):
        told.append("No organism is among the testbeds on file: how often it finds what is there is not known.")
    if not any(one.clean for one in known):
        told.append("No clean target is among the testbeds on file: how often it cries wolf is not known.")
    return told
