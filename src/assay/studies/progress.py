"""Shows a person, while a sweep runs, what runs, how long yet, the rates so far, and what was found. On stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from assay._util.visible import visible
from assay.core.record import AuditRow
from assay.core.report import Report
from assay.studies.effects.rates import Estimate, HitScore, success
from assay.studies.events import (
    AuditEnded,
    Event,
    GradesPassedOver,
    KitRated,
    ProgressTold,
    ReportGraded,
    SweepPlanned,
    Watch,
)
from assay.studies.grades import report_of
from assay.studies.page.caveats import trusted
from assay.studies.page.tables import Column, FittedTable, Row

_STEPS = 2  # of an audit: it is played, and its report is graded
_QUOTED = 300  # characters of a claim
_SPEED_OVER = 600.0  # seconds: audits of a kit end in bursts, and how long yet is told by many of them


@contextmanager
def live(console: Console) -> Iterator[Watch]:
    """Draws a sweep's state, anew with every event; yields what takes the events.

    Where nobody sees a drawing (a file, a pipe) only what was planned, found and rated is written, a line each.
    """
    board = Board(console)
    if not console.is_terminal:
        yield board.watch
        return
    with Live(get_renderable=board.drawn, console=console, transient=True):
        yield board.watch


@dataclass
class _KitSoFar:
    """What is known of a kit while its audits come in."""

    audits: int = 0
    graded: int = 0
    scores: list[HitScore] = field(default_factory=list)
    rated: bool = False
    _told: tuple[int, Estimate | None] = (0, None)

    def success(self) -> Estimate | None:
        """Estimates it from the grades so far; once a grade, since it is asked for with every drawing."""
        if self._told[0] != len(self.scores):
            self._told = len(self.scores), success(self.scores)
        return self._told[1]

    def settle(self, estimate: Estimate | None) -> None:
        """Takes the estimate over all its audits, those without a report among them."""
        self.rated, self._told = True, (len(self.scores), estimate)


class Board:
    """A sweep's state.

    Args:
        console: that lines are written to, which stay.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._kits: dict[str, _KitSoFar] = {}
        self._settled = 0  # steps of kits that are rated
        self._found = ""
        self._hit_told = False
        columns = (
            BarColumn(24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
        )
        self._progress = Progress(*columns, console=console, speed_estimate_period=_SPEED_OVER)
        self._task = self._progress.add_task("starting", total=None)

    def drawn(self) -> RenderableType:
        """Draws it: the bar, the kits with their rates, the last finding."""
        parts: list[RenderableType] = [self._progress]
        if self._kits:
            parts.append(self._rates())
        if self._found:
            parts.append(Text(self._found, style="dim"))
        return Group(*parts)

    def watch(self, event: Event) -> None:
        """Takes an event."""
        match event:
            case SweepPlanned():
                self._progress.update(self._task, total=_STEPS * event.cells)
                self._console.print(f"{event.cells} audits planned, {event.finished} already in the ledger")
                if event.plugins:
                    self._console.print(trusted(event.plugins), style="yellow", markup=False)
            case AuditEnded(row):
                self._kit(row.kit).audits += 1
                self._step(f"{row.kit} on {row.alias}: {row.outcome}")
                if claim := _claim(row):
                    self._found = visible(f"claimed by {row.kit} on {row.alias}: “{claim}”")
            case ReportGraded():
                self._graded(event)
            case GradesPassedOver(rows):
                told = f"{rows} grades that no known grader signed: passed over, and made anew"
                self._console.print(told, style="red")
            case KitRated():
                self._rated(event)
            case ProgressTold(text):
                self._console.print(Text(visible(text)))

    def _kit(self, name: str) -> _KitSoFar:
        return self._kits.setdefault(name, _KitSoFar())

    def _step(self, doing: str) -> None:
        open_steps = sum(kit.audits + kit.graded for kit in self._kits.values() if not kit.rated)
        self._progress.update(self._task, completed=self._settled + open_steps, description=visible(doing))

    def _graded(self, event: ReportGraded) -> None:
        kit = self._kit(event.row.kit)
        kit.graded += 1
        if event.score and not kit.rated:
            kit.scores.append(event.score)
        self._step(f"grading {event.row.kit}")
        claim = _claim(event.row)
        if event.hit and claim and not self._hit_told:  # one is quoted for good; a stream of them nobody reads
            self._hit_told = True
            told = f"{event.row.kit} on {event.row.alias} found what is planted: “{claim}”"
            self._console.print(Text(visible(told), style="green"))

    def _rated(self, event: KitRated) -> None:
        kit = self._kit(event.kit)
        if not kit.rated:
            self._settled += _STEPS * event.cells
        kit.settle(event.success)
        self._step(f"{event.kit} is done")
        if not self._console.is_terminal:
            self._console.print(Text(_rate(event)))

    def _rates(self) -> FittedTable:
        columns = [Column("kit", identifies=True), Column("audits"), Column("success so far"), Column("95 %")]
        rows: list[Row] = []
        for name, kit in self._kits.items():
            estimate = kit.success()
            cells = ["", ""] if estimate is None else [f"{estimate.value:.0%}", _interval(estimate)]
            rows.append(Row([name, str(kit.audits), *cells], "bold" if kit.rated else ""))
        return FittedTable("", columns, rows)


def _claim(row: AuditRow) -> str:
    """Quotes what an audit is most certain of; "" where it claims nothing in words."""
    report = report_of(row)
    if not isinstance(report, Report) or not report.findings:
        return ""
    claim = " ".join(report.findings[0].claim.split())
    return claim if len(claim) <= _QUOTED else f"{claim[:_QUOTED]}…"


def _interval(estimate: Estimate) -> str:
    low, high = estimate.interval
    return f"[{low:.0%}, {high:.0%}]"


def _rate(rated: KitRated) -> str:
    """Tells a kit's success on one line."""
    estimate = rated.success
    if estimate is None:
        return f"{rated.kit:<18} no organism in this stage"
    return f"{rated.kit:<18} success {estimate.value:6.1%}   95 % interval {_interval(estimate)}"
