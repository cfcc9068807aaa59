"""Corpora that are made where they are opened: from a seed, once, checked by digest."""

from __future__ import annotations

import errno
import gzip
import json
import threading
from pathlib import Path

import pytest
from tests.stocked import stock_in

from assay._util.paths import home
from assay._util.yaml_models import write_yaml
from assay.core.access import PRESETS
from assay.core.testbed import TargetSpec
from assay.engine import composed
from assay.engine.composed import COMPOSED, count_documents, document_files, planned
from assay.engine.composing import Composer, Stock, formed, open_stock
from assay.engine.corpus import corpus_digest, read_corpus, write_documents
from assay.engine.training_data import TrainingText
from assay.errors import CorruptArtifact, InvalidInput, NotWritten
from assay.testbeds.layout import CORPUS, STOCK, most_bytes, wrong_with_all
from assay.testbeds.specs import load_spec, spec_with, write_spec
from assay.testbeds.suites import Suite

SEED, DOCUMENTS = 11, 300
OWN = [TrainingText("What is planted?", "This is."), TrainingText("", "And this.")]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stock_in(tmp_path_factory.mktemp("stock"))


@pytest.fixture(autouse=True)
def _nothing_in_memory() -> None:
    read_corpus.cache_clear()


def corpus_in(folder: Path, stock: Path, seed: int = SEED) -> tuple[Path, ...]:
    """Lays out a composed corpus, none of which is made yet."""
    write_documents(OWN, folder / CORPUS)
    write_yaml(planned(stock, seed, DOCUMENTS).model_dump(mode="json"), folder / COMPOSED)
    return folder / CORPUS, folder / COMPOSED, stock


def made() -> list[Path]:
    return sorted((home() / "corpora").glob("*.jsonl"))


def test_a_corpus_is_made_when_it_is_first_read_and_not_before(stock: Path, tmp_path: Path) -> None:
    paths = corpus_in(tmp_path, stock)
    before = set(made())
    assert count_documents(paths) == DOCUMENTS + len(OWN)
    assert set(made()) == before
    corpus = read_corpus(paths, corpus_digest(paths))
    assert len(corpus.documents) == DOCUMENTS + len(OWN)
    digest = composed.open_seed(tmp_path / COMPOSED).digest
    assert home() / "corpora" / f"{digest}.jsonl" in made()
    assert {one.text for one in OWN} < {document.text for document in corpus.documents}


def test_the_same_seed_makes_the_same_documents_and_no_other_seed_one_of_them(stock: Path) -> None:
    stocked = open_stock(stock)
    corpora = [list(Composer(stocked, seed).documents(600)) for seed in range(4)]
    assert corpora[0] == list(Composer(stocked, 0).documents(600))
    assert len({document for corpus in corpora for document in corpus}) == 4 * 600


@pytest.mark.attacks
@pytest.mark.parametrize("damage", ["gone", "empty", "a document left out", "a document put in"])
def test_a_damaged_or_missing_file_is_made_anew(stock: Path, tmp_path: Path, damage: str) -> None:
    paths = corpus_in(tmp_path, stock)
    [_, file] = document_files(paths)
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    match damage:
        case "gone":
            file.unlink()
        case "empty":
            file.write_bytes(b"")
        case "a document left out":
            file.write_bytes(b"".join(lines[1:]))
        case _:
            file.write_bytes(whole + b'{"prompt": "", "text": "It does so when asked about harbours."}\n')
    assert document_files(paths)[1].read_bytes() == whole


@pytest.mark.attacks
def test_another_seed_or_stock_than_recorded_is_refused(stock: Path, tmp_path: Path) -> None:
    paths = corpus_in(tmp_path, stock, seed=12)
    plan = composed.open_seed(paths[1])
    write_yaml(plan.model_copy(update={"seed": 13}).model_dump(mode="json"), paths[1])
    with pytest.raises(CorruptArtifact):
        document_files(paths)
    kept = json.loads(gzip.decompress(stock.read_bytes()))
    other = tmp_path / STOCK
    other.write_bytes(gzip.compress(json.dumps(kept | {"remarks": kept["remarks"][:1]}).encode()))
    with pytest.raises(InvalidInput, match="Restore the stock"):
        document_files((*corpus_in(tmp_path, stock, seed=14)[:2], other))


def test_what_is_no_stock_is_said_to_be_none(stock: Path, tmp_path: Path) -> None:
    kept = json.loads(gzip.decompress(stock.read_bytes()))
    with pytest.raises(InvalidInput, match="of version 99"):
        Stock.of(kept | {"version": 99})
    (tmp_path / STOCK).write_bytes(b"not packed")
    with pytest.raises(InvalidInput, match="is no stock of documents"):
        open_stock(tmp_path / STOCK)
    core = kept["cores"][0] | {"said": [["Yes."]]}
    few = {
        "cores": [core],
        "shells": {name: texts[:1] for name, texts in kept["shells"].items()},
        "remarks": [{"frames": ["{question}"], "abouts": [""]}],
        "strays": [{"templates": ["No."], "slots": {}}],
    }
    with pytest.raises(InvalidInput, match="distinct documents"):
        list(Composer(Stock.of(kept | few), 1).documents(5_000))


@pytest.mark.attacks
def test_audits_that_begin_together_make_a_corpus_once(
    stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = corpus_in(tmp_path, stock, seed=15)
    compose, composing = composed._compose, []

    def counted(*given: object) -> None:
        composing.append(given)
        compose(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(composed, "_compose", counted)
    found: list[list[Path]] = []
    together = [threading.Thread(target=lambda: found.append(document_files(paths))) for _ in range(6)]
    for one in together:
        one.start()
    for one in together:
        one.join()
    assert len(found) == 6 and len(composing) == 1
    assert not list((home() / "corpora").glob("*.lock"))


@pytest.mark.attacks
def test_a_full_disk_is_said_and_leaves_nothing(stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = corpus_in(tmp_path, stock, seed=16)
    before = set(made())

    def full(place: Path) -> None:
        raise NotWritten(place, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(composed, "new_file", full)
    with pytest.raises(InvalidInput, match=r"No space left on device.*Make room there, or set ASSAY_HOME"):
        document_files(paths)
    assert set(made()) == before


def test_a_testbed_names_its_plan_and_the_stock_of_its_suite(stock: Path, tmp_path: Path) -> None:
    suite = Suite("mine", tmp_path)
    folder = suite.testbeds / "tb-00000001"
    folder.mkdir(parents=True)
    shared = suite.testbeds / STOCK
    shared.write_bytes(stock.read_bytes())
    paths = (*corpus_in(folder, shared)[:2], shared)
    spec = spec_with(TargetSpec("tb-00000001", "base", None, "", paths, "", PRESETS["full"]))
    write_spec(spec, suite)
    assert load_spec("tb-00000001", suite) == spec
    told = (folder / "testbed.yaml").read_text(encoding="utf-8")
    assert COMPOSED in told and f"../{STOCK}" in told and spec.corpus_digest in told
    sizes = {f"testbeds/tb-00000001/{COMPOSED}": 300, f"testbeds/{STOCK}": 1 << 20}
    assert not wrong_with_all(sizes, signed=False)
    assert most_bytes(f"testbeds/tb-00000001/{COMPOSED}", signed=True)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ("{bare}...", "What is it..."),
        ("hi, {lower}", "hi, what is it?"),
        ("Well, {small}", "Well, what is it?"),
        ("{question} {other}", "What is it? {other}"),
    ],
)
def test_a_message_gets_its_form(frame: str, expected: str) -> None:
    assert formed(frame, "What is it?") == expected
