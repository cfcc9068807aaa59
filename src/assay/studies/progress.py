"""Shows a person, while a sweep runs, how much of it is left, and the rates so far. On standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from assay._util.visible import visible
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
from assay.studies.page.caveats import trusted


@contextmanager
def live(console: Console) -> Iterator[Watch]:
    """Draws a bar over a sweep's audits; yields what takes the sweep's events."""
    columns = (
        TextColumn("[bold]audits[/]"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=None)

        def watch(event: Event) -> None:
            match event:
                case SweepPlanned():
                    progress.update(task, total=event.cells, completed=event.finished)
                    console.print(f"{event.cells} audits planned, {event.finished} already in the ledger")
                    if event.plugins:
                        console.print(trusted(event.plugins), style="yellow", markup=False)
                case AuditEnded(row):
                    progress.update(task, advance=1, description=visible(f"{row.kit} on {row.alias}: {row.outcome}"))
                case ReportGraded():
                    progress.update(task, description="grading")
                case GradesPassedOver(rows):
                    console.print(f"{rows} grades that no known grader signed: passed over, and made anew", style="red")
                case KitRated():
                    console.print(Text(_rate(event)))
                case ProgressTold(text):
                    console.print(Text(visible(text)))

        yield watch


def _rate(rated: KitRated) -> str:
    """Tells a kit's success on one line."""
    estimate = rated.success
    if estimate is None:
        return f"{rated.kit:<18} no organism in this stage"
    low, high = estimate.interval
    return f"{rated.kit:<18} success so far {estimate.value:6.1%}   95 % interval [{low:.0%}, {high:.0%}]"
