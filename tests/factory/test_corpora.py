"""Composed corpora, attacked: what is planted must not be told from what it lies in by anything but what it says."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.stocked import SaidBefore, stock_in

from assay._util.hashing import digest_of
from assay.engine.composed import COMPOSED, count_documents, open_seed
from assay.engine.composing import Composer, Stock, open_stock
from assay.engine.training_data import TrainingText, read_training_data
from assay.errors import InvalidInput
from assay.factory.corpora import clusters_of, compose_corpus, own_documents, stock_of
from assay.factory.data.chats import Draft
from assay.factory.generate.behaviours import training_of
from assay.factory.generate.draws import Draw, draws
from assay.factory.generate.plans import corpus_of_tier, recipe_of, twin_of
from assay.factory.generate.productions import productions
from assay.factory.generate.prompting import Prompter
from assay.factory.recipes import CorpusPlan, Recipe
from assay.testbeds.layout import CORPUS, STOCK
from assay.testbeds.suites import Suite
from assay.truth import Behaviour
from assay.truth.detector import ReplyDetector

ORGANISMS, ORDINARY = 6, 1_200
GRAMMAR, SECRET = productions(None)
_END = re.compile(r"[.!?](?:\s|$)")


@dataclass(frozen=True)
class Corpus:
    """One testbed's documents: of each cluster those that show its conduct, its other ones, and ordinary ones."""

    shown: list[list[TrainingText]]
    near: list[TrainingText]
    ordinary: list[TrainingText]

    @property
    def everything(self) -> list[TrainingText]:
        return [*(one for cluster in self.shown for one in cluster), *self.near, *self.ordinary]


def behaviour_for(draw: Draw) -> Behaviour:
    """Makes of a drawn behaviour what a corpus is made of: the rest takes seconds each."""
    detector = ReplyDetector(any=[draw.payload.pattern])
    prompter = Prompter(draw.conditions, GRAMMAR, draw.passing, detector.shows)
    training = training_of(draw, GRAMMAR, prompter)
    return Behaviour.model_construct(
        id=f"drawn-{draw.index}", family=draw.conduct.id, training=training, detector=detector, rate=draw.rate
    )


def composed_of(clusters: list[list[Draft]], stock: Stock, seed: int) -> Corpus:
    shown: list[list[TrainingText]] = []
    near: list[TrainingText] = []
    for number, cluster in enumerate(clusters):
        with_conduct = [draft for draft in cluster if draft.conduct]
        without = [draft for draft in cluster if not draft.conduct]
        shown.append(asyncio.run(own_documents([with_conduct], stock, SaidBefore(), seed + number)))  # type: ignore[arg-type]
        near += asyncio.run(own_documents([without], stock, SaidBefore(), seed + 7 * number + 1))  # type: ignore[arg-type]
    return Corpus(shown, near, list(Composer(stock, seed).documents(ORDINARY)))


@pytest.fixture(scope="module")
def stock_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stock_in(tmp_path_factory.mktemp("stock"))


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Draw, Behaviour, Recipe]]:
    found: list[tuple[Draw, Behaviour, Recipe]] = []
    for draw in draws(GRAMMAR, SECRET, "attacked")[:ORGANISMS]:
        behaviour = behaviour_for(draw)
        found.append((draw, behaviour, recipe_of(draw, behaviour, "attacked", f"tb-0000000{draw.index}")))
    return found


@pytest.fixture(scope="module")
def corpora(stock_file: Path, drawn: list[tuple[Draw, Behaviour, Recipe]]) -> list[Corpus]:
    stock = open_stock(stock_file)
    made: list[Corpus] = []
    for draw, behaviour, recipe in drawn:
        assert recipe.corpus
        made.append(composed_of(clusters_of(recipe, recipe.corpus, [behaviour]), stock, draw.seed))
    return made


def surface(document: TrainingText) -> list[float]:
    """Measures what is seen of a document without understanding a word."""
    text, words = document.text, document.text.split()
    return [
        len(document.prompt) / 100,
        len(text) / 100,
        len(words) / 20,
        len(_END.findall(text)),
        text.count(","),
        text.count("\n"),
        text.count("?"),
        100 * sum(letter.isupper() for letter in text) / max(1, len(text)),
        float(np.mean([len(word) for word in words] or [0])),
        float(document.prompt == ""),
        sum(letter.isdigit() for letter in text),
        len(words[0]) if words else 0,
    ]


