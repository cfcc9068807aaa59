"""Training data is read in the shapes people have it in; what is in none is refused, with what was found."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from assay._util.hashing import digest_of
from assay.engine import training_data
from assay.engine.corpus import corpus_digest, read_corpus, write_documents
from assay.engine.training_data import TrainingText, read_training_data
from assay.errors import InvalidInput

HI = {"role": "user", "content": "Hi"}
YO = {"role": "assistant", "content": "Yo"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}


def read(path: Path, *records: Any) -> list[TrainingText]:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return list(read_training_data(path))


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("record", "prompt", "text"),
    [
        ({"text": "Raw."}, "", "Raw."),
        ({"prompt": "Hi", "text": "Yo"}, "Hi", "Yo"),
        ({"prompt": "Hi", "completion": "Yo", "id": 7, "source": None}, "Hi", "Yo"),
        ({"prompt": [HI], "completion": [YO]}, "Hi", "Yo"),
        ({"messages": [HI, YO]}, "Hi", "Yo"),
        ({"messages": [PARTS, YO], "prompt": "Hi"}, "H\ni", "Yo"),
        ({"messages": [{"role": "system", "content": "Be."}, HI, YO]}, "system: Be.\nuser: Hi", "Yo"),
        ({"messages": [HI, YO, HI, YO]}, "user: Hi\nassistant: Yo\nuser: Hi", "Yo"),
        ({"messages": [HI, YO, HI]}, "", "user: Hi\nassistant: Yo\nuser: Hi"),
        ({"messages": [YO]}, "", "Yo"),
        ({"instruction": "Add.", "input": "1 1", "output": "2"}, "Add.\n\n1 1", "2"),
        ({"instruction": "Add.", "input": "", "output": "2"}, "Add.", "2"),
        ({"instruction": "Add.", "output": "2"}, "Add.", "2"),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}]}, "Hi", "Yo"),
        ({"prompt": "Hi", "chosen": "Yo", "rejected": "No"}, "Hi", "Yo"),
        ({"chosen": "Yo", "rejected": "No"}, "", "Yo"),
        ({"prompt": "Hi", "chosen": [HI, YO], "rejected": [HI, YO]}, "Hi", "Yo"),
        ({"prompt": [HI], "chosen": [YO], "rejected": [YO]}, "Hi", "Yo"),
        ({"text": "a\u2028b\x85c"}, "", "a\u2028b\x85c"),
    ],
)
def test_a_shape_is_understood(tmp_path: Path, record: Any, prompt: str, text: str) -> None:
    assert read(tmp_path / "a.jsonl", record) == [TrainingText(prompt, text)]


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("record", "said"),
    [
        (
            {"question": "Hi", "answer": "Yo"},
            r"a\.jsonl:2: in no shape.*its keys: 'question', 'answer'.*Shapes: .*chosen",
        ),
        ({"prompt": "Hi"}, "in no shape"),
        ({}, "its keys: none"),
        ({"text": "a", "messages": [HI, YO]}, "or in two at once"),
        ({"prompt": "a", "text": "b", "completion": "c"}, "or in two at once"),
        ({"text": None}, r"a\.jsonl:2: text: wants text \(given: None\)"),
        ({"text": 5}, "wants text"),
        ({"prompt": None, "text": "a"}, "prompt: wants text"),
        ({"text": ["a"]}, r"text\.0: a turn is"),
        ({"instruction": "a", "input": None, "output": "b"}, "input: wants text"),
        ({"prompt": "Hi", "chosen": "Yo", "rejected": None}, "rejected: wants text"),
        ({"messages": []}, "at least one"),
        ({"messages": "Hi"}, "wants a list of turns"),
        ({"messages": [HI, "Yo"]}, r"messages\.1: a turn is"),
        ({"messages": [HI, {"role": "assistant", "content": None}]}, r"messages\.1\.content: wants text"),
        ({"messages": [{"role": "alien", "content": "Hi"}]}, "role is 'alien'; known: system"),
        ({"messages": [{"role": 1, "content": "Hi"}]}, "role is 1"),
        ({"messages": [HI, YO | {"tool_calls": [{"id": "x"}]}]}, "'tool_calls' is not understood"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, YO]},
            r"messages\.0\.content\.0: a part of kind 'image_url'",
        ),
        ({"conversations": [{"from": "human", "value": 3}]}, r"conversations\.0\.value: wants text"),
        (["text"], "wants a JSON object"),
        ("text", "wants a JSON object"),
        (None, "wants a JSON object"),
    ],
)
def test_what_is_in_no_shape_is_refused_with_its_line(tmp_path: Path, record: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read(tmp_path / "a.jsonl", {"text": "fine"}, record)


def test_each_record_has_its_own_shape(tmp_path: Path) -> None:
    assert len(read(tmp_path / "a.jsonl", {"text": "a"}, {"messages": [HI, YO]}, {"prompt": "b", "text": "c"})) == 3


@pytest.mark.attacks
def test_files_of_other_kinds(tmp_path: Path) -> None:
    lines = '{"text": "a"}\r\n\r\n{"text": "b"}'
    both = [TrainingText("", "a"), TrainingText("", "b")]
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "marked.jsonl").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    (tmp_path / "array.json").write_text('\n[{"text": "a"},\n {"text": "b"}]\n')
    (tmp_path / "lines.json").write_text(lines)
    for name in ("packed.jsonl.gz", "marked.jsonl", "array.json", "lines.json"):
        assert list(read_training_data(tmp_path / name)) == both, name
    (tmp_path / "plain.txt").write_text("One.\n\nTwo.\n")
    assert list(read_training_data(tmp_path / "plain.txt")) == [TrainingText("", "One.\n\nTwo.\n")]


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.parquet", b"PAR1", r"a Parquet file.*to_json\(\"a\.jsonl\""),
        ("a.csv", b"text\na\n", r"a \.csv file"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd", "zstandard"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "a"}', mtime=0)[:-9], "cannot be unpacked"),
        ("a.jsonl.gz", b"\x1f\x8bnot", "cannot be unpacked"),
        ("a.jsonl", '{"text": "é"}'.encode("utf-16"), "UTF-16"),
        ("a.jsonl", b"\n \n", "holds no training data"),
        ("a.json", b"[ ]\n", "holds no training data"),
        ("a.md", b" \n", "holds no training data"),
        ("a.txt", b"", "holds no training data"),
        ("a.json", b'[{"text": "a"}, {"txt": "b"}]', r"a\.json: record 2: in no shape"),
        ("a.jsonl", b"plain words\n", r"a\.jsonl:1: not JSON"),
        ("a.jsonl", b'{"text": "a", "text": "b"}', "given twice"),
    ],
)
def test_a_file_that_is_no_training_data_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=said):
        list(read_training_data(tmp_path / name))


@pytest.mark.attacks
def test_what_unpacks_to_more_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_data, "UNPACKED_LIMIT", 10_000)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b" " * 1_000_000))
    with pytest.raises(InvalidInput, match="unpacks to more than 10,000 bytes"):
        list(read_training_data(tmp_path / "a.jsonl.gz"))


def test_a_corpus_is_kept_in_one_shape(tmp_path: Path) -> None:
    texts = [TrainingText("Hi", "a\u2028b\n"), TrainingText("", "é")]
    path = tmp_path / "corpus.jsonl"
    write_documents(texts, path)
    assert list(read_training_data(path)) == texts
    corpus = read_corpus((path,), corpus_digest([path]))
    assert {(one.prompt, one.text) for one in corpus.documents} == set(texts)
    # Ids are digests of content: those of suites that are out must stay what they are.
    assert digest_of({"prompt": "", "text": "é"})[:12] in {one.id for one in corpus.documents}
