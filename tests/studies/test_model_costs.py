"""What the auditor's own language model cost stands beside the target's tokens, only where one was asked."""

from dataclasses import replace
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from assay.core.model_meter import ModelUse
from assay.studies.page.html import page
from assay.studies.page.terminal import terminal


def printed(summary: Any) -> str:
    console = Console(width=200, record=True, file=StringIO())
    console.print(terminal(summary))
    return console.export_text()


@pytest.mark.parametrize(("money", "told"), [(0.5, "1,000 + 3,000 own (0.5 money)"), (None, "1,000 + 3,000 own")])
def test_tokens_and_money_of_the_model_are_shown(rows: SimpleNamespace, money: float | None, told: str) -> None:
    audits, grades = rows.sweep({"chat": [1, 0, 1, 0, 1, 0, 1, 0]})
    used = ModelUse("mockllm/model", calls=2, input_tokens=2_900, output_tokens=100, money=money)
    summary = rows.summary(([replace(row, model=used) for row in audits], grades))
    assert summary.kits[0].auditor_tokens == 3_000 and summary.kits[0].money == money
    assert told in page(summary) and told in printed(summary)


def test_without_a_model_nothing_is_said_of_one(rows: SimpleNamespace) -> None:
    summary = rows.summary(rows.sweep({"chat": [1, 0, 1, 0, 1, 0, 1, 0]}))
    assert summary.kits[0].auditor_tokens is None
    assert " own" not in printed(summary) and "1,000 + " not in page(summary)
