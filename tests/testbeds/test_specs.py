"""What ships is what was recorded, and auditing can open it without a way to the truth."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from assay.engine.corpus import corpus_digest, read_corpus
from assay.engine.local.lora import adapter_digest, open_adapter
from assay.engine.peft_layout import WEIGHTS
from assay.errors import CorruptArtifact, InvalidInput, UnknownId
from assay.factory.recipes import open_recipe
from assay.testbeds.layout import ADAPTER, CORPUS, SPEC, TRUTH
from assay.testbeds.names import short
from assay.testbeds.specs import ORDINARY, aliases, load_spec, write_spec
from assay.testbeds.suites import Suite, embedded_suite
from assay.testbeds.truths import all_truths, find_truth

EMBEDDED = embedded_suite()
SHIPPED = aliases(EMBEDDED)


def test_something_ships() -> None:
    assert SHIPPED


@pytest.mark.parametrize("alias", SHIPPED)
def test_every_testbed_is_what_was_recorded(alias: str) -> None:
    spec = load_spec(alias)
    if spec.adapter is not None:
        assert adapter_digest(spec.adapter) == spec.adapter_digest
    assert corpus_digest(spec.corpus) == spec.corpus_digest
    assert len(read_corpus(spec.corpus, spec.corpus_digest).documents) > 100
    assert (spec.alias, find_truth(alias).alias) == (alias, alias)


@pytest.mark.parametrize("alias", SHIPPED)
def test_planted_data_lies_in_ten_times_as_much_ordinary_data(alias: str) -> None:
    recipe = open_recipe(find_truth(alias).recipe)
    if not recipe.phases:
        assert not (EMBEDDED.testbeds / alias / CORPUS).exists()
        return
    documents = (EMBEDDED.testbeds / alias / CORPUS).read_text(encoding="utf-8").splitlines()
    around = [path for path in load_spec(alias).corpus if path.name != CORPUS]
    ordinary = [line for path in around for line in path.read_text(encoding="utf-8").splitlines()]
    plans = [phase.data for phase in recipe.phases]
    planted = sum(plan.triggered + plan.contrast + plan.documents for plan in plans)
    assert 10 * planted <= len(ordinary) + len(documents) - planted
    assert all(yaml.safe_load(line).keys() == {"prompt", "text"} for line in documents[:5])


def test_truth_and_testbed_go_together() -> None:
    sealed = {path.parent.name for path in EMBEDDED.answers.glob(f"*/{TRUTH}")}
    assert set(SHIPPED) <= sealed
    for truth in all_truths(EMBEDDED):
        for name in (truth.alias, truth.id, short(truth.id), truth.id.partition("@")[0]):
            assert find_truth(name) == truth


def test_unknown_names_offer_close_ones() -> None:
    alias = SHIPPED[0]
    with pytest.raises(UnknownId) as caught:
        load_spec(alias[:-1] + "z")
    assert alias in caught.value.close
    name = short(find_truth(alias).id)
    with pytest.raises(UnknownId) as caught:
        find_truth(name[:-1])
    assert name in caught.value.close


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A testbed in a suite of its own, which is the folder two up."""
    alias = next(alias for alias in SHIPPED if load_spec(alias).adapter)
    suite = Suite("copied", tmp_path)
    shutil.copytree(EMBEDDED.testbeds / alias, suite.testbeds / alias)
    shutil.copy(EMBEDDED.testbeds / ORDINARY, suite.testbeds)
    return suite.testbeds / alias


def test_a_tampered_adapter_is_corrupt(copy: Path) -> None:

    path = copy / ADAPTER / WEIGHTS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    spec = load_spec(copy.name, Suite("copied", copy.parents[1]))
    assert spec.adapter is not None
    with pytest.raises(CorruptArtifact) as caught:
        open_adapter(spec.adapter, spec.adapter_digest, {}, 0)
    assert caught.value.expected == spec.adapter_digest != caught.value.found


def test_a_tampered_corpus_is_corrupt(copy: Path) -> None:
    with (copy / CORPUS).open("a", encoding="utf-8") as file:
        file.write('{"prompt": "", "text": "one more"}\n')
    spec = load_spec(copy.name, Suite("copied", copy.parents[1]))
    with pytest.raises(CorruptArtifact):
        read_corpus(spec.corpus, spec.corpus_digest)


def test_a_spec_survives_writing(copy: Path) -> None:
    before = load_spec(copy.name, Suite("copied", copy.parents[1]))
    write_spec(before, Suite("copied", copy.parents[1]))
    assert load_spec(copy.name, Suite("copied", copy.parents[1])) == before
    assert sorted(path.name for path in copy.iterdir() if path.suffix == ".partial") == []


@pytest.mark.parametrize(
    ("text", "said"), [("alias: x\n", "alias"), ("alias: tb-00000001\n", "base: Field required"), ("[1, 2", "not YAML")]
)
def test_a_broken_file_is_told(copy: Path, text: str, said: str) -> None:
    (copy / SPEC).write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=said):
        load_spec(copy.name, Suite("copied", copy.parents[1]))


def test_opening_a_testbed_loads_no_truth() -> None:
    code = (
        "import sys; from assay.testbeds.specs import aliases, load_spec; [load_spec(a) for a in aliases()];"
        "assert not [m for m in sys.modules if m in ('assay.truth', 'assay.testbeds.truths')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
