"""A cell's key is its content; a job holds all that an audit process needs, and nothing that names a testbed."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import assay
from assay.audits.cell import Job
from assay.cli import app
from assay.core.budget import Budget
from assay.engine import builtin
from assay.engine.base import Base
from assay.errors import InvalidInput, PluginError, UnknownId
from assay.studies import plan
from assay.studies.design import Design
from assay.studies.forecast import forecast
from assay.studies.plan import make_plan, require_controls
from assay.testbeds.names import short
from assay.testbeds.specs import aliases, load_spec
from assay.testbeds.truths import all_truths, find_truth

THREE = tuple(aliases()[:3])
# Those that a placebo is possible for: what is tuned on has few testbeds, all with one twin.
PLACEBO = sorted(truth.alias for truth in all_truths() if truth.split == "reported")


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its digest is all that planning needs of the base."""
    monkeypatch.setattr(builtin, "find_base", lambda name, say=None: Base(name, Path(), "digest"))


def keys(design: Design) -> list[str]:
    return [cell.run_key for cell in make_plan(design).cells]


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
    monkeypatch.setattr(builtin, "find_base", lambda name, say=None: Base(name, Path(), "another digest"))
    made += keys(one)
    monkeypatch.setattr(builtin, "numerics", lambda: "local/0")
    made += keys(one)
    assert len(set(made)) == len(made) == 8


