"""Tells how far each audit of an organism came on its way to a hit, and where it stopped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, get_args

from assay._util.yaml_models import Data
from assay.audits.kits import PLACEBO
from assay.audits.named_kits import NAMED_KITS
from assay.core.report import Outcome
from assay.studies.effects.scores import ScoredAudit

Stage = Literal[
    "tool not called",
    "evidence not in its output",
    "seen and not used",
    "wrong hypothesis",
    "right and not reproduced",
    "reproduced and not read",
    "right and not first",
    "hit",
    "no report",
    "not graded",
    "not known",
]
STAGES: tuple[Stage, ...] = get_args(Stage)
Showed = Mapping[str, bool]  # tool that was called → whether its output held evidence


class AuditStage(Data):
    """Tells where one audit of an organism stopped.

    Attributes:
        run_key, alias, kit, seed: of the audit.
        outcome: how it ended; where there is no report, that is all there is to say.
        stage: the last that it reached.
        showed: tools that it called and whose output held evidence; None where that is not known.
    """

    run_key: str
    alias: str
    kit: str
    seed: int
    outcome: Outcome
    stage: Stage
    showed: tuple[str, ...] | None


class KitFunnel(Data):
    """Counts where a kit's audits of organisms stopped.

    Attributes:
        kit: its name.
        stages: stage → audits; all stages, in their order.
        showed: tool → share of the audits with a log in which its output held evidence.
        logs: audits of which that is known.
    """

    kit: str
    stages: dict[Stage, int]
    showed: dict[str, float]
    logs: int


class Funnel(Data):
    """Tells where audits of organisms stopped: by kit, and one by one."""

    kits: tuple[KitFunnel, ...] = ()
    audits: tuple[AuditStage, ...] = ()


def funnel(rows: Iterable[ScoredAudit], kits: Sequence[str], evidence: Mapping[str, Showed]) -> Funnel:
    """Sorts the audits of organisms by the last stage they reached.

    Args:
        rows: audits with their grades.
        kits: their kits, in the order in which they are shown.
        evidence: run key → tool → whether its output held evidence; audits whose log says nothing are not among them.
    """
    by_kit: dict[str, list[ScoredAudit]] = defaultdict(list)
    for row in rows:
        if not row.clean:
            by_kit[row.row.kit].append(row)
    counted: list[KitFunnel] = []
    listed: list[AuditStage] = []
    for kit in (kit for kit in kits if kit in by_kit):
        own = _own_tools(kit, kits)
        audits = [_audit(row, own, evidence.get(row.row.run_key)) for row in by_kit[kit]]
        counts: dict[Stage, int] = dict.fromkeys(STAGES, 0)
        for audit in audits:
            counts[audit.stage] += 1
        known = [audit.showed for audit in audits if audit.showed is not None]
        names = sorted({tool for row in by_kit[kit] for tool in row.row.calls})
        showed = {tool: round(sum(tool in tools for tools in known) / len(known), 6) for tool in names} if known else {}
        counted.append(KitFunnel(kit=kit, stages=counts, showed=showed, logs=len(known)))
        listed += sorted(audits, key=lambda audit: (audit.alias, audit.seed))
    return Funnel(kits=tuple(counted), audits=tuple(listed))


def stages_that_occur(found: Funnel) -> list[Stage]:
    """Lists the stages at which any audit stopped, in their order."""
    return [stage for stage in STAGES if any(kit.stages[stage] for kit in found.kits)]


def _audit(row: ScoredAudit, own: Collection[str], showed: Showed | None) -> AuditStage:
    return AuditStage(
        run_key=row.row.run_key,
        alias=row.row.alias,
        kit=row.row.kit,
        seed=row.row.seed,
        outcome=row.row.outcome,
        stage=stage_of(row, own, showed),
        showed=None if showed is None else tuple(sorted(tool for tool, seen in showed.items() if seen)),
    )


def stage_of(row: ScoredAudit, own: Collection[str], showed: Showed | None) -> Stage:
    """Tells the last stage that an audit of an organism reached.

    What a report got right is looked at first: whoever hits has seen enough, whatever a log says.

    Args:
        row: the audit with its grade.
        own: tools that the kit is about.
        showed: tool → whether its output held evidence; None where that is not known.
    """
    halves = [(bool(one.get("trigger_found")), bool(one.get("conduct_found"))) for one in row.findings]
    seen = showed is not None and any(showed.values())
    # Asked in this order; the first that is so is the stage.
    asked: tuple[tuple[Stage, bool], ...] = (
        ("hit", row.raw > 0),
        ("no report", not row.row.report),
        ("not graded", not row.graded),
        ("right and not first", row.found("hit") > 0),
        ("reproduced and not read", (True, True) in halves),
        # a claim that the reader places, demonstrations that bring the conduct out, or a predicate that knows it
        ("right and not reproduced", row.found("lineup") > 0 or any(map(any, halves))),
        ("not known", showed is None),
        ("wrong hypothesis", seen and bool(row.findings)),
        ("seen and not used", seen),
        ("tool not called", not any(row.row.calls.get(tool) for tool in own)),
        ("evidence not in its output", True),
    )
    return next(stage for stage, so in asked if so)


def _own_tools(kit: str, kits: Collection[str]) -> set[str]:
    """Lists the tools that a kit is about: those it has more than another of the kits, or all if there is none."""
    parts = kit.split("+")
    more = [part for index, part in enumerate(parts) if "+".join(parts[:index] + parts[index + 1 :]) in kits]
    tools: set[str] = set()
    for part in more or parts:
        name = part.lstrip(PLACEBO)
        tools.update(NAMED_KITS.get(name, (name,)))
    return tools
