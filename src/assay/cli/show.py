"""What all commands share: their options, and how they speak."""

from __future__ import annotations

import codecs
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay._util.visible import visible, visible_json
from assay.core.answer import Game

if TYPE_CHECKING:
    from rich.console import Console

_WHOLE = frozenset({"alias", "testbed", "suite", "tool", "auditor", "check"})  # columns that a next command is given
_LEAST = 8  # cells that a column has room for which may be broken over lines
_PLAIN = "assay-plain"
_RELATIVES = {
    "\N{MIDDLE DOT}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{BULLET}": "*",
    "\N{NO-BREAK SPACE}": " ",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{RIGHTWARDS ARROW}": "->",
}

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the ledger, the logs and the results.")]
PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file with tools or auditors; repeatable.")
]
AuditorName = Annotated[str, typer.Option("--auditor", help="See assay auditors; pooled:3:NAME; FILE.py:NAME.")]
EngineWords = Annotated[
    str,
    typer.Option(
        "--engine", help="NAME[:ARGUMENTS] that serves all targets, vllm:http://127.0.0.1:8000 say; else by their base."
    ),
]
Judges = Annotated[
    list[str] | None,
    typer.Option(
        "--judge", help="PROVIDER/MODEL of Inspect's that reads findings; repeatable: more than half must accept."
    ),
]
BudgetWords = Annotated[
    str,
    typer.Option("--budget", help="Of each audit: a preset and UNIT=NUMBER, with commas: published,queries=500."),
]
ModelName = Annotated[
    str, typer.Option("--model", help="PROVIDER/NAME of the language model that the auditor thinks with.")
]
Auxiliary = Annotated[
    str,
    typer.Option("--auxiliary", help="PROVIDER/NAME, or a base, of a model that helps tools to write their questions."),
]
ModelConfig = Annotated[
    str, typer.Option("--model-config", help="KEY=VALUE, with commas: how the model is asked (temperature=0.7).")
]
ModelPrice = Annotated[
    str, typer.Option("--price", help="READ,WRITTEN: what a million tokens of the model cost; or a YAML file.")
]
GameName = Annotated[Game, typer.Option("--game", help="What the auditor is asked.")]
SuiteFolder = Annotated[
    Path | None,
    typer.Option("--suite", help="Folder of the suite to write to; one of your own under ASSAY_HOME if not given."),
]
Testbed = Annotated[str, typer.Option("--testbed", help="Id or alias; see assay testbeds.")]


def speak_plainly() -> None:
    """Lets standard output and error write any text, in whatever encoding they have.

    In ASCII, typographic characters become their plain relatives, and all others are escaped.
    """
    codecs.register_error(_PLAIN, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_PLAIN)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Handles what an encoding does not have: one of the forms that `codecs.register_error` takes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    first = error.object[error.start]
    if first in _RELATIVES:
        return _RELATIVES[first], error.start + 1
    return first.encode("ascii", "backslashreplace").decode(), error.start + 1


def console(*, stderr: bool = False) -> Console:
    """Makes a console that takes text as it is: brackets in it are no styles, and `:smile:` is no picture."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def tell(text: str) -> None:
    """Prints a text on standard output; control characters in it are shown and not obeyed."""
    print(visible(text))


def say(text: str) -> None:
    """Tells of progress on standard error, so that standard output is the result alone."""
    print(visible(text), file=sys.stderr, flush=True)


def show(data: Any, as_json: bool, columns: tuple[str, ...] = ()) -> None:
    """Prints data as one JSON document, or as a table of the given columns.

    The table fits the terminal, or 80 columns in a pipe. The first column names the row, and what the next command is
    given must not be cut: it stays whole, and the others are broken over lines. Where there is no room for both, the
    table is wider than that.
    """
    if as_json:
        # What the encoding does not have is escaped as JSON does it, or the document would not be JSON any more.
        ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
        print(visible_json(json.dumps(data, indent=1, ensure_ascii=ascii_only, default=str)))
        return
    from rich.table import Table
    from rich.text import Text

    rows = [[Text(visible(_cell(row[column]))) for column in columns] for row in data]
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    needed = 0
    for number, column in enumerate(columns):
        whole = number == 0 or column in _WHOLE
        # Folded, not cut off with an ellipsis: a word broken over two lines can still be read.
        table.add_column(column, no_wrap=whole, overflow="fold")
        widest = max([len(column), *(row[number].cell_len for row in rows)])
        needed += 1 + (widest if whole else min(widest, _LEAST))
    drawn = console()
    drawn.width = max(drawn.width, needed)
    for cells in rows:
        table.add_row(*cells)
    drawn.print(table)


def _cell(value: Any) -> str:
    """Writes a value as a table tells it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