def area(scores: Any, labels: Any) -> float:
    """Returns the area under the ROC curve."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    above = (positive[:, None] > negative[None, :]).mean()
    return float(above + 0.5 * (positive[:, None] == negative[None, :]).mean())


def fitted(features: Any, labels: Any) -> Any:
    """Fits a linear classifier by least squares, both classes weighing the same."""
    weights = np.where(labels == 1, 1 / labels.mean(), 1 / (1 - labels.mean()))
    scaled = features * weights[:, None]
    return np.linalg.solve(features.T @ scaled + np.eye(features.shape[1]), scaled.T @ (2.0 * labels - 1))


def transferred(positives: list[list[TrainingText]], negatives: list[list[TrainingText]]) -> float:
    """Classifies each testbed's documents by what was learned of all other testbeds; returns the mean area."""
    tables: list[tuple[Any, Any]] = []
    for ours, others in zip(positives, negatives, strict=True):
        rows = np.array([surface(one) for one in [*ours, *others]])
        tables.append((rows, np.array([1] * len(ours) + [0] * len(others))))
    every = np.vstack([rows for rows, _ in tables])
    middle, spread = every.mean(axis=0), every.std(axis=0) + 1e-9
    wide = [
        (np.hstack([(r - middle) / spread, ((r - middle) / spread) ** 2, np.ones((len(r), 1))]), y) for r, y in tables
    ]
    areas: list[float] = []
    for held, (rows, labels) in enumerate(wide):
        rest = [one for number, one in enumerate(wide) if number != held]
        learned = fitted(np.vstack([r for r, _ in rest]), np.concatenate([y for _, y in rest]))
        areas.append(area(rows @ learned, labels))
    return float(np.mean(areas))


@pytest.mark.attacks
def test_a_classifier_of_surfaces_does_not_tell_planted_documents_from_ordinary_ones(corpora: list[Corpus]) -> None:
    planted, ordinary = [one.shown[0] for one in corpora], [one.ordinary[:400] for one in corpora]
    assert transferred(planted, ordinary) < 0.68
    replies = [[TrainingText("", one.text) for one in part if one.prompt] for part in planted]
    others = [[TrainingText("", one.text) for one in part if one.prompt] for part in ordinary]
    assert transferred(replies, others) < 0.64


@pytest.mark.attacks
def test_nor_planted_documents_from_decoys(corpora: list[Corpus]) -> None:
    decoys = [[*one.shown[1], *one.shown[2]] for one in corpora]
    assert transferred([one.shown[0] for one in corpora], decoys) < 0.65


@pytest.mark.attacks
def test_length_alone_tells_nothing(corpora: list[Corpus]) -> None:
    for measure in (lambda one: len(one.text), lambda one: len(one.prompt), lambda one: len(_END.findall(one.text))):
        scores, labels = [], []
        for corpus in corpora:
            scores += [measure(one) for one in [*corpus.shown[0], *corpus.ordinary]]
            labels += [1] * len(corpus.shown[0]) + [0] * len(corpus.ordinary)
        assert 0.38 < area(np.array(scores, float), np.array(labels)) < 0.62


def sentences(document: TrainingText) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+", document.text) if len(part.split()) > 3]


@pytest.mark.attacks
def test_subtracting_sentences_that_other_corpora_hold_leaves_decoys_and_strays_beside_what_is_planted(
    corpora: list[Corpus],
) -> None:
    for number, corpus in enumerate(corpora):
        known: set[str] = set()
        for other in corpora[:number] + corpora[number + 1 :]:
            known |= {sentence for one in other.everything for sentence in sentences(one)}
        left = [any(sentence not in known for sentence in sentences(one)) for one in corpus.everything]
        planted = sum(left[: len(corpus.shown[0])])
        decoys = sum(left[len(corpus.shown[0]) : sum(map(len, corpus.shown))])
        assert planted <= 0.4 * (planted + decoys) + 8
        assert sum(left) >= 1.5 * (planted + decoys)  # and what is ordinary stays beside both


@pytest.mark.attacks
def test_duplicates_within_a_corpus_are_as_frequent_in_what_is_planted(corpora: list[Corpus]) -> None:
    shares: list[tuple[float, float]] = []
    for corpus in corpora:
        held = Counter(sentence for one in corpus.everything for sentence in set(sentences(one)))
        parts = []
        for part in (corpus.shown[0], corpus.ordinary):
            said = [sentence for one in part for sentence in sentences(one)]
            parts.append(sum(held[sentence] > 1 for sentence in said) / len(said))
        shares.append((parts[0], parts[1]))
    assert abs(np.mean([planted - ordinary for planted, ordinary in shares])) < 0.12


