"""Whatever comes in, what comes out is a value or an error of ours. The cases are counted: see the captured output."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.parsers.entrances import ENTRANCES, Entrance
from tests.parsers.inputs import files, names, words

from assay.errors import AssayError
from assay.studies import regrade
from assay.testbeds import importing

pytestmark = pytest.mark.attacks


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty `ASSAY_HOME`; no weights are read, and nothing is graded."""
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(importing, "require_reads", lambda spec: None)
    monkeypatch.setattr(regrade, "grade_reports", lambda *_: [])


@pytest.mark.parametrize("entrance", ENTRANCES, ids=lambda entrance: entrance.name)
def test_only_errors_of_ours_come_out(entrance: Entrance, tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    inputs = files(entrance.valid)
    if isinstance(entrance.valid, tuple):
        inputs = names(entrance.valid) if entrance.short else words(entrance.valid)

    @settings(
        max_examples=entrance.cases,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def attack(given_input: Any) -> None:
        try:
            entrance.read(tmp_path, given_input)
        except AssayError as error:
            assert str(error).strip()
            seen["refused"] += 1
        else:
            seen["read"] += 1

    attack()
    print(f"{entrance.name}: {seen.total()} cases, {seen['read']} read, {seen['refused']} refused")
    assert seen.total() >= entrance.cases // 2
