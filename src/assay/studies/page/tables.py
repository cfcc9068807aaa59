"""Draws tables in a terminal: they use the width there is, and never cut what identifies a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from assay._util.visible import visible

_GAP = 2  # cells between two columns
_NEEDED = 0  # rank of a column that is never left out


@dataclass(frozen=True, slots=True)
class Column:
    """Describes a column of a table.

    Attributes:
        name: its heading; may be wrapped at spaces, not at no-break ones.
        identifies: its cells are names, aligned left and broken only after a `+`.
        wraps: its cells may be wrapped between words.
        spare: where the table is too narrow even so, the column with the highest of these is left out first; 0 never.
    """

    name: str
    identifies: bool = False
    wraps: bool = False
    spare: int = _NEEDED


@dataclass(frozen=True, slots=True)
class Row:
    """Holds cells, one a column, as plain text; and the style of the whole row."""

    cells: Sequence[str]
    style: str = ""


@dataclass(frozen=True, slots=True)
class FittedTable:
    """Fits a table to a console of any width; rich prints it."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        kept = list(range(len(self.columns)))
        # Whole columns are left out before anything is cut: half a number is worse than none.
        while self._least(kept) > width and any(self.columns[index].spare for index in kept):
            kept.remove(max(kept, key=lambda index: self.columns[index].spare))
        # the box draws one cell of a gap, the padding the other
        title = Text(self.title) if self.title else None
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0))
        table.show_edge = table.pad_edge = False
        room = self._room(kept, width)
        widest = [max(map(len, [self.columns[index].name, *self._cells(index)])) for index in kept]
        roomy = sum(widest) + _GAP * (len(kept) - 1) <= width
        for index in kept:
            column = self.columns[index]
            left = column.identifies or column.wraps
            heading = column.name if roomy else column.name.replace(" ", "\n")
            table.add_column(Text(heading), justify="left" if left else "right", no_wrap=not column.wraps)
        for row in self.rows:
            cells = [_broken(visible(row.cells[index]), room.get(index, 0)) for index in kept]
            table.add_row(*(Text(cell) for cell in cells), style=row.style or None)
        yield table

    def _least(self, kept: Sequence[int]) -> int:
        """Computes the width below which a name or a number would be cut."""
        return sum(self._narrowest(index) + _GAP for index in kept) - _GAP

    def _narrowest(self, index: int) -> int:
        column = self.columns[index]
        unbroken = column.name.split(" ")
        for cell in self._cells(index):
            if column.identifies:
                unbroken += _parts(cell)
            else:
                unbroken += cell.split() if column.wraps else [cell]
        return max(map(len, unbroken))

    def _cells(self, index: int) -> list[str]:
        """Lists the cells of a column."""
        return [visible(row.cells[index]) for row in self.rows]

    def _room(self, kept: Sequence[int], width: int) -> dict[int, int]:
        """Gives each identifying column the width it needs, or an even share of what the others leave over."""
        names = [index for index in kept if self.columns[index].identifies]
        room = {index: self._narrowest(index) for index in names}
        spare = width - self._least(kept)
        for position, index in enumerate(names):
            wanted = max(map(len, self._cells(index)), default=0)
            given = min(max(0, wanted - room[index]), spare // (len(names) - position))
            room[index] += given
            spare -= given
        return room


def _parts(name: str) -> list[str]:
    """Splits a name after each `+`: `chat+search` → `chat+`, `search`."""
    *firsts, last = name.split("+")
    return [f"{first}+" for first in firsts] + [last]


def _broken(name: str, room: int) -> str:
    """Breaks a name after a `+` into as many lines as it needs; 0 stands for a cell that is no name."""
    if not room or len(name) <= room:
        return name
    lines = [""]
    for part in _parts(name):
        if lines[-1] and len(lines[-1]) + len(part) > room:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
