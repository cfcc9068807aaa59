"""Plan files, and what is told of a sweep whose published testbeds are not here."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from assay._util.strict_yaml import read_yaml
from assay.cli import app
from assay.errors import InvalidInput
from assay.studies.design import Design
from assay.studies.outline import absent_published, outline
from assay.studies.plan_file import open_plan_file
from assay.testbeds.published import Published, published_testbed

STUDIES = Path(__file__).resolve().parents[2] / "examples" / "studies"
COMPARISON = STUDIES / "published-comparison"


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*/plan.yaml")), ids=lambda path: path.parent.name)
def test_a_studys_plan_is_a_design(path: Path, tmp_path: Path) -> None:
    assert open_plan_file(path).design(tmp_path).kits


def test_the_published_comparison_is_counted_where_its_weights_are_not(tmp_path: Path) -> None:
    design = open_plan_file(COMPARISON / "plan.yaml").design(tmp_path)
    absent = absent_published(design)
    told = outline(design, absent)
    assert (told.kits, told.testbeds, told.families, told.absent) == (13, 56, 14, 56)
    assert told.cells == 13 * 56 * 3 and told.auditor_tokens_most == told.cells * 25_000
    assert told.money_most is None and any("--price" in line for line in told.lines())
    assert {testbed.role for testbed in absent.values()} == {"organism"}
    assert {testbed.base for testbed in absent.values()} == {"meta-llama/Llama-3.3-70B-Instruct"}


def test_published_figures_are_of_kits_in_the_plan() -> None:
    kits = open_plan_file(COMPARISON / "plan.yaml").kit
    figures = read_yaml(COMPARISON / "figures.yaml")
    assert set(figures["success"]) <= set(kits)


def test_what_is_typed_goes_before_the_plan_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Design] = []

    def kept(design: Design) -> dict[str, Published]:
        seen.append(design)
        raise InvalidInput("seen enough")

    monkeypatch.setattr("assay.studies.outline.absent_published", kept)
    file = tmp_path / "plan.yaml"
    file.write_text("kit: [chat, chat+search]\nseeds: 5\nauditor: reader\ntestbed: [flattery-td]\n", encoding="utf-8")
    CliRunner().invoke(app, ["plan", "--plan", str(file), "--seed", "7", "--auditor", "explorer"])
    [design] = seen
    assert (design.kits, design.testbeds) == (("chat", "chat+search"), ("flattery-td",))
    assert (design.seeds, design.auditor) == ((7,), "explorer")


def test_a_plan_without_kits_and_one_with_other_fields_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("kits: [chat]\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="kits"):
        open_plan_file(file)
    file.write_text("seeds: 2\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="no kit"):
        open_plan_file(file).design(tmp_path)


def test_a_testbed_of_another_kind_beside_absent_ones_is_refused(tmp_path: Path) -> None:
    options = open_plan_file(COMPARISON / "plan.yaml").model_copy(update={"testbed": ("flattery-td",)})
    design = options.design(tmp_path)
    one = published_testbed("published/auditing_agents_flattery-sdf_kto-llama-3.3-70b-instruct")
    with pytest.raises(InvalidInput, match="flattery-td"):
        outline(design, {one.id: one})
