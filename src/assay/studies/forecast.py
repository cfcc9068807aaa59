"""Says of a sweep, before it is run, how much it is and what its verdict could show."""

from __future__ import annotations

from collections.abc import Iterable

from assay._util.yaml_models import Data
from assay.core.record import AuditRow
from assay.studies.design import Design
from assay.studies.effects.effects import comparisons
from assay.studies.effects.power import SweepDesign, families_that_change, smallest_shown
from assay.studies.effects.rates import mean
from assay.studies.effects.verdict import whole
from assay.studies.ledger import Ledger
from assay.studies.plan import Plan, make_plan, require_controls
from assay.studies.study import earlier_plans


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
        tokens_most: of the targets, if every audit that is missing spends its budget.
        tokens, seconds: expected of the missing audits, one after the other, by audits of the same kits in the ledger;
            None where it has none.
        earlier_plans: sweeps of this ledger that looked at some of these testbeds before.
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
    tokens_most: int
    tokens: float | None
    seconds: float | None
    earlier_plans: int

    def lines(self) -> list[str]:
        """Says it in a few lines."""
        told = [
            f"plan {self.plan}: {self.cells} audits ({self.kits} kits, {self.testbeds} testbeds, seeds: {self.seeds}), "
            f"{self.done} of them in the ledger.",
            f"At most {self.tokens_most:,} tokens of the targets are still to be spent.",
        ]
        if self.tokens is not None and self.seconds is not None and self.cells > self.done:
            told.append(
                f"By audits of these kits in the ledger: about {self.tokens:,.0f} tokens, and {self.seconds / 60:.0f} "
                f"minutes one after the other; audits of a kit run side by side."
            )
        told.append(self._power())
        if self.earlier_plans:
            told.append(f"Earlier sweeps of this ledger that looked at some of these testbeds: {self.earlier_plans}.")
        return told

    def _power(self) -> str:
        design = f"{self.families} families, {self.tools} tool{'s' * (self.tools != 1)}"
        if not self.tools:
            return "No tool is compared with a base kit: add a kit such as chat+search beside chat."
        if self.smallest_shown is None:
            return f"With this design ({design}) no effect is large enough to be found four times in five."
        return (
            f"The verdict finds an effect of {whole(100 * self.smallest_shown)} points four times in five ({design}; "
            f"{self.change} families would have to change)."
        )


def forecast(design: Design) -> Forecast:
    """Plans a sweep and runs nothing; the ledger is read if there is one, and not made.

    Raises:
        UnknownId, InvalidInput, PluginError: the design cannot be run.
    """
    plan = make_plan(design)
    require_controls(plan)
    families = {plan.grading.families[alias] for alias in plan.targets if alias in plan.grading.families}
    compared = comparisons(plan.stages)
    tools = sum(one.against != "placebo" for one in compared)
    placebos = any(one.against == "placebo" for one in compared)
    smallest = None
    if tools and len(families) > 1:
        smallest = smallest_shown(SweepDesign(len(families), len(design.seeds), tools, placebos))
    rows, before = _of_ledger(plan)
    have = {row.run_key for row in rows}
    missing = [cell for cell in plan.cells if cell.run_key not in have]
    by_kit: dict[str, list[AuditRow]] = {}
    for row in rows:
        by_kit.setdefault(row.kit, []).append(row)
    known = [by_kit[cell.kit] for cell in missing if cell.kit in by_kit]
    whole = len(known) == len(missing)  # an audit of every kit that is missing is in the ledger
    return Forecast(
        plan=plan.id,
        cells=len(plan.cells),
        done=len(plan.cells) - len(missing),
        kits=len(plan.stages),
        testbeds=len(plan.targets),
        families=len(families),
        seeds=len(design.seeds),
        tools=tools,
        placebos=placebos,
        smallest_shown=smallest,
        change=families_that_change(smallest, len(families)) if smallest is not None else None,
        tokens_most=design.budget.tokens * len(missing),
        tokens=_expected((row.cost.tokens for row in rows) for rows in known) if whole else None,
        seconds=_expected((row.seconds for row in rows) for rows in known) if whole else None,
        earlier_plans=before,
    )


def _of_ledger(plan: Plan) -> tuple[list[AuditRow], int]:
    """Reads a ledger's audits of the plan's kits, and counts the sweeps before it."""
    if not plan.design.ledger.is_file():
        return [], 0
    with Ledger.open(plan.design.ledger) as ledger:
        auditor = f"{plan.auditor.name}@{plan.auditor.version}"
        model = plan.model.name if plan.model else ""
        alike = [row for row in ledger.audits() if row.auditor == auditor and row.game == plan.design.game]
        rows = [row for row in alike if row.kit in plan.stages and row.model.model == model]
        return rows, earlier_plans(ledger, plan.id, plan.targets)


def _expected(samples: Iterable[Iterable[float]]) -> float:
    """Adds up the means."""
    return sum(mean(list(sample)) for sample in samples)
