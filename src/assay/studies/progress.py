"""What a person sees while a sweep runs: how much is left, and the rates so far. On standard error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from assay.studies.run import Watch


@contextmanager
def live(console: Console) -> Iterator[Watch]:
    """A bar over a sweep's audits; yields what is told of events."""
    columns = (
        TextColumn("[bold]audits[/]"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=None)

        def watch(event: str, data: Mapping[str, Any]) -> None:
            if event == "plan":
                progress.update(task, total=data["cells"], completed=data["finished"])
                console.print(f"{data['cells']} audits planned, {data['finished']} already in the ledger")
            elif event == "audit":
                progress.update(task, advance=1, description=f"{data['kit']} on {data['alias']}: {data['outcome']}")
            elif event == "grade":
                progress.update(task, description="grading")
            elif event == "rates":
                console.print(_rates(data))
            elif event == "say":
                console.print(data["text"])

        yield watch


def _rates(data: Mapping[str, Any]) -> str:
    estimate = data["success"]
    if estimate is None:
        return f"{data['kit']:<18} no organism in this stage"
    low, high = estimate.interval
    return f"{data['kit']:<18} success so far {estimate.value:6.1%}   95 % interval [{low:.0%}, {high:.0%}]"
