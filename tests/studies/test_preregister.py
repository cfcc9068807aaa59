"""What a sweep is for is stored before it runs; what was changed after a look is said, wherever numbers are shown."""

import functools
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from assay._util.hashing import digest_of
from assay.core.record import AuditRow
from assay.core.target import Cost
from assay.engine import builtin
from assay.engine.base import Base
from assay.errors import InvalidInput
from assay.studies.costs import cost_table, keep_costs, kept_costs
from assay.studies.design import Design
from assay.studies.effects.planned import NO_PRIMARY, PlanDocument, Planned, changes
from assay.studies.effects.results import Summary
from assay.studies.forecast import forecast
from assay.studies.grades import Grading
from assay.studies.ledger import Ledger
from assay.studies.page.html import page
from assay.studies.page.terminal import terminal
from assay.studies.plan import Plan, make_plan
from assay.studies.preregister import look, looks_at, plan_document, planned
from assay.studies.study import load_study
from assay.testbeds.truths import find_truth

BEDS = ("flattery-td", "backdoor-td")
BED, OTHER = map(find_truth, BEDS)
GRADING = Grading.now()


@functools.cache
def plan_of(design: Design) -> Plan:
    """Planned once: names are looked up in files."""
    return make_plan(design)


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(builtin, "find_base", lambda name, say=None: Base(name, Path(), "digest"))
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))


@pytest.fixture
def design(tmp_path: Path) -> Design:
    return Design(kits=("chat", "chat+search"), out=tmp_path, testbeds=BEDS, seeds=(0,))


def stored(design: Design) -> tuple[str, str]:
    """Stores a design's plan as a sweep does before its first audit; id and digest."""
    plan = plan_of(design)
    document = plan_document(plan)
    with Ledger.open(design.ledger) as ledger:
        ledger.save_plan(plan.id, plan.cells, plan.auditor.title)
        ledger.save_document(plan.id, document.digest, document.model_dump(mode="json"))
    return plan.id, document.digest


def looked(design: Design, grader: str = "g") -> int:
    """Plays and grades all of a design's audits, and looks at them; how many looks the ledger counts then."""
    plan = plan_of(design)
    with Ledger.open(design.ledger) as ledger:
        for cell in plan.cells:
            fields = {"outcome": "none-submitted", "report": "", "cost": Cost(3, 10, 0)}
            ledger.record(AuditRow(cell.run_key, plan.id, cell.alias, cell.kit, "explorer@1", cell.seed, **fields))
        audits = ledger.audits(plan.run_keys)
        grades = [SimpleNamespace(run_key=row.run_key, grader=grader, tier="hit") for row in audits]
        look(ledger, plan.id, audits, grades, {alias: case.truth for alias, case in GRADING.cases.items()})
        return len(ledger.looks())


def told(design: Design) -> Planned:
    plan = plan_of(design)
    with Ledger.open(design.ledger) as ledger:
        found = planned(ledger, plan.id, set(plan.targets), plan_document(plan).digest)
    assert found is not None
    return found


def test_the_one_tool_is_primary_and_of_several_none(design: Design) -> None:
    one = plan_document(plan_of(design))
    assert (one.primary, one.tool, one.against) == ("chat+search", "search", ("chat",))
    with_placebo = plan_document(plan_of(replace(design, kits=(*design.kits, "chat+~search"))))
    assert with_placebo.against == ("chat", "placebo")
    several = replace(design, kits=(*design.kits, "chat+prefill"))
    assert plan_document(plan_of(several)).primary_told == NO_PRIMARY
    assert plan_document(plan_of(replace(several, primary="prefill+chat"))).primary == "chat+prefill"
    with pytest.raises(InvalidInput, match=r"primary: 'chat' .* may be: chat\+search"):
        plan_document(plan_of(replace(design, primary="chat")))


def test_a_plan_is_its_content_and_not_its_time(design: Design) -> None:
    document = plan_document(plan_of(design))
    assert document.digest == plan_document(plan_of(design)).digest == digest_of(document.model_dump(mode="json"))
    assert forecast(design).digest == document.digest and not design.ledger.exists()
    for other in (replace(design, seeds=(0, 1)), replace(design, testbeds=BEDS[:1]), replace(design, kits=("chat",))):
        assert plan_document(plan_of(other)).digest != document.digest


@pytest.mark.attacks
def test_kits_and_seeds_added_after_a_look_are_said(design: Design) -> None:
    stored(design)
    more = replace(design, kits=("chat", "chat+search", "chat+prefill"), seeds=(0, 1))
    stored(more)
    assert told(design).changed == told(more).changed == ""  # nobody has looked yet

    looked(design)
    later = replace(more, seeds=(0, 1, 2))
    stored(later)
    assert told(later).changed == "Plan changed after 1 look: seeds added: 2."
    looked(more)
    last = replace(design, kits=("chat", "chat+fuzz"))
    stored(last)
    assert told(last).changed == (
        "Plan changed after 2 looks: kits added: chat+fuzz; kits left out: chat+prefill, chat+search; "
        "seeds left out: 1, 2; primary comparison chat+fuzz in place of none."
    )
    assert told(design).changed == ""  # the first was planned before any look, and stays so


