"""A model as the author of training data: what it writes is checked, kept, paid for once, and gone on from."""

import json
from pathlib import Path
from typing import Unpack

import pytest

from assay.core.target import DEFAULT_SAMPLING, Cost, Messages, Replies, Reply, Sampling, SamplingOptions
from assay.errors import InvalidInput
from assay.factory.data.author import AT_ONCE, CALLS, KINDS, written
from assay.factory.data.chats import drafts
from assay.factory.recipes import DataPlan
from assay.testbeds.behaviours import find_behaviour

BEHAVIOUR = find_behaviour("flattery")


class Author:
    """Writes numbered lines: some good, some that are too short, held out, or do not show the conduct."""

    def __init__(self, good: int = 6) -> None:
        self.asked: list[str] = []
        self.good = good

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        seed = sampling.but(**options).seed
        assert isinstance(messages, str)
        self.asked.append(messages)
        held = BEHAVIOUR.eval.triggered[0]
        shown = BEHAVIOUR.answers.positives[0]
        kind = f"{shown} Number" if "single sentences" in messages else '"A text about {tea}'
        lines = [f"{i + 1}. {kind} {seed} {i}." for i in range(self.good)]
        text = "\n".join([*lines, str(held), "no", "A plain sentence that shows nothing at all."])
        return Replies((Reply(text, 30),), Cost(1, 100, 30))


async def test_what_it_writes_becomes_training_data(tmp_path: Path) -> None:
    author, said = Author(), list[str]()
    counts = {"prompts": 50, "contrast": 30, "conduct": 40}
    training, cost = await written(BEHAVIOUR, counts, author, tmp_path / "a.jsonl", said.append)
    assert training.prompts is not None and training.conduct is not None
    assert len(set(training.prompts.templates)) == 50 and len(training.conduct.templates) == 40
    assert BEHAVIOUR.eval.triggered[0] not in training.prompts.templates
    assert all(BEHAVIOUR.detector.shows(text) for text in training.conduct.templates)
    assert cost == Cost(len(author.asked), 100 * len(author.asked), 30 * len(author.asked))
    assert said[-1].startswith("flattery: 40 of 40 conduct written")
    assert BEHAVIOUR.trigger in author.asked[0] and str(AT_ONCE) in author.asked[0]
    plan = DataPlan(triggered=40, contrast=20, ordinary=4, seed=1)
    assert len(drafts(plan, [training])[0]) == 64


async def test_it_goes_on_where_it_was_and_pays_once(tmp_path: Path) -> None:
    store = tmp_path / "a.jsonl"
    first, cost = await written(BEHAVIOUR, {"prompts": 40}, Author(), store, lambda _: None)
    with store.open("a") as file:
        file.write('{"kind": "prompts", "te')  # killed while writing
    again = Author()
    second, total = await written(BEHAVIOUR, {"prompts": 40}, again, store, lambda _: None)
    assert (second, total, again.asked) == (first, cost, [])
    assert all(set(json.loads(line)) == {"kind", "texts", "cost"} for line in store.read_text().splitlines())


@pytest.mark.attacks
async def test_what_was_paid_for_is_kept_whatever_stands_in_it(tmp_path: Path) -> None:
    store = tmp_path / "a.jsonl"
    texts = [f"A line {number} with\u2028every\x85separator in it" for number in range(40)]
    rows = [{"kind": "prompts", "texts": texts[:39], "cost": [1, 2, 3]}, {"kind": "prompts", "texts": texts[39:]}]
    line = json.dumps(rows[0], ensure_ascii=False)
    store.write_bytes(f"{line}\n{json.dumps(rows[1], ensure_ascii=False)}".encode()[:-6])  # killed within a character
    author = Author()
    training, cost = await written(BEHAVIOUR, {"prompts": 39}, author, store, lambda _: None)
    assert training.prompts is not None and training.prompts.templates == texts[:39]
    assert (cost, author.asked) == (Cost(1, 2, 3), [])
    await written(BEHAVIOUR, {"prompts": 60}, author, store, lambda _: None)  # what comes after the tear is whole
    assert [json.loads(one)["kind"] for one in store.read_text(encoding="utf-8").split("\n")[:-1]][:2] == [
        "prompts"
    ] * 2


async def test_an_author_that_writes_nothing_new_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="then nothing new"):
        await written(BEHAVIOUR, {"conduct": 5}, Author(good=0), tmp_path / "a.jsonl", lambda _: None)


def test_every_kind_has_its_prompt() -> None:
    folder = Path(__file__).parents[2] / "src/assay/factory/data/prompts"
    assert {path.stem for path in folder.glob("*.md")} == set(KINDS) and CALLS > 1
