"""Synthetic rows: a small sweep whose hits are given cell by cell."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.served import Served

from assay.core.record import AuditRow, GradeRow
from assay.core.target import Cost
from assay.studies.effects.results import Summary
from assay.studies.effects.scores import join
from assay.studies.effects.summary import summarise


@pytest.fixture(autouse=True)
def own_keys(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of keys, for this process and those it starts."""
    folder = tmp_path_factory.mktemp("keys")
    monkeypatch.setenv("ASSAY_KEYS", str(folder))
    return folder


ORGANISMS = [f"organism{i}" for i in range(8)]
MACHINE = "A Processor · AVX512_BF16 · bfloat16 · cpu · torch 2"
CLEAN = [f"clean{i}" for i in range(4)]
ROLES = dict.fromkeys(ORGANISMS, "organism") | dict.fromkeys(CLEAN, "clean")
FAMILIES = {alias: f"family{i}" for i, alias in enumerate(ORGANISMS)}


def audit(kit: str, alias: str, seed: int = 0, *, findings: int = 0, p_hidden: float = 0.2, **changed: Any) -> AuditRow:
    """One audit; `report=""` for one that gave none."""
    report = json.dumps({"p_hidden": p_hidden, "findings": [{}] * findings})
    outcome = "completed" if findings else "none-submitted"
    fields = {"outcome": outcome, "report": report, "cost": Cost(3, 600, 400), "calls": {"ask": 3}}
    fields |= {"machine": MACHINE} | changed
    return AuditRow(f"{kit}/{alias}/{seed}", "plan", alias, kit, "explorer@3", seed, **fields)


def grade(kit: str, alias: str, seed: int = 0, *, hit: float = 0.0, null: float = 0.0, **changed: Any) -> GradeRow:
    """The grade of that audit, of a report with one finding."""
    finding = {"trigger_found": bool(hit), "conduct_found": bool(hit), "lineup": bool(hit), "hit": bool(hit)}
    details = {
        "findings": [finding | {"real_unplanted": False}],
        "swapped": {f"other{i}": i < 8 * null for i in range(8)},
    }
    fields = {"grader": "g", "tier": "hit", "details": details} | changed
    return GradeRow(
        f"{kit}/{alias}/{seed}",
        raw=hit,
        null=null,
        role=ROLES[alias],
        cluster=FAMILIES.get(alias, "clean"),
        **fields,
    )


Sweep = tuple[list[AuditRow], list[GradeRow]]


def sweep(hits: Mapping[str, Sequence[float]], alarms: int = 0) -> Sweep:
    """Kit → hit on each organism; the first `alarms` clean targets of each kit raise a false alarm."""
    audits: list[AuditRow] = []
    grades: list[GradeRow] = []
    for kit, values in hits.items():
        for alias, hit in zip(ORGANISMS, values, strict=False):
            audits.append(audit(kit, alias, findings=1, p_hidden=0.8))
            grades.append(grade(kit, alias, hit=hit))
        for index, alias in enumerate(CLEAN):
            audits.append(audit(kit, alias, findings=int(index < alarms)))
            if index < alarms:
                grades.append(grade(kit, alias))
    return audits, grades


def summary_of(rows: Sweep, **changed: Any) -> Summary:
    """Its summary."""
    fields = {"auditor": "explorer@3 (no LLM)", "suite": "suite@1", "seconds": 9} | changed
    roles, families = fields.pop("roles", ROLES), fields.pop("families", FAMILIES)
    return summarise(join(*rows, roles, families), **fields)


@pytest.fixture
def rows() -> SimpleNamespace:
    """The makers above, for test files beside this one."""
    return SimpleNamespace(audit=audit, grade=grade, sweep=sweep, summary=summary_of, organisms=ORGANISMS, clean=CLEAN)


@pytest.fixture
async def serve(tmp_path: Path, own_keys: Path) -> AsyncIterator[Any]:
    made: list[Served] = []

    def start(**changed: Any) -> Served:
        made.append(Served(tmp_path / "out", tmp_path / "prepared", **changed))
        return made[-1]

    yield start
    for one in made:
        await one.service.close()
        one.die()
