"""Stores what a sweep is for before its first audit runs, and counts the looks at its testbeds' graded audits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from assay._util.hashing import digest_of
from assay.core.record import AuditRow, GradeRow
from assay.errors import InvalidInput
from assay.studies.effects.effects import Comparison, comparisons
from assay.studies.effects.planned import PlanDocument, Planned, changes
from assay.studies.effects.power import SIGNIFICANT, SweepDesign, smallest_shown
from assay.studies.ledger import Ledger
from assay.studies.plan import Plan
from assay.truth import Truth

_TEST = (
    "signs flipped for whole families (McNemar's mid-p where each is won, lost or alike), corrected over the tools of "
    "one question by step-down max-T; a tool helps if p is below alpha against base kit and placebo alike"
)


def plan_document(plan: Plan) -> PlanDocument:
    """Writes down what a sweep is for.

    Raises:
        InvalidInput: the primary kit is not among the kits, or is compared with none of them.
    """
    compared = _primary(plan)
    sweep = sweep_design(plan)
    budget = plan.design.budget
    return PlanDocument(
        testbeds=digest_of(sorted(plan.targets)),
        kits=tuple(plan.stages),
        auditor=plan.title,
        seeds=plan.design.seeds,
        budget=(budget.queries, budget.tokens, budget.seconds),
        engine=plan.design.engine,
        auxiliary=plan.design.auxiliary,
        game=plan.design.game,
        primary=compared[0].kit if compared else "",
        tool=compared[0].tool if compared else "",
        against=tuple(one.against for one in compared),
        test=_TEST,
        alpha=SIGNIFICANT,
        families=_families(plan),
        smallest_shown=smallest_shown(sweep) if sweep and sweep.families > 1 else None,
    )


def sweep_design(plan: Plan) -> SweepDesign | None:
    """Says what the verdict of a sweep will rest on; None where nothing is compared."""
    compared = comparisons(plan.stages)
    tools = sum(one.against != "placebo" for one in compared)
    if not tools:
        return None
    placebos = any(one.against == "placebo" for one in compared)
    return SweepDesign(_families(plan), len(plan.design.seeds), tools, placebos)


def _families(plan: Plan) -> int:
    return len({plan.grading.families[alias] for alias in plan.targets if alias in plan.grading.families})


def _primary(plan: Plan) -> list[Comparison]:
    """Lists the comparisons of the kit that was named as primary, or of the one tool that there is."""
    compared = comparisons(plan.stages)
    named = plan.primary
    if not named:
        kits = {one.kit for one in compared if one.against != "placebo"}
        return [one for one in compared if one.kit in kits] if len(kits) == 1 else []
    chosen = [one for one in compared if one.kit == named]
    if not chosen:
        allowed = ", ".join(dict.fromkeys(one.kit for one in compared)) or "none of these kits"
        raise InvalidInput(
            f"primary: {named!r} is compared with no other kit of the sweep. It may be: {allowed}. Name one of "
            f"them, or add a kit that it has one tool more than."
        )
    return chosen


def planned(ledger: Ledger, plan: str, aliases: Collection[str], digest: str = "") -> Planned | None:
    """Tells what was stored before a sweep, and how it differs from what was planned before looks at its testbeds.

    Args:
        ledger: that holds it.
        plan: id of the sweep.
        aliases: of its testbeds.
        digest: of the plan that is run; the one last stored if "".

    Returns:
        None of a sweep that an earlier Assay ran, which stored none.
    """
    stored = ledger.documents()
    own = [one for one in stored if one.plan == plan and digest in ("", one.digest)]
    if not own:
        return None
    current = own[-1]
    document = PlanDocument.model_validate(current.document)
    told: list[str] = []
    beds = {one.id: {cell.alias for cell in one.cells} for one in ledger.plans()}
    for one in reversed(stored[: stored.index(current)]):
        before = PlanDocument.model_validate(one.document)
        if before.auditor == document.auditor and beds.get(one.plan, set()) & set(aliases):
            told = changes(before, document)
            break
    looks = looks_at(ledger, plan, aliases, before=current.created)
    changed = f"Plan changed after {looks} look{'s' * (looks != 1)}: {'; '.join(told)}." if told and looks else ""
    others = sorted({str(one.document["primary"]) or "none" for one in stored if one.plan == plan} - {document.primary})
    if others and len({one.digest for one in stored if one.plan == plan}) > 1:
        changed += f" For the same audits other plans were stored, too: primary {', '.join(others)}."
    return Planned(document=document, digest=current.digest, stored=current.created, changed=changed.strip())


def look(
    ledger: Ledger, plan: str, audits: Iterable[AuditRow], grades: Iterable[GradeRow], truths: Mapping[str, Truth]
) -> None:
    """Counts a look at graded audits of testbeds that nothing may be tuned on; the same ones count once.

    Args:
        ledger: that counts.
        plan: id of the sweep that is summed up.
        audits: of it.
        grades: of them, by one grader each.
        truths: alias → which testbeds are for tuning.
    """
    reported = {row.run_key: row.alias for row in audits if truths[row.alias].split != "tuning"}
    seen = sorted((one.run_key, one.grader) for one in grades if one.tier == "hit" and one.run_key in reported)
    if seen:
        ledger.look(digest_of(seen), plan, sorted({reported[key] for key, _ in seen}))


def looks_at(ledger: Ledger, plan: str, aliases: Collection[str], before: str = "") -> int:
    """Counts the looks at graded audits of some testbeds.

    A sweep of an earlier Assay, which recorded neither plan nor look, counts as one look if its audits were made.

    Args:
        ledger: that holds them.
        plan: id of the sweep that asks: before it looks it has not looked.
        aliases: of the testbeds.
        before: a time; later looks are left out. "" for none.
    """
    looks = ledger.looks()
    beds = set(aliases)
    count = sum(bool(beds & set(one.aliases)) and (not before or one.created < before) for one in looks)
    recorded = {plan, *(one.plan for one in looks), *(one.plan for one in ledger.documents())}
    for other in ledger.plans():
        shared = [cell.run_key for cell in other.cells if cell.alias in beds]
        if other.id not in recorded and (not before or other.created < before) and ledger.have(shared):
            count += 1
    return count
