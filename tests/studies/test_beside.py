"""What findings foretell, and halves stated as such: summed up over families, and shown where there is any."""

from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from tests.studies.conftest import FAMILIES, audit, grade

from assay.studies.effects.beside import beside
from assay.studies.effects.scores import join
from assay.studies.page.html import page
from assay.studies.page.terminal import terminal

NAMES = tuple(FAMILIES)[:4]


def told(**foretold: Any) -> dict[str, Any]:
    return {"findings": [{"hit": False}], "swapped": {}, "foretold": {"auroc": 0.5, "null": 0.5} | foretold}


def graded(details: dict[str, dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    audits = [audit("chat", alias, findings=1) for alias in details]
    return audits, [grade("chat", alias, details=told) for alias, told in details.items()]


def test_beside_a_hit_by_hand() -> None:
    first, second, third, fourth = NAMES
    rows = join(
        *graded(
            {
                first: told(auroc=0.9, null=0.6, replies=48) | {"partial": {"raw": 1.0, "null": 0.25}},
                second: told(auroc=0.7, null=0.4, replies=48),
                third: told(),  # a report that foretold nothing
                fourth: told(ungradable="no sealed prompts"),
            }
        ),
        dict.fromkeys(NAMES, "organism"),
        FAMILIES,
    )
    found = beside(rows)
    assert found.predict == pytest.approx((0.9 + 0.7 + 0.5) / 3) and found.predict_null == pytest.approx(0.5)
    assert (found.predicted, found.unpredictable, found.said) == (2, 1, True)
    assert found.partial == 0.25 and found.partial_null == 0.0625
    assert beside([]).predict is None and not beside([]).said


def test_the_table_is_shown_where_something_was_foretold(rows: SimpleNamespace) -> None:
    audits, grades = rows.sweep({"chat": [0.0] * 8})
    bare = rows.summary((audits, grades))
    [first, *others] = [one for one in grades if one.role == "organism"]
    said = first.details | told(auroc=0.875, null=0.5, replies=48)
    summary = rows.summary((audits, [type(first)(**{**_fields(first), "details": said}), *others]))
    assert "foretells" in shown(summary) and "Beside hits" in page(summary)
    assert "foretells" not in shown(bare) and "Beside hits" not in page(bare)


def shown(summary: Any) -> str:
    console = Console(width=120, record=True, file=StringIO())
    console.print(terminal(summary))
    return console.export_text()


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}
