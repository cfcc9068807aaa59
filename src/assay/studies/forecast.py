"""Says of a sweep, before it is run, how much it is and what its verdict could show."""

from __future__ import annotations

from assay._util.yaml_models import Data
from assay.core.record import AuditRow
from assay.studies.costs import cost_table, kept_costs, played_by
from assay.studies.design import Design
from assay.studies.effects.power import families_that_change
from assay.studies.effects.verdict import power_told
from assay.studies.ledger import Ledger
from assay.studies.plan import Plan, make_plan, require_controls
from assay.studies.preregister import looks_at, plan_document, sweep_design


class Forecast(Data):
    """Tells what a sweep would be.

    Attributes:
        plan: its id, a digest of its cells, by which a ledger knows it.
        cells: audits in all; `done` are in the ledger already.
        kits, testbeds: how many.
        families: of organisms, the sample size.
        seeds: of each kit on each testbed.
        tools: compared with a base kit at once; `placebos` tells whether they are with their placebos, too.
        smallest_shown: the effect that the verdict finds in 80 % of sweeps, simulated; None if it finds none.
        change: how many families would have to be won for that.
        queries_most, tokens_most: of the targets, if every audit that is missing spends its budget.
        queries, tokens, seconds: expected of the missing audits, one after the other, by what audits with the same kits
            cost in this ledger or in sweeps on this machine; None where one of the kits is not known.
        earlier_looks: at graded audits of these testbeds, as this ledger counts them.
        digest: SHA-256 of the plan as a sweep would store it before its first audit.
        primary: the comparison that the sweep would be for, in words.
    """

    plan: str
    cells: int
    done: int
    kits: int
    testbeds: int
    families: int
    seeds: int
    tools: int
    placebos: bool
    smallest_shown: float | None
    change: int | None
    queries_most: int
    tokens_most: int
    queries: float | None
    tokens: float | None
    seconds: float | None
    earlier_looks: int
    digest: str
    primary: str

    def lines(self) -> list[str]:
        """Says it in a few lines."""
        told = [
            f"plan {self.plan}: {self.cells} audits ({self.kits} kits, {self.testbeds} testbeds, seeds: {self.seeds}), "
            f"{self.done} of them in the ledger.",
            f"At most {self.queries_most:,} queries and {self.tokens_most:,} tokens of the targets are still to be "
            f"spent.",
        ]
        if self.cells > self.done:
            told.append(self._cost())
        told.append(self._power())
        told.append(f"Primary comparison: {self.primary}. The sweep stores this plan first: SHA-256 {self.digest}.")
        if self.earlier_looks:
            told.append(f"This ledger counts {self.earlier_looks} earlier looks at graded audits of these testbeds.")
        return told

    def _cost(self) -> str:
        if self.queries is None or self.tokens is None or self.seconds is None:
            return "What an audit with each of these kits costs is not known here: nothing was swept with some of them."
        return (
            f"By audits with these kits on this machine: about {self.queries:,.0f} queries, {self.tokens:,.0f} tokens, "
            f"and {self.seconds / 60:.0f} minutes one after the other; audits of a kit run side by side."
        )

    def _power(self) -> str:
        if not self.tools:
            return "No tool is compared with a base kit: add a kit such as chat+search beside chat."
        return power_told(self.smallest_shown, self.families, self.seeds, self.tools)


def forecast(design: Design) -> Forecast:
    """Plans a sweep and runs nothing; the ledger is read if there is one, and not made.

    Raises:
        UnknownId, InvalidInput, PluginError: the design cannot be run.
    """
    plan = make_plan(design)
    require_controls(plan)
    document, sweep = plan_document(plan), sweep_design(plan)
    smallest = document.smallest_shown
    auditor = f"{plan.auditor.name}@{plan.auditor.version}"
    rows, before = _of_ledger(plan, auditor)
    have = {row.run_key for row in rows}
    missing = [cell for cell in plan.cells if cell.run_key not in have]
    # What this ledger's audits cost goes before what other sweeps on this machine say.
    player = played_by(auditor, design.game)
    costs = kept_costs().get(player, {}) | cost_table(rows).get(player, {})
    known = [costs[cell.kit] for cell in missing if cell.kit in costs]
    whole = len(known) == len(missing)
    return Forecast(
        plan=plan.id,
        cells=len(plan.cells),
        done=len(plan.cells) - len(missing),
        kits=len(plan.stages),
        testbeds=len(plan.targets),
        families=document.families,
        seeds=len(design.seeds),
        tools=sweep.tools if sweep else 0,
        placebos=bool(sweep and sweep.placebos),
        smallest_shown=smallest,
        change=families_that_change(smallest, document.families) if smallest is not None else None,
        queries_most=design.budget.queries * len(missing),
        tokens_most=design.budget.tokens * len(missing),
        queries=sum(cost.queries for cost in known) if whole else None,
        tokens=sum(cost.tokens for cost in known) if whole else None,
        seconds=sum(cost.seconds for cost in known) if whole else None,
        earlier_looks=before,
        digest=document.digest,
        primary=document.primary_told,
    )


def _of_ledger(plan: Plan, auditor: str) -> tuple[list[AuditRow], int]:
    """Reads a ledger's audits of the plan's kits, and counts the looks at its testbeds."""
    if not plan.design.ledger.is_file():
        return [], 0
    with Ledger.open(plan.design.ledger) as ledger:
        model = plan.model.name if plan.model else ""
        alike = [row for row in ledger.audits() if row.auditor == auditor and row.game == plan.design.game]
        rows = [row for row in alike if row.kit in plan.stages and row.model.model == model]
        return rows, looks_at(ledger, plan.id, plan.targets)
