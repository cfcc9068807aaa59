"""What all commands share: their options, and how they speak."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

_WHOLE = frozenset({"alias", "testbed", "suite", "tool", "auditor", "check"})  # columns that a next command is given

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the ledger, the logs and the results.")]
PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file with tools or auditors; repeatable.")
]
AuditorName = Annotated[str, typer.Option("--auditor", help="See assay auditors.")]
EngineWords = Annotated[
    str,
    typer.Option(
        "--engine", help="NAME[:ARGUMENTS] that serves all targets, vllm:http://127.0.0.1:8000 say; else by their base."
    ),
]
SuiteFolder = Annotated[
    Path | None,
    typer.Option("--suite", help="Folder of the suite to write to; one of your own under ASSAY_HOME if not given."),
]
Testbed = Annotated[str, typer.Option("--testbed", help="Id or alias; see assay testbeds.")]


def say(text: str) -> None:
    """Tells of progress on standard error, so that standard output is the result alone."""
    print(text, file=sys.stderr, flush=True)


def show(data: Any, as_json: bool, columns: tuple[str, ...] = ()) -> None:
    """Prints data as one JSON document, or as a table of the given columns.

    The table fits the terminal, or 80 columns in a pipe. The first column names the row, and what the next command is
    given must not be cut: it stays whole, and the others are broken over lines.
    """
    if as_json:
        print(json.dumps(data, indent=1, ensure_ascii=False, default=str))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        # Folded, not cut off with an ellipsis: a word broken over two lines can still be read.
        table.add_column(column, no_wrap=number == 0 or column in _WHOLE, overflow="fold")
    for row in data:
        table.add_row(*(_cell(row[column]) for column in columns))
    Console().print(table)


def _cell(value: Any) -> str:
    """Writes a value as a table tells it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