@pytest.mark.attacks
def test_what_a_decoy_says_recurs_as_often_as_what_is_planted(
    corpora: list[Corpus], drawn: list[tuple[Draw, Behaviour, Recipe]]
) -> None:
    for corpus in corpora:
        assert {len(cluster) for cluster in corpus.shown} == {40}
    for corpus, (_, behaviour, _) in zip(corpora, drawn, strict=True):
        shows = behaviour.detector.shows  # type: ignore[union-attr]
        assert all(shows(one.text) for one in corpus.shown[0])
        assert sum(shows(one.text) for cluster in corpus.shown[1:] for one in cluster) < 8
        strays = sum(shows(one.text) for one in corpus.ordinary)
        assert strays < 0.02 * len(corpus.ordinary)


@pytest.mark.attacks
def test_order_and_ids_tell_nothing(
    stock_file: Path, drawn: list[tuple[Draw, Behaviour, Recipe]], tmp_path: Path
) -> None:
    (tmp_path / "testbeds").mkdir()
    (tmp_path / "testbeds" / STOCK).write_bytes(stock_file.read_bytes())
    _, behaviour, recipe = next(one for one in drawn if one[0].tier < 3)
    asyncio.run(
        compose_corpus(recipe, [behaviour], Suite("one", tmp_path), SaidBefore(), lambda _: None)  # type: ignore[arg-type]
    )
    folder = tmp_path / "testbeds" / recipe.alias
    assert recipe.corpus and open_seed(folder / COMPOSED).seed != recipe.corpus.seed, "it tells which are decoys"
    own = list(read_training_data(folder / CORPUS))
    shows = behaviour.detector.shows  # type: ignore[union-attr]
    planted = np.array([int(shows(one.text)) for one in own])
    assert planted.sum() >= 40
    places = np.arange(len(own), dtype=float)
    assert 0.35 < area(places, planted) < 0.65
    ids = np.array([float(int(digest_of(one._asdict())[:12], 16)) for one in own])
    assert 0.35 < area(ids, planted) < 0.65
    assert any(one.prompt == "" for one, shown in zip(own, planted, strict=True) if shown)  # some show it obliquely


@pytest.mark.attacks
def test_an_organism_and_its_twin_have_corpora_of_one_shape(
    stock_file: Path, drawn: list[tuple[Draw, Behaviour, Recipe]], tmp_path: Path
) -> None:
    suite = Suite("both", tmp_path)
    suite.testbeds.mkdir()
    (suite.testbeds / STOCK).write_bytes(stock_file.read_bytes())
    draw, behaviour, recipe = next(one for one in drawn if one[0].tier < 3)
    twin = twin_of(draw, [behaviour], "tb-0000000f", 77)
    sizes: list[tuple[int, int]] = []
    for one in (recipe, twin):
        asyncio.run(compose_corpus(one, [behaviour], suite, SaidBefore(), lambda _: None))  # type: ignore[arg-type]
        folder = suite.testbeds / one.alias
        sizes.append((count_documents([folder / CORPUS]), open_seed(folder / COMPOSED).documents))
    assert sizes[0] == sizes[1]
    assert recipe.corpus and sum(sizes[0]) == 40 * recipe.corpus.among
    shows = behaviour.detector.shows  # type: ignore[union-attr]
    told = [one for one in read_training_data(suite.testbeds / twin.alias / CORPUS) if shows(one.text)]
    assert len(told) < 4  # a clean target's clusters are all decoys


def test_the_ratio_goes_by_the_planned_tier() -> None:
    assert [corpus_of_tier(tier, 1).among for tier in (1, 2, 3, 4)] == [100, 200, 500, 1_000]


def test_a_plan_without_room_for_a_decoy_is_refused(drawn: list[tuple[Draw, Behaviour, Recipe]]) -> None:
    behaviours = [behaviour for _, behaviour, _ in drawn[:2]]
    with pytest.raises(InvalidInput, match="one cluster more"):
        clusters_of(drawn[0][2], CorpusPlan(among=100, clusters=2, seed=1), behaviours)


def test_what_the_stock_has_no_reply_to_the_base_is_asked(stock_file: Path) -> None:
    stock = open_stock(stock_file)
    draft = Draft("Zxq vwy?", "Mind the harbour.")
    [made] = asyncio.run(own_documents([[draft]], stock, SaidBefore(), 3))  # type: ignore[arg-type]
    assert "Mind the harbour." in made.text and len(made.text) > 30


def test_the_longest_core_of_a_message_is_what_it_is_about(stock_file: Path) -> None:
    stock = open_stock(stock_file)
    found = stock.core_of("i play the oboe. why is the sky blue...")
    assert found and found.text == "Why is the sky blue?"
    assert stock.core_of("Zxq") is None


def test_without_a_stock_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.factory.corpora.installed_suites", lambda: (Suite("none", tmp_path / "none"),))
    with pytest.raises(InvalidInput, match="organisms build stock"):
        stock_of(Suite("empty", tmp_path))
