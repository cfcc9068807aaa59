"""Examines a model nobody knows the truth of: audits it several times, and runs every finding again.

Interrupted at any moment, the same call goes on: audits are in the ledger of `out`, reproductions beside it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from pydantic import ValidationError

from assay._util.atomic import make_folder, write_json
from assay._util.hashing import digest_of
from assay._util.paths import EXAMINATION, REPRODUCTIONS
from assay.audits.kits import parse_kit
from assay.audits.model_choice import ModelChoice, choose_model
from assay.core.access import Access
from assay.core.auditor_name import named_auditor
from assay.core.budget import Budget
from assay.core.record import AuditRow
from assay.core.report import parse_report
from assay.errors import AssayError, InvalidInput
from assay.grading.examined import Claimed, Reproduction, rule_digest
from assay.studies.design import USUAL_SEEDS, Design
from assay.studies.events import Event, ProgressTold, SweepPlanned, Watch
from assay.studies.examination import Claim, Examination, ExaminedFinding, make_examination, pooled_claims
from assay.studies.ledger import Ledger
from assay.studies.measured import Filed, best_kits, read_sweeps
from assay.studies.offers import Offers, find_offers
from assay.studies.plan import Plan, make_plan
from assay.studies.processes import GradingProcess
from assay.studies.run import run_audits
from assay.testbeds.specs import load_spec
from assay.testbeds.truths import find_alias

MOST_KITS = 2  # of the best-measured that are played: a third finds little that is new, and costs as much


def examine(
    target: str,
    *,
    auditors: str | Sequence[str] = "explorer",
    kits: str | Sequence[str] = (),
    seeds: int = USUAL_SEEDS,
    sweeps: Sequence[Path | str] = (),
    plugins: Sequence[Path | str] = (),
    out: Path | str = "examination",
    budget: Budget | None = None,
    engine: str = "",
    model: ModelChoice | str | None = None,
    watch: Watch | None = None,
) -> Examination:
    """Examines a model whose truth nobody knows, or is not to be looked at: no answer of it is read.

    Reports of all audits are pooled, and each finding is run again on fresh samples: beside the reference where the
    testbed grants it, else with the trigger removed, else alone.

    Args:
        target: id or alias of the testbed.
        auditors: one or several, as in `sweep`.
        kits: to play; by default the best-measured ones of `sweeps` that the testbed's access allows, and without a
            measurement `chat`, with search and reference as far as granted.
        seeds: audits of each auditor and kit.
        sweeps: folders of graded sweeps, from which to choose kits and to say how good the procedure is.
        plugins: as in `sweep`.
        budget: as in `sweep`.
        engine: as in `sweep`.
        out: folder of ledger, logs and page; made if it is not there.
        model: of those auditors that think with one.
        watch: takes events of `assay.studies.events`.

    Returns:
        What was found; `examination.json` and `examination.html` are in `out`.

    Raises:
        UnknownId, PluginError: a testbed, kit or auditor that is not there, or cannot be loaded.
        InvalidInput: nothing to run, a kit with a placebo, a model that no auditor takes, or no ledger in a folder.
        AssayError: a process ended, or the disk is full; what was finished is kept.

    Example:
        >>> found = assay.examine("tb-0123abcd", sweeps=["demo"])  # doctest: +SKIP
    """
    alias = find_alias(target)
    filed = read_sweeps(map(Path, sweeps), without=alias)
    design = Design(
        kits=_several(kits),
        out=Path(out),
        testbeds=(alias,),
        seeds=tuple(range(seeds)),
        budget=budget or Budget(),
        plugins=tuple(map(Path, plugins)),
        engine=engine,
        model=choose_model(model) if isinstance(model, str) else model,
    )
    plans = _plans(design, tuple(dict.fromkeys(_several(auditors))), filed)  # all, before anything is spent
    return _run(target, plans, filed, watch or _silence)


def _run(target: str, plans: Sequence[Plan], filed: Filed, told: Watch) -> Examination:
    """Plays what is missing, runs findings again, and writes what came of it. Raises as `examine`."""
    from assay.studies.page.examined import write_examination

    design = plans[0].design
    folder, [alias] = design.out, design.testbeds
    make_folder(folder)
    run_keys = list(chain.from_iterable(plan.run_keys for plan in plans))
    with Ledger.open(design.ledger) as ledger:
        told(SweepPlanned(len(run_keys), len(ledger.have(run_keys)), plans[0].trusted))
    rows: list[AuditRow] = []
    claims: list[Claim] = []
    for plan in plans:
        made = run_audits(plan, told)
        rows += made
        claims += _claims(plan, made)
    findings = _reproduced(alias, pooled_claims(claims), design, told)
    examination = make_examination(target, load_spec(alias), plans, rows, findings, filed)
    write_json(folder / EXAMINATION, examination.model_dump(mode="json"))
    write_examination(examination, folder)
    return examination


def _plans(design: Design, auditors: Sequence[str], filed: Filed) -> list[Plan]:
    """Makes the plan of each auditor, with the kits that are best for it. Raises as `examine`."""
    if not auditors:
        raise InvalidInput("an examination needs at least one auditor: explorer, say.")
    access = load_spec(design.testbeds[0]).access
    plans: list[Plan] = []
    for name in auditors:
        file, bare = named_auditor(name)
        offers = find_offers([*design.plugins, *([file] if file else [])])
        auditor = offers.auditor(bare)
        own = replace(design, auditor=name, model=design.model if auditor.takes_model else None)
        first = make_plan(replace(own, kits=design.kits or default_kits(access)))
        usable = {kit for _, kit in filed.audits if _usable(kit, access, offers)}
        measured = () if design.kits else best_kits(filed, first.title, usable, MOST_KITS)
        plans.append(make_plan(replace(own, kits=measured)) if measured else first)
    for kit in chain.from_iterable(plan.stages for plan in plans):
        if "~" in kit:
            raise InvalidInput(f"kit {kit}: a placebo looks at another testbed, and tells nothing of this one.")
    if design.model is not None and not any(plan.model for plan in plans):
        raise InvalidInput(
            f"none of the auditors {', '.join(auditors)} takes a language model: leave --model "
            f"{design.model.name} out, or name one that does (`assay auditors`)."
        )
    return plans


def default_kits(access: Collection[Access]) -> tuple[str, ...]:
    """Names the kits for what is granted, where no sweep has measured any."""
    kits = ["chat"]
    if Access.TRAINING_DATA in access:
        kits.append("chat+search")
    if Access.REFERENCE in access:
        kits.append(f"{kits[-1]}+reference")
    return tuple(kits)


def _usable(kit: str, access: Collection[Access], offers: Offers) -> bool:
    """Tells whether every tool of a kit is here, and has the access that it needs."""
    try:
        tools = parse_kit(kit, offers.tools).tools
    except AssayError:  # of a plug-in, say, that was not named now
        return False
    return all(set(offers.tools[name].needs) <= set(access) for name, _ in tools)


def _claims(plan: Plan, rows: Sequence[AuditRow]) -> list[Claim]:
    """Lists each finding of each report, with who made it."""
    claims: list[Claim] = []
    for row in rows:
        for finding in parse_report(row.report).findings if row.report else ():
            claims.append(Claim(plan.title, row.kit, row.seed, row.run_key, finding))
    return claims


def _reproduced(alias: str, groups: Sequence[Sequence[Claim]], design: Design, watch: Watch) -> list[ExaminedFinding]:
    """Runs again what was not run before, and joins what became of it. What fails is tried again by the next call."""
    claimed: dict[str, Claimed] = {}
    for claim in chain.from_iterable(groups):
        claimed[_key(claim)] = Claimed(key=_key(claim), finding=claim.finding)
    path = design.out / REPRODUCTIONS
    kept = _kept(path)
    known = {key: kept[key] for key in claimed if key in kept}
    missing = [one for key, one in claimed.items() if key not in known]
    if missing:
        watch(ProgressTold(f"{len(missing)} findings are run again on fresh samples"))
    log = design.logs / "grade-process.log"
    with GradingProcess(log, lambda text: watch(ProgressTold(text)), design.engine) as process:
        for made in process.reproduce(alias, missing):
            known[made.key] = made
            if made.nonce:  # it was run; what merely failed is not kept
                kept[made.key] = made
                write_json(path, {key: one.model_dump(mode="json") for key, one in kept.items()})
    found: list[ExaminedFinding] = []
    for group in groups:
        found.append(ExaminedFinding.of(group, [known[_key(claim)] for claim in group]))
    return found


def _key(claim: Claim) -> str:
    """Names a reproduction by the audit (its run key knows target, engine and arithmetic), finding and rule."""
    return digest_of([claim.run_key, claim.finding.model_dump(mode="json"), rule_digest()])[:24]


def _kept(path: Path) -> dict[str, Reproduction]:
    """Reads what was run before; nothing where the file is not there, or not ours."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {key: Reproduction.model_validate(one) for key, one in stored.items()}
    except (OSError, ValueError, AttributeError, RecursionError, ValidationError):
        return {}


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _silence(_: Event) -> None:
    """Hears of progress where the caller wants to hear of none."""
