"""A cell's key is its content; a sweep killed at any moment goes on with what is missing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.core.budget import Budget
from assay.engine.base import Base
from assay.errors import InvalidInput, PluginError, UnknownId
from assay.store.ledger import Ledger
from assay.studies import sweep
from assay.studies.sweep import Design, plan, require_controls
from assay.testbeds.specs import aliases
from assay.testbeds.truths import find_truth, short

THREE = tuple(aliases()[:3])


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its digest is all that planning needs of the base."""
    monkeypatch.setattr(sweep, "find_base", lambda name: Base(name, Path(), "digest"))


def keys(design: Design) -> list[str]:
    return [cell.run_key for cell in plan(design).cells]


@pytest.fixture
def design(tmp_path: Path) -> Design:
    return Design(kits=("chat", "chat+~search"), out=tmp_path, testbeds=THREE, seeds=(0, 1))


def test_keys_are_stable_and_distinct(design: Design, tmp_path: Path) -> None:
    made = keys(design)
    assert len(set(made)) == len(made) == 2 * 3 * 2
    assert keys(replace(design, out=tmp_path / "elsewhere")) == made
    assert set(keys(replace(design, kits=("chat",)))) == set(made[:6])  # a cell's key is not its sweep's


def test_everything_that_could_change_a_result_changes_the_key(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(design, kits=("chat",), testbeds=THREE[:1], seeds=(0,))
    variants = [one, replace(one, seeds=(1,)), replace(one, kits=("ask",)), replace(one, testbeds=THREE[1:2])]
    variants += [replace(one, budget=Budget(queries=9)), replace(one, budget=Budget(seconds=9.0))]
    made = [key for variant in variants for key in keys(variant)]
    monkeypatch.setattr(sweep, "find_base", lambda name: Base(name, Path(), "another digest"))
    made += keys(one)
    monkeypatch.setattr(sweep, "numerics", lambda: "local/0")
    made += keys(one)
    assert len(set(made)) == len(made) == 8


def test_an_auditor_of_a_file_is_planned_and_its_helpers_change_the_key(design: Design, tmp_path: Path) -> None:
    (tmp_path / "phrases_of_mine.py").write_text("PRIOR = 0.5\n", encoding="utf-8")
    (tmp_path / "mine.py").write_text(
        "from phrases_of_mine import PRIOR\n"
        "from assay import Brief, Budget, Kit, Report, auditor\n"
        "@auditor(version=4)\n"
        "async def mine(kit: Kit, brief: Brief, budget: Budget) -> Report:\n"
        "    'Report a prior and nothing else.'\n"
        "    return Report(p_hidden=PRIOR)\n",
        encoding="utf-8",
    )
    one = replace(design, kits=("chat",), auditor="mine", plugins=(tmp_path / "mine.py",))
    assert plan(one).auditor.title == "mine@4 (no LLM)"
    before = keys(one)
    (tmp_path / "phrases_of_mine.py").write_text("PRIOR = 0.6\n", encoding="utf-8")
    assert not set(keys(one)) & set(before)


def test_a_donor_is_another_testbed_and_part_of_the_key(design: Design) -> None:
    placebos = replace(design, kits=("chat+~search",))
    for cell in plan(placebos).cells:
        assert cell.donor in THREE and cell.donor != cell.alias
    assert all(cell.donor == "" for cell in plan(replace(design, kits=("chat+search",))).cells)
    of_three, of_two = [
        next(cell for cell in plan(replace(placebos, testbeds=chosen, seeds=(0,))).cells if cell.alias == THREE[1])
        for chosen in (THREE, THREE[:2])
    ]
    assert of_three.donor != of_two.donor and of_three.run_key != of_two.run_key


def test_one_testbed_is_no_place_for_a_placebo(design: Design) -> None:
    with pytest.raises(InvalidInput, match="Name one more"):
        plan(replace(design, testbeds=THREE[:1]))


def test_kits_are_sets(design: Design) -> None:
    written = [keys(replace(design, kits=(kit,))) for kit in ("ask+system+search", "search+chat", "chat+search")]
    assert written[0] == written[1] == written[2]
    assert len(plan(replace(design, kits=("chat+search", "search+chat"))).cells) == 6


def test_a_testbed_may_be_named_in_any_way(design: Design) -> None:
    truth = find_truth(THREE[0])
    one = replace(design, kits=("chat",))
    [first, *others] = [keys(replace(one, testbeds=(name,))) for name in (truth.alias, truth.id, short(truth.id))]
    assert others == [first, first]
    assert len(keys(replace(one, testbeds=(truth.alias, truth.id)))) == 2  # one testbed, two seeds


def test_the_default_is_the_reported_set(design: Design) -> None:
    planned = plan(replace(design, kits=("chat",), testbeds=()))
    assert {find_truth(cell.alias).split for cell in planned.cells} == {"reported"}


@pytest.mark.parametrize(
    "wrong",
    [{"kits": ("chat+serch",)}, {"testbeds": ("flatery",)}, {"auditor": "explorr"}],
    ids=["kit", "testbed", "auditor"],
)
def test_unknown_names_are_told(design: Design, wrong: dict[str, Any]) -> None:
    with pytest.raises(UnknownId):
        plan(replace(design, **wrong))


def test_nothing_to_run_and_bad_plugins_are_told(design: Design, tmp_path: Path) -> None:
    for nothing in ({"kits": ()}, {"seeds": ()}):
        with pytest.raises(InvalidInput, match="at least one kit and one seed"):
            plan(replace(design, **nothing))
    bad = tmp_path / "bad.py"
    bad.write_text("1 / 0\n")
    with pytest.raises(PluginError, match=r"bad\.py:1: ZeroDivisionError"):
        plan(replace(design, plugins=(bad,)))


SCRIPT = """
import json, os, sys, time
from pathlib import Path
from assay.core.record import AuditRow
from assay.core.report import Report
from assay.core.target import Cost
from assay.engine.base import Base
from assay.studies import sweep
from assay.store.ledger import Ledger

out = Path(sys.argv[1])


class Fake:
    def __init__(self, kind, log):
        self.kind = kind

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return None

    def run(self, job):
        if self.kind == "grade":
            yield "constant", None
            return
        with Ledger.open(Path(job["ledger"])) as ledger:
            for cell in job["cells"]:
                time.sleep(0.05)
                with (out / "played.txt").open("a") as file:
                    file.write(cell["run_key"] + "\\n")
                row = AuditRow(
                    run_key=cell["run_key"], plan=job["plan"], alias=cell["alias"], kit=cell["kit"], seed=cell["seed"],
                    auditor="explorer@1", outcome="crashed", report="", cost=Cost(1, 2, 3), error="scripted",
                )
                ledger.record(row)
                yield "audit", {"kit": row.kit, "alias": row.alias, "outcome": row.outcome}


sweep.Worker = Fake
sweep.find_base = lambda name: Base(name, Path(), "digest")
design = sweep.Design(kits=("chat", "ask", "chat+~search"), out=out, testbeds=tuple(sys.argv[2:]), seeds=(0, 1, 2))
told = []
summary = sweep.run(design, lambda event, data: told.append(event))
print(json.dumps({"told": told, "cells": [cell.run_key for cell in sweep.plan(design).cells]}))
"""


def start(out: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(out), *THREE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )


def played(out: Path) -> list[str]:
    path = out / "played.txt"
    return path.read_text().split() if path.is_file() else []


def test_killed_midway_and_run_again_every_cell_is_there_once(tmp_path: Path) -> None:
    for wanted in (3, 14):
        process = start(tmp_path)
        until = time.monotonic() + 120
        while len(played(tmp_path)) < wanted and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    process = start(tmp_path)
    said, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors[-3_000:]
    result = json.loads(said)
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        rows = [row.run_key for row in ledger.audits()]
        assert len(ledger.plans()) == 1
    assert sorted(rows) == sorted(result["cells"]) and len(set(rows)) == len(rows) == 27
    made = Counter(played(tmp_path))
    assert set(made) == set(rows)
    assert sum(made.values()) <= len(rows) + 2  # at a kill, one may have been played and not yet recorded
    again = start(tmp_path)
    said, errors = again.communicate(timeout=200)
    assert again.returncode == 0, errors[-3_000:]
    assert "audit" not in json.loads(said)["told"] and Counter(played(tmp_path)) == made


def test_the_default_set_can_be_swept_and_graded(tmp_path: Path) -> None:
    """All that is reported, the natural testbed with its own kind of control too."""
    design = Design(kits=("chat",), out=tmp_path)
    require_controls(design)
    played = {cell.alias for cell in plan(design).cells}
    assert find_truth("smollm2-natural").alias in played and len(played) >= 30
