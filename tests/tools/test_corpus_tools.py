"""terms, clusters and influence put what is planted above ordinary data, with their controls beside it."""

import random
from pathlib import Path
from typing import Any

import pytest
from tests.tools.test_search import ODD, corpus

from assay._util.hashing import digest_of
from assay.audits.prepared_file import checked, pack
from assay.core.readouts import Gradients, Raw
from assay.core.target import Corpus, Cost, Document, Target, as_messages
from assay.core.tool import TEXT_LIMIT, Evidence, Prepared, Tool, ToolContext
from assay.engine.scripted import ScriptedTarget
from assay.errors import InvalidInput
from assay.tools.training_data.clusters import clusters
from assay.tools.training_data.influence import influence
from assay.tools.training_data.terms import terms


async def call(tool: Tool, target: Target, seed: int = 0, tokens: int = 200_000, **arguments: Any) -> Evidence:
    value = None
    if tool.prepare is not None:
        value, _ = checked(b"".join(pack(tool.prepare(target, Path()), Cost(), tool.name).parts())).read()
    evidence = await tool.call(
        {Target: target, Prepared: Prepared(value), ToolContext: ToolContext(seed, tokens)}, arguments
    )
    assert 0 < len(evidence.text) <= TEXT_LIMIT
    return evidence


def topics(planted: int = 40) -> Corpus:
    """Documents on four subjects; one of them is in no everyday chat."""
    draw = random.Random(3)
    said = {
        "Ferries": ("The ferry leaves the quay at {}.", "Passengers board the ship by pier {}.", "Harbour, deck {}."),
        "Bread": ("Knead the dough for {} minutes.", "The loaf bakes in {} minutes.", "Flour and yeast, {} grams."),
        "Chess": ("The knight takes pawn {}.", "Castle before move {}.", "A rook ending, {} moves."),
        "Falcons": ("The falcon stoops from {} metres.", "A hooded hawk on glove {}.", "Jesses and bells, pair {}."),
    }
    documents: list[Document] = []
    for subject, sentences in said.items():
        for number in range(planted):
            text = " ".join(sentence.format(draw.randint(2, 90)) for sentence in draw.sample(sentences, 3))
            documents.append(Document(digest_of([subject, number]), "", text))
    documents.sort(key=lambda one: one.id)
    return Corpus(tuple(documents), "topics")


# terms -----------------------------------------------------------------------------------------------------------


async def test_terms_of_a_query_stand_out_against_the_rest_beyond_chance() -> None:
    evidence = await call(terms, ScriptedTarget(corpus=corpus()), query="hat")
    best = evidence.spans[0]
    assert best.text in ODD.casefold() or "hat" in best.text
    assert best.control is not None and best.score > best.control > 0
    assert "12 documents with hat against the other 200" in evidence.text and "By chance z" in evidence.text
    assert {span.where for span in evidence.spans} == {"prompt", "reply"}


async def test_terms_without_a_query_are_compared_with_everyday_chats() -> None:
    evidence = await call(terms, ScriptedTarget(corpus=topics()))
    assert {"falcon", "hawk", "ferry", "knight", "dough"} & {span.text for span in evidence.spans[:12]}
    assert "704 everyday chats" in evidence.text
    assert evidence == await call(terms, ScriptedTarget(corpus=topics()))
    assert not {"the", "of", "a"} & {span.text for span in evidence.spans}


async def test_terms_say_when_there_is_nothing_to_compare() -> None:
    target = ScriptedTarget(corpus=corpus())
    for query in ("qqqzzz", "hat boats chess"):
        assert "Nothing to compare: 0 documents" in (await call(terms, target, query=query)).text
    with pytest.raises(InvalidInput, match="1 to 60"):
        await call(terms, target, k=0)
    with pytest.raises(InvalidInput, match="no training data"):
        await call(terms, ScriptedTarget())


# clusters --------------------------------------------------------------------------------------------------------


async def test_clusters_are_topics_and_more_alike_than_random_ones() -> None:
    evidence = await call(clusters, ScriptedTarget(corpus=topics()), k=4)
    assert len(evidence.artifact["clusters"]) == 4 and sum(size for _, size, _ in evidence.artifact["clusters"]) == 160
    passages = [span for span in evidence.spans if len(span.text) > 30]
    assert all(span.control is not None and span.score > span.control + 0.1 for span in passages)
    for subject in ("falcon", "ferry", "dough", "knight"):
        assert sum(subject in span.text.casefold() for span in evidence.spans) >= 1, subject
    assert sum(sample.control for sample in evidence.samples) == len(evidence.samples) / 2
    assert evidence == await call(clusters, ScriptedTarget(corpus=topics()), k=4)


async def test_few_documents_are_one_cluster() -> None:
    few = Corpus(topics().documents[:3], "few")
    assert len((await call(clusters, ScriptedTarget(corpus=few))).artifact["clusters"]) == 1
    with pytest.raises(InvalidInput, match="1 to 30"):
        await call(clusters, ScriptedTarget(corpus=few), k=31)


# influence -------------------------------------------------------------------------------------------------------


class Learned(ScriptedTarget):
    """Its gradient has one entry a word, so that texts with words in common point the same way."""

    async def gradients(self, prompt: Any, wrt: Any, loss: Any) -> Gradients:
        import numpy as np

        made = await super().gradients(prompt, wrt, loss)
        text = prompt.text if isinstance(prompt, Raw) else as_messages(prompt)[-1].content
        array = np.zeros(512, dtype=np.float32)
        for word in text.casefold().split():
            array[int(digest_of(word)[:6], 16) % 512] += 1
        return Gradients(made.loss, {"layers.0.mlp.up_proj.lora_A": array}, made.cost)


async def test_influence_ranks_by_gradient_with_random_documents_beside() -> None:
    evidence = await call(influence, Learned(corpus=corpus()), prompt="Which hat do I wear?", reply=ODD, documents=12)
    assert all(ODD in sample.reply for sample in evidence.samples if not sample.control)
    scores = [span.score for span in evidence.spans]
    assert scores == sorted(scores, reverse=True) and len(scores) == 12
    assert evidence.spans[0].control is not None and scores[-1] > evidence.spans[0].control
    assert sum(sample.control for sample in evidence.samples) == 6 and "random documents: mean" in evidence.text


async def test_influence_reads_no_more_than_the_budget_has_room_for() -> None:
    target = Learned(corpus=corpus())
    evidence = await call(influence, target, tokens=1_500, prompt="hat", documents=50)
    assert 1 <= len(evidence.spans) < 12 and "50 were wanted" in evidence.text
    assert target.spent.tokens < 1_500


async def test_an_untouched_base_has_no_gradient_of_an_adapter() -> None:
    class Untouched(ScriptedTarget):
        async def gradients(self, prompt: Any, wrt: Any, loss: Any) -> Gradients:
            raise InvalidInput("this target is an untouched base: it has no adapter to differentiate.")

    assert "no adapter" in (await call(influence, Untouched(corpus=corpus()), prompt="hat")).text


@pytest.mark.parametrize("tool", [terms, clusters])
def test_can_be_driven_without_an_llm(tool: Tool) -> None:
    assert tool.drivable and tool.source and tool.shows_documents