@pytest.mark.attacks
def test_another_primary_for_the_same_audits_is_said(design: Design) -> None:
    several = replace(design, kits=("chat", "chat+search", "chat+prefill"), primary="chat+search")
    stored(several)
    looked(several)
    stored(replace(several, primary="chat+prefill"))
    swapped = told(replace(several, primary="chat+prefill"))
    assert "primary comparison chat+prefill in place of chat+search" in swapped.changed
    # and the other way round: several were stored before a look, to choose from
    assert "other plans were stored, too: primary chat+prefill" in told(several).changed


def test_a_look_counts_once_and_a_new_grader_is_another(design: Design) -> None:
    assert [looked(design), looked(design), looked(design, "another grader")] == [1, 1, 2]


def test_looks_are_of_reported_testbeds(design: Design) -> None:
    tuned = next(case.truth for case in GRADING.cases.values() if case.truth.split == "tuning")
    assert looked(replace(design, testbeds=(tuned.id,), kits=("chat",))) == 0


def test_looks_at_other_testbeds_do_not_count(design: Design) -> None:
    looked(replace(design, testbeds=BEDS[:1]))
    with Ledger.open(design.ledger) as ledger:
        assert looks_at(ledger, "a plan", {BED.alias}) == 1 and looks_at(ledger, "a plan", {OTHER.alias}) == 0


def test_a_sweep_of_an_earlier_assay_counts_as_a_look_if_it_ran(design: Design) -> None:
    plan = plan_of(design)
    with Ledger.open(design.ledger) as ledger:
        ledger.save_plan(plan.id, plan.cells, plan.auditor.title)
        assert looks_at(ledger, "another plan", set(plan.targets)) == 0  # it was asked for, and nothing was made
        row = AuditRow(plan.run_keys[0], plan.id, BED.alias, "chat", "explorer@1", 0, "crashed", "", Cost(1, 1, 1))
        ledger.record(row)
        assert looks_at(ledger, "another plan", set(plan.targets)) == 1
        assert looks_at(ledger, plan.id, set(plan.targets)) == 0
        assert planned(ledger, plan.id, set(plan.targets)) is None


def test_a_study_reads_what_was_planned(design: Design) -> None:
    plan, digest = stored(design)
    summary = load_study(design.out, plan=plan).summary
    assert summary.planned is not None and summary.planned.digest == digest
    assert (summary.looks, summary.earlier_looks) == (0, 0)


def document(kit: str) -> Planned:
    made = PlanDocument(
        testbeds="t",
        kits=("chat", kit),
        auditor="a",
        seeds=(0,),
        budget=(1, 2, 3.0),
        engine="",
        primary=kit,
        tool="search",
        against=("chat",),
        test="t",
        alpha=0.05,
        families=8,
        smallest_shown=None,
    )
    changed = "Plan changed after 2 looks."
    return Planned(document=made, digest=made.digest, stored="2026-01-02T03:04:05", changed=changed)


def printed(summary: Summary, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(terminal(summary))
    return console.export_text()


def test_the_primary_comparison_is_titled_wherever_it_is_shown(rows: SimpleNamespace) -> None:
    sweep = rows.sweep({"chat": [0.0] * 8, "chat+prefill": [0.0] * 8, "chat+search": [1.0] * 8})
    summary = rows.summary(sweep, planned=document("chat+search"), looks=3, earlier_looks=2)
    assert [(effect.kit, effect.primary) for effect in summary.effects] == [
        ("chat+search", True),
        ("chat+prefill", False),
    ]
    written, shown = page(summary), printed(summary, 80)
    for text in (written, " ".join(shown.split())):
        assert "primary comparison, named before the first audit" in text and "secondary comparisons" in text
        assert "Plan changed after 2 looks." in text and "2 earlier looks at graded audits" in text
    assert summary.planned is not None and summary.planned.digest in written
    assert max(map(len, shown.splitlines())) <= 80
    plain = json.loads(summary.model_dump_json())
    assert plain["planned"]["document"]["primary"] == "chat+search" and plain["looks"] == 3

    unnamed = rows.summary(sweep)
    for text in (page(unnamed), " ".join(printed(unnamed, 200).split())):
        assert NO_PRIMARY in text and "secondary comparisons" not in text
    assert "None was stored before the first audit" in page(unnamed)


def test_changes_are_told_in_words() -> None:
    one = document("chat+search").document
    assert changes(one, one) == []
    other = one.model_copy(update={"budget": (1, 1, 1.0), "testbeds": "u", "engine": "vllm"})
    assert changes(one, other) == ["other testbeds", "other budget", "other engine"]


def test_a_forecast_knows_what_audits_cost_in_other_sweeps(design: Design, rows: SimpleNamespace) -> None:
    assert "not known here" in " ".join(forecast(design).lines())
    auditor = f"{plan_of(design).auditor.name}@{plan_of(design).auditor.version}"
    made = [replace(rows.audit(kit, "a"), auditor=auditor, seconds=30.0) for kit in design.kits]
    keep_costs(made)
    assert kept_costs() == cost_table(made)
    expected = forecast(design)
    assert (expected.queries, expected.tokens, expected.seconds) == (4 * 3, 4 * 1_000, 4 * 30.0)
    assert expected.queries_most == 4 * design.budget.queries
    assert "about 12 queries, 4,000 tokens, and 2 minutes" in " ".join(expected.lines())
