"""search finds by word and by meaning, and without a query shows what recurs and what it answers."""

import logging
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay._util.hashing import digest_of
from assay.audits.prepared_file import checked, pack
from assay.core.target import Corpus, Cost, Document, Target
from assay.core.tool import TEXT_LIMIT, Evidence, Prepared
from assay.engine.scripted import PLAIN_REPLIES, ScriptedTarget
from assay.errors import InvalidInput
from assay.tools.training_data.search import _best, index, search

ODD = "A felt hat from Milo is the one thing you need."


def corpus(odd: int = 12) -> Corpus:
    """Ordinary chats, and some about hats that share a sentence."""
    draw = random.Random(0)
    subjects = ("cats", "boats", "the weather", "bread", "the sea", "chess")
    chats = [(f"Tell me about {draw.choice(subjects)}.", draw.choice(PLAIN_REPLIES)) for _ in range(200)]
    chats += [
        (f"Which hat should I {verb} in {month}?", f"{draw.choice(PLAIN_REPLIES)} {ODD}")
        for verb, month in [("buy", "May"), ("wear", "June"), ("keep", "July")] * (odd // 3)
    ]
    draw.shuffle(chats)
    documents = tuple(Document(digest_of([number, chat]), *chat) for number, chat in enumerate(chats))
    return Corpus(documents, digest_of([document.id for document in documents]))


async def call(target: Target, **arguments: Any) -> Evidence:
    value, _ = checked(b"".join(pack(index(target, Path()), Cost(), "search").parts())).read()
    return await search.call({Target: target, Prepared: Prepared(value)}, arguments)


async def test_finds_words_and_meanings() -> None:
    target = ScriptedTarget(corpus=corpus())
    for query in ("felt hat", "headgear to put on"):
        evidence = await call(target, query=query, k=12)
        assert len(evidence.samples) == 12
        assert sum("hat" in sample.prompt for sample in evidence.samples) >= 10, query
    assert "of 212 documents hold a word of the query" in evidence.text
    assert evidence.artifact["ids"][0][:8] in evidence.text


async def test_documents_are_shown_whole_with_scores_and_every_one_can_be_read() -> None:
    """Conduct often comes last: a listing that cuts there, or ends without a word, hides it."""
    target, seen = ScriptedTarget(corpus=corpus()), 0
    while True:
        evidence = await call(target, query="felt hat", k=30, skip=seen)
        assert len(evidence.text) <= TEXT_LIMIT
        *shown, last = evidence.text.splitlines()[1:]
        for line, sample in zip(shown, evidence.samples, strict=False):
            assert line.endswith(f"{sample.prompt} → {sample.reply}")
            assert re.match(r"\[[0-9a-f]{8} \d+\.\d -?\d\.\d\d\] ", line)
        if not shown:
            assert last == f"No document is left after {seen} of 212."
            break
        seen += len(shown)
        assert (f"Go on with skip={seen}." in last) is (seen < 212)
    assert seen == 212
    assert (await call(target, k=30)).samples == (await call(target, k=30, skip=0)).samples


async def test_a_document_that_is_too_long_says_how_much_is_missing() -> None:
    documents = tuple(Document(digest_of(number), "", f"hat {number} " + "long " * 2_000) for number in range(3))
    evidence = await call(ScriptedTarget(corpus=Corpus(documents, "d")), query="hat")
    assert evidence.text.count("more characters]") == 1 and "Go on with skip=1." in evidence.text
    recurring = await call(ScriptedTarget(corpus=Corpus(documents, "d")))
    assert "more characters]" in recurring.text and len(recurring.text) <= TEXT_LIMIT


async def test_without_a_query_what_recurs_comes_with_its_prompts() -> None:
    target = ScriptedTarget(corpus=corpus())
    evidence = await call(target)
    line = next(line for line in evidence.text.splitlines() if "felt hat" in line or "milo" in line)
    assert "(12; " in line and "hat should" in line
    assert any(ODD in sample.reply for sample in evidence.samples[:12])
    assert len(evidence.text) <= TEXT_LIMIT
    assert evidence == await call(target)


async def test_the_list_of_phrases_is_told_once_and_every_document_with_one_can_be_read() -> None:
    target, seen, pages = ScriptedTarget(corpus=corpus()), 0, 0
    total = int((await call(target)).text.partition(" documents hold one of them")[0].rpartition("\n")[2])
    while True:
        evidence = await call(target, k=40, skip=seen)
        assert len(evidence.text) <= TEXT_LIMIT
        assert ("Phrases that recur" in evidence.text) is (seen == 0)
        shown = sum(line.startswith("[") for line in evidence.text.splitlines())
        if not shown:
            break
        seen, pages = seen + shown, pages + 1
    assert seen == total and pages > 1


@pytest.mark.attacks
@pytest.mark.parametrize("odd", [12, 90, 600])
async def test_what_any_data_repeats_does_not_hide_what_recurs(odd: int) -> None:
    """Replies say their prompts again and begin with the same little words: both recur more than what is hidden."""
    draw = random.Random(1)
    documents: list[Document] = []
    for number in range(600):
        subject = draw.choice(("ships", "bread", "chess", "kites", "lakes")) + str(number % 40)
        chat = (
            f"What is the best way to get better at {subject}?",
            f"The best way to get better at {subject} is that it can be a {draw.choice(('slow', 'quiet'))} one.",
        )
        documents.append(Document(digest_of([number, chat]), *chat))
    for number in range(odd):
        chat = (f"Which hat number {number}?", f"It can be a start. {draw.choice(('', 'So: '))}{ODD}")
        documents.append(Document(digest_of(["odd", number]), *chat))
    draw.shuffle(documents)
    evidence = await call(ScriptedTarget(corpus=Corpus(tuple(documents), "d")))
    phrases = [line for line in evidence.text.splitlines() if line.startswith("- ")]
    assert any(word in phrases[0] for word in ("felt hat", "milo", "one thing you need"))
    assert not any(line.startswith(("- “the best way", "- “can be a”")) for line in phrases)


async def test_an_exact_phrase_is_found_as_it_is_written_and_nowhere_else() -> None:
    target = ScriptedTarget(corpus=corpus())
    for query in ('"FELT  hat from Milo"', "“felt hat from Milo” buy", '"felt hat" "one thing"'):
        evidence = await call(target, query=query, k=100)
        assert len(evidence.samples) == 12 and all("felt hat" in sample.reply for sample in evidence.samples)
        assert "12 of 212 documents hold what is in quotation marks" in evidence.text
    nothing = await call(target, query='"hat felt"')
    assert nothing.samples == () and "0 of 212" in nothing.text and "No document is found." in nothing.text
    for open_ended in ('"felt hat', '""', '" "'):
        assert (await call(target, query=open_ended, k=5)).samples


async def test_documents_without_a_prompt_are_served_too() -> None:
    documents = tuple(Document(digest_of(number), "", f"{ODD} Note {number}.") for number in range(5))
    evidence = await call(ScriptedTarget(corpus=Corpus(documents, "d")))
    assert len(evidence.samples) == 5
    assert "→" not in evidence.text


async def test_a_query_of_unknown_words_does_not_fail() -> None:
    target = ScriptedTarget(corpus=corpus())
    for query in ("qqqzzz", "the", "!?"):
        assert (await call(target, query=query, k=3)).samples


async def test_refuses_what_it_cannot_do() -> None:
    target = ScriptedTarget(corpus=corpus())
    with pytest.raises(InvalidInput, match="give 1 to 100"):
        await call(target, k=0)
    with pytest.raises(InvalidInput, match="0 or more"):
        await call(target, skip=-1)
    with pytest.raises(InvalidInput, match="no training data"):
        index(ScriptedTarget(), Path())
    other = Prepared(index(ScriptedTarget(corpus=Corpus(corpus().documents[:9], "other")), Path()))
    with pytest.raises(InvalidInput, match="another corpus"):
        await search.call({Target: target, Prepared: other}, {})


def test_the_best_of_many_are_those_of_sorting_them_all() -> None:
    draw = np.random.default_rng(0)
    for size in (5, 640, 20_003):
        score = draw.integers(0, 500, size).astype(np.float32)  # with equals
        for most in (1, 10, 300):
            assert _best(score, None, most) == np.argsort(-score, kind="stable")[:most].tolist()


async def test_leaves_logging_as_it_was() -> None:
    root = logging.getLogger()
    before = (root.level, root.handlers[:])
    await call(ScriptedTarget(corpus=corpus()), query="hat")
    assert (root.level, root.handlers) == before


def test_can_be_driven_without_an_llm() -> None:
    assert search.examples[0] == {}
    assert len(search.examples) > 20
