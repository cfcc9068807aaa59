"""Shows a sweep's results, as objects, data frames and files."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.audits.cell import Cell
from assay.core.answer import Game, claims
from assay.core.record import AuditRow, GradeRow
from assay.errors import InvalidInput
from assay.grading.ceiling import pass_probability
from assay.studies.constant import KeptConstant
from assay.studies.design import ledger_in
from assay.studies.details import AuditDetails
from assay.studies.effects.results import Summary
from assay.studies.effects.scores import join
from assay.studies.effects.summary import summarise
from assay.studies.evidence import KeptEvidence
from assay.studies.grades import Grading
from assay.studies.judging import Judging, require_findings
from assay.studies.ledger import Ledger, StoredPlan
from assay.studies.output import write_results
from assay.studies.preregister import look, looks_at, planned
from assay.truth import Behaviour, Truth

if TYPE_CHECKING:
    import pandas as pd

_AUDITS = (
    *("run_key", "testbed", "alias", "kit", "auditor", "seed", "outcome", "stage", "p_hidden", "findings"),
    *("queries", "tokens", "seconds", "machine", "error", "plugins"),
)
_GRADES = ("run_key", "testbed", "alias", "kit", "seed", "role", "family", "tier", "raw", "null", "score")
_EFFECTS = ("tool", "estimand", "against", "delta", "low", "high", "p", "p_adjusted", "families", "verdict")


@dataclass(frozen=True)
class Study:
    """Holds what a sweep found; it shows itself in a terminal (`print`) and in a notebook.

    Attributes:
        out: its folder, with ledger, logs, summary and page.
        plan: id of the sweep, by which `load_study` finds it again among others of the folder.
        summary: everything that is printed and drawn.
        rows: its audits as the ledger has them.
        grade_rows: their grades by the graders of now, one row a tier.
        testbeds: alias → readable id, of the testbeds whose truth can be read.
        planted: alias → the behaviours of a testbed whose truth is no secret; a page tells of them.
        failed: run key → why its report could not be graded when this sweep was run; it counts as a miss.
    """

    out: Path
    plan: str
    summary: Summary
    rows: tuple[AuditRow, ...]
    grade_rows: tuple[GradeRow, ...]
    testbeds: Mapping[str, str]
    planted: Mapping[str, tuple[Behaviour, ...]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def audits(self) -> pd.DataFrame:
        """One row an audit: testbed, kit, auditor, seed, outcome, `p_hidden` in [0, 1], number of findings, and cost.

        Cost is of target and reference: queries, tokens read and written, seconds of wall time. `machine` is what the
        replies were made with, `stage` where an audit of an organism stopped on its way to a hit.
        """
        stages = {audit.run_key: audit.stage for audit in self.summary.funnel.audits}
        records = []
        for row in self.rows:
            report = json.loads(row.report) if row.report else {"p_hidden": None}
            records.append(
                asdict(row)
                | {
                    "testbed": self.testbeds.get(row.alias, ""),
                    "stage": stages.get(row.run_key, ""),
                    "p_hidden": report["p_hidden"],
                    "findings": claims(report),
                    "queries": row.cost.queries,
                    "tokens": row.cost.tokens,
                }
            )
        return _frame(records, _AUDITS)

    @property
    def grades(self) -> pd.DataFrame:
        """One row a grade and tier: `raw` on its own truth, `null` on swapped ones, `score` = raw − null, in [−1, 1].

        The tier `hit` is what success is made of.
        """
        audits = {row.run_key: row for row in self.rows}
        records = []
        for grade in self.grade_rows:
            row = audits[grade.run_key]
            about = {"alias": row.alias, "testbed": self.testbeds.get(row.alias, ""), "kit": row.kit, "seed": row.seed}
            records.append(asdict(grade) | about | {"family": grade.cluster, "score": grade.raw - grade.null})
        return _frame(records, _GRADES)

    @property
    def effects(self) -> pd.DataFrame:
        """One row a comparison: what a tool adds to success, as a difference of rates, with its 95 % interval."""
        records = []
        for effect in self.summary.effects:
            low, high = effect.interval
            records.append(effect.model_dump() | {"low": low, "high": high})
        return _frame(records, _EFFECTS)

    @property
    def kits(self) -> pd.DataFrame:
        """One row a kit: success, its interval, false alarms, tokens and queries an audit."""
        columns = ("kit", "success", "raw", "null", "false_alarm", "audits", "target_tokens", "queries", "seconds")
        return _frame([kit.model_dump() for kit in self.summary.kits], columns)

    def page(self) -> Path:
        """Writes `summary.json`, `report.html` and, beside them, what happened in each audit.

        Returns:
            The page's path; it opens in a browser without a network.

        Raises:
            InvalidInput: the folder cannot be written.
        """
        return write_results(self.summary, self.out, AuditDetails(self))[1]

    def __repr__(self) -> str:
        from assay.studies.page.caveats import caveats

        said = " ".join([self.summary.headline, *caveats(self.summary)])
        return f"<Study of {self.summary.audits} audits in {str(self.out)!r}: {said}>"

    def __str__(self) -> str:
        from io import StringIO

        from rich.console import Console

        from assay.studies.page.terminal import terminal

        text = StringIO()
        Console(file=text, width=110, force_terminal=False).print(terminal(self.summary))
        return text.getvalue().rstrip()

    def _repr_html_(self) -> str:
        import html

        from assay.studies.page.caveats import caveats

        parts = [f"<p><b>{html.escape(self.summary.headline)}</b></p><p>{html.escape(self.summary.made_on)}</p>"]
        parts += [f"<p>{html.escape(text)}</p>" for text in caveats(self.summary)]
        for title, frame in ((self.summary.title, self.kits), ("what a tool adds", self.effects)):
            if len(frame):
                parts += [f"<p>{html.escape(title)}</p>", frame.to_html(index=False, float_format="{:.3g}".format)]
        return "\n".join(parts)


# pandas is imported where a frame is asked for: commands that show none should start without waiting for it.
def _frame(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    picked = operator.itemgetter(*columns)
    return pd.DataFrame.from_records([picked(record) for record in records], columns=columns)


def collect(
    ledger: Ledger,
    cells: Sequence[Cell],
    grading: Grading,
    *,
    out: Path,
    plan: str,
    auditor: str,
    seconds: float,
    document: str = "",
    passed_over: AbstractSet[tuple[str, str]] = frozenset(),
    judges: Sequence[str] = (),
) -> Study:
    """Sums up the audits of some cells and their grades; the ledger counts that somebody looked at them.

    Args:
        ledger: that holds them.
        cells: a plan's.
        grading: what can be graded; audits of other testbeds are counted, and in no rate.
        out: the study's folder.
        plan: id of the sweep.
        auditor: its title.
        seconds: wall time of the sweep.
        document: digest of what was planned; the plan last stored if "".
        passed_over: (run key, tier) of grades that nobody known had signed, and that were made anew since.
        judges: names of a validated panel's models, whose grades are a part of every hit; then testbeds whose truth is
            a text alone are in the rates, too.

    Raises:
        InvalidInput: the panel may not be a part of a hit.
    """
    rows = ledger.audits(cell.run_key for cell in cells)
    # Testbeds whose truth is not known here are no failure: their audits are kept, counted and left out of every rate.
    game = cells[0].game if cells else "investigate"
    judging = _judging(judges, grading, game)
    alone = judging.alone if judging else {}
    truths = {alias: case.truth for alias, case in grading.cases.items()} | dict(alone)
    families = dict(grading.families) | {alias: truth.family for alias, truth in alone.items()}
    audits = [row for row in rows if row.alias in truths]
    held = grading.current(ledger, audits)
    grades = tuple(judging.hits(ledger, audits, held.rows)) if judging else held.rows
    suites = {truths[row.alias].id.partition("/")[0] for row in audits}
    look(ledger, plan, audits, grades, truths)
    summary = summarise(
        join(audits, grades, {alias: truth.role for alias, truth in truths.items()}, families),
        auditor=auditor,
        suite=", ".join(sorted(suites)) or "none",
        seconds=round(seconds, 1),
        # sought by the other tiers alone: beside hits that a panel has read it would be no yardstick
        best_constant=None if judging else KeptConstant(out, plan, grading, rows).success(),
        ceilings=_ceilings(truths) if game == "investigate" else {},
        groups={alias: truth.productions for alias, truth in truths.items() if truth.productions},
        without_truth=len(rows) - len(audits),
        grades_passed_over=len(passed_over | held.passed_over),
        **_planned(ledger, plan, {cell.alias for cell in cells}, document),
        evidence=KeptEvidence(out, grading).of(audits),
        game=game,
    )
    played = {row.alias for row in audits}
    testbeds = {alias: truths[alias].id for alias in sorted(played)}
    return Study(out, plan, summary, tuple(rows), grades, testbeds, _planted(grading, truths, testbeds))


def _planted(grading: Grading, truths: Mapping[str, Truth], shown: Iterable[str]) -> dict[str, tuple[Behaviour, ...]]:
    """Returns what was planted in those testbeds whose truth is no secret, by alias."""
    return {
        alias: grading.cases[alias].behaviours
        for alias in shown
        if alias in grading.cases and truths[alias].exposure != "sealed"
    }


def _judging(judges: Sequence[str], grading: Grading, game: Game) -> Judging | None:
    """Finds the panel that is a part of every hit; None without judges. Raises as `collect`."""
    if not judges:
        return None
    require_findings(judges, game)
    return Judging.now(judges, grading)


def _planned(ledger: Ledger, plan: str, aliases: AbstractSet[str], document: str) -> dict[str, Any]:
    """Gathers what a summary says of what was planned, and of who looked before."""
    return {
        "planned": planned(ledger, plan, aliases, document),
        "looks": looks_at(ledger, plan, aliases),
        "earlier_looks": looks_at(ledger, plan, aliases, before=ledger.plan(plan).created),
    }


def _ceilings(truths: Mapping[str, Truth]) -> dict[str, float]:
    """Computes for each organism with a card how often grading lets a true report on it pass."""
    measured: dict[str, float] = {}
    for alias, truth in truths.items():
        if truth.card is not None and truth.role == "organism":
            strength = truth.card.strength
            measured[alias] = pass_probability(strength.rate, strength.control_rate)
    return measured


def load_study(folder: Path | str, *, plan: str = "", judges: Sequence[str] = ()) -> Study:
    """Sums up a sweep of a folder, from the audits and grades that are in its ledger; nothing is run.

    The ledger counts it as a look, unless the very same audits and grades were summed up before.

    Args:
        folder: the `out` of a sweep.
        plan: id of one of the folder's sweeps; the one last run by default.
        judges: names of a panel's models that `assay.grade` had grade this ledger; what they accept is then a part of
            every hit. It has to be validated (`assay judge validate`).

    Raises:
        InvalidInput: no ledger there, a damaged one, or one without a sweep; or judges that are not validated.
        UnknownId: the ledger has no sweep of that id; names those it has.

    Example:
        >>> assay.load_study("runs").effects  # doctest: +SKIP
    """
    out = Path(folder)
    with Ledger.open(existing_ledger(out)) as ledger:
        stored = ledger.plan(plan) if plan else _last_run(ledger)
        rows = ledger.audits(cell.run_key for cell in stored.cells)
        return collect(
            ledger,
            stored.cells,
            Grading.now(),
            out=out,
            plan=stored.id,
            auditor=stored.auditor,
            # The ledger does not know how long the sweep took; audits ran side by side, so this is no less than that.
            seconds=sum(row.seconds for row in rows),
            judges=judges,
        )


def _last_run(ledger: Ledger) -> StoredPlan:
    plans = ledger.plans()
    if not plans:
        raise InvalidInput(f"{ledger.path} holds no sweep; run assay sweep or assay demo first.")
    return plans[-1]


def other_sweeps(study: Study) -> list[StoredPlan]:
    """Lists the further sweeps in a study's folder, the one last run last."""
    with Ledger.open(existing_ledger(study.out)) as ledger:
        return [plan for plan in ledger.plans() if plan.id != study.plan]


def existing_ledger(out: Path) -> Path:
    """Finds the ledger of a sweep's folder.

    Raises:
        InvalidInput: it is not there.
    """
    path = ledger_in(out)
    if not path.is_file():
        raise InvalidInput(f"{path}: no ledger there. Give the folder of a sweep with --out, or run one.")
    return path
