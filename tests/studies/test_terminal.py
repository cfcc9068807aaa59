"""Tables fit the console: no line too long, no name cut, no number on two lines."""

from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from assay.studies.page.tables import Column, FittedTable, Row
from assay.studies.page.terminal import terminal

LONG = {
    "prior-only": [0.0] * 8,
    "chat": [0, 1, 0, 0, 0, 0, 1, 0],
    "chat+search": [1, 1, 1, 0, 1, 1, 1, 1],
    "chat+~search": [0, 1, 0, 0, 0, 1, 0, 0],
    "chat+search+reference+training-data-attribution": [1.0] * 8,
    "chat+search+reference": [1, 1, 1, 1, 1, 1, 1, 0],
}


def printed(renderable: object, width: int) -> list[str]:
    console = Console(width=width, record=True, file=StringIO())
    console.print(renderable)
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_summary_fits(rows: SimpleNamespace, width: int) -> None:
    summary = rows.summary(rows.sweep(LONG, alarms=1))
    lines = printed(terminal(summary), width)
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    words = {word for line in lines for word in line.split()}
    for name in ("prior-only", "training-data-attribution", "placebo"):
        assert any(name in word for word in words), name
    for number in ("1,000", "0.031"):
        assert number in " ".join(lines), number


def test_the_effects_of_the_demo_take_one_line_each_in_80_columns(rows: SimpleNamespace) -> None:
    short = {name: hits for name, hits in LONG.items() if name.count("+") <= 1}
    lines = printed(terminal(rows.summary(rows.sweep(short))), 80)
    start = next(number for number, line in enumerate(lines) if line.startswith("what a tool adds"))
    told = [line for line in lines[start:] if line.startswith("search ")]
    assert len(told) == 2
    assert all(line.rstrip().endswith(("helps", "hurts", "not told apart")) for line in told)


def test_a_wide_console_shows_names_and_columns_in_full(rows: SimpleNamespace) -> None:
    text = "\n".join(printed(terminal(rows.summary(rows.sweep(LONG))), 200))
    assert "chat+search+reference+training-data-attribution" in text
    for heading in ("estimand", "p\N{NO-BREAK SPACE}corrected", "raw", "null", "tokens per\N{NO-BREAK SPACE}audit"):
        assert heading in text, heading


def test_what_can_be_spared_is_left_out_before_a_name_is_cut() -> None:
    columns = [Column("tool", identifies=True), Column("p", spare=1), Column("seconds", spare=2), Column("effect")]
    table = FittedTable("t", columns, [Row(["a-tool-with-a-name", "0.125", "1,000", "+12"])])
    wide, narrow, narrowest = ("\n".join(printed(table, width)) for width in (60, 36, 28))
    assert "seconds" in wide and "0.125" in wide
    assert "seconds" not in narrow and "0.125" in narrow
    assert "0.125" not in narrowest
    assert all("a-tool-with-a-name" in text and "+12" in text for text in (wide, narrow, narrowest))


def test_a_name_is_broken_after_its_sums() -> None:
    columns = [Column("kit", identifies=True), Column("success")]
    lines = printed(FittedTable("t", columns, [Row(["chat+search+reference", "12 %"])]), 24)
    assert [line.split()[0] for line in lines[-2:]] == ["chat+search+", "reference"]
    assert max(map(len, lines)) <= 24


def test_a_table_without_rows_has_its_headings() -> None:
    assert "kit" in "".join(printed(FittedTable("t", [Column("kit", identifies=True)], []), 20))
