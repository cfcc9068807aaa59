"""What all commands share: their options, and how they speak."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the ledger, the logs and the results.")]
Plugin = Annotated[list[Path] | None, typer.Option("--plugin", help="Python file that defines tools; repeatable.")]
SuiteFolder = Annotated[
    Path | None,
    typer.Option("--suite", help="Folder of the suite to write to; one of your own under ASSAY_HOME if not given."),
]
Testbed = Annotated[str, typer.Option("--testbed", help="Id or alias; see assay testbeds.")]


def say(text: str) -> None:
    """Progress: on standard error, so that standard output is the result alone."""
    print(text, file=sys.stderr, flush=True)


def show(data: Any, as_json: bool, columns: tuple[str, ...] = ()) -> None:
    """Data as one JSON document, or as a table of the given columns."""
    if as_json:
        print(json.dumps(data, indent=1, ensure_ascii=False, default=str))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold")
    if data:  # what the next command is given must not be cut, however narrow the terminal
        table.columns[0].min_width = max(len(str(row[columns[0]])) for row in data)
    for row in data:
        table.add_row(*(str(row[column]) for column in columns))
    Console().print(table)