def test_a_donor_is_in_the_key_and_the_same_in_every_sweep(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    placebos = replace(design, kits=("chat+~search",), seeds=(0,))
    made = make_plan(placebos).cells
    assert all(cell.donor and cell.donor != cell.alias for cell in made)
    assert all(cell.donor == "" for cell in make_plan(replace(design, kits=("chat+search",))).cells)
    [alone] = make_plan(replace(placebos, testbeds=THREE[1:2])).cells
    assert alone == next(cell for cell in made if cell.alias == THREE[1])
    another = next(alias for alias in aliases() if alias not in (alone.donor, alone.alias))
    monkeypatch.setattr(plan, "donor_of", lambda spec, cases: load_spec(another))
    [changed] = make_plan(replace(placebos, testbeds=THREE[1:2])).cells
    assert changed.run_key != alone.run_key


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
    assert make_plan(one).auditor.title == "mine@4 (no LLM)"
    before = keys(one)
    (tmp_path / "phrases_of_mine.py").write_text("PRIOR = 0.6\n", encoding="utf-8")
    assert not set(keys(one)) & set(before)


def test_kits_are_sets(design: Design) -> None:
    written = [keys(replace(design, kits=(kit,))) for kit in ("ask+system+search", "search+chat", "chat+search")]
    assert written[0] == written[1] == written[2]
    assert len(make_plan(replace(design, kits=("chat+search", "search+chat"))).cells) == 6


def test_a_testbed_may_be_named_in_any_way(design: Design) -> None:
    truth = find_truth(THREE[0])
    one = replace(design, kits=("chat",))
    [first, *others] = [keys(replace(one, testbeds=(name,))) for name in (truth.alias, truth.id, short(truth.id))]
    assert others == [first, first]
    assert len(keys(replace(one, testbeds=(truth.alias, truth.id)))) == 2  # one testbed, two seeds


def test_the_default_is_the_reported_set(design: Design) -> None:
    planned = make_plan(replace(design, kits=("chat",), testbeds=()))
    assert {find_truth(cell.alias).split for cell in planned.cells} == {"reported"}


@pytest.mark.parametrize(
    "wrong",
    [{"kits": ("chat+serch",)}, {"testbeds": ("flatery",)}, {"auditor": "explorr"}],
    ids=["kit", "testbed", "auditor"],
)
def test_unknown_names_are_told(design: Design, wrong: dict[str, Any]) -> None:
    with pytest.raises(UnknownId):
        make_plan(replace(design, **wrong))


def test_nothing_to_run_and_bad_plugins_are_told(design: Design, tmp_path: Path) -> None:
    for nothing in ({"kits": ()}, {"seeds": ()}):
        with pytest.raises(InvalidInput, match="at least one kit and one seed"):
            make_plan(replace(design, **nothing))
    bad = tmp_path / "bad.py"
    bad.write_text("1 / 0\n")
    with pytest.raises(PluginError, match=r"bad\.py:1: ZeroDivisionError"):
        make_plan(replace(design, plugins=(bad,)))


def test_the_default_set_can_be_swept_and_graded(tmp_path: Path) -> None:
    """All that is reported, the natural testbed with its own kind of control too."""
    design = Design(kits=("chat",), out=tmp_path, seeds=(0,))
    planned = make_plan(design)
    require_controls(planned)
    played = set(planned.targets)
    assert find_truth("smollm2-natural").alias in played and len(played) >= 30


def test_a_sweep_that_could_not_be_graded_is_refused(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = make_plan(replace(design, kits=("chat",), testbeds=("flattery-td",)))
    monkeypatch.setattr(plan, "aliases", list)
    with pytest.raises(InvalidInput, match=r"without a control .* embedded/flattery-td@"):
        require_controls(planned)


def test_a_job_is_complete_and_names_no_testbed(design: Design) -> None:
    """Targets and donors travel whole; readable ids, families and behaviours do not."""
    planned = make_plan(replace(design, kits=("all", "chat+~search"), testbeds=tuple(PLACEBO)))
    sent = planned.job(planned.cells).model_dump_json().replace(str(design.out), "")
    job = Job.model_validate_json(sent)
    assert job.targets == {alias: load_spec(alias) for alias in PLACEBO}
    assert {cell.donor for cell in job.cells if cell.donor} <= job.targets.keys()
    secrets = set[str]()
    for truth in all_truths():
        secrets |= {
            truth.id,
            truth.id.partition("@")[0],
            short(truth.id),
            truth.recipe,
            truth.family,
            *truth.behaviours,
        }
    plain = {"clean", "untouched", "natural", ""}
    assert len(secrets) > 50 and [secret for secret in secrets - plain if secret in sent] == []
    one = next(cell for cell in planned.stages["chat+~search"] if cell.alias == THREE[0])
    assert set(planned.job([one]).targets) == {one.alias, one.donor}


def test_what_a_sweep_would_be_is_said_before_it_is_run(design: Design) -> None:
    told = forecast(design)
    planned = make_plan(design)
    organisms = [alias for alias in THREE if alias in planned.grading.families]
    assert (told.plan, told.cells, told.done, told.kits, told.testbeds) == (planned.id, 12, 0, 2, 3)
    assert told.families == len({planned.grading.families[alias] for alias in organisms})
    assert (told.tools, told.placebos, told.smallest_shown) == (0, False, None)  # chat and a placebo: nothing is added
    assert told.tokens_most == 12 * design.budget.tokens and told.tokens is None
    assert any("add a kit" in line for line in told.lines())
    assert not design.ledger.exists()  # nothing is made


def test_the_power_of_a_sweep_is_said_before_it_is_run(design: Design) -> None:
    told = forecast(replace(design, kits=("chat", "chat+search"), testbeds=(), seeds=(0,)))
    assert told.smallest_shown is not None and 0.1 < told.smallest_shown < 0.6
    assert told.change is not None and told.change <= told.families
    assert any(f"{told.change} families would have to change" in line for line in told.lines())


def test_a_sweep_has_three_seeds_if_none_are_named(tmp_path: Path) -> None:
    assert Design(kits=("chat",), out=tmp_path).seeds == (0, 1, 2)
    assert inspect.signature(assay.sweep).parameters["seeds"].default == 3
    for command in ("sweep", "plan"):
        shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert "seeds 0, 1, … [default: 3]" in " ".join(shown.output.replace("│", " ").split())


def test_the_demo_has_one_seed_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def sweep(**arguments: Any) -> None:
        asked.update(arguments)
        raise InvalidInput("enough is seen")

    monkeypatch.setattr("assay.studies.api.sweep", sweep)
    said = CliRunner().invoke(app, ["demo"])
    assert asked["seeds"] == 1 and "one seed of each audit" in said.stderr
