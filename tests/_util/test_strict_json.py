"""JSON from outside is read in one way, or refused with its line."""

from pathlib import Path

import pytest

from assay._util.strict_json import DEPTH, json_lines, parse_json, read_json, read_json_lines, read_json_object
from assay.errors import InvalidInput

SEPARATORS = "\u2028\u2029\x85\x1c\x1d\x1e"  # where str.splitlines ends a line, and JSON does not


@pytest.mark.attacks
def test_a_line_ends_at_a_line_feed_alone(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    written = "".join(character for character in SEPARATORS if character >= " ")
    path.write_bytes(f'\ufeff{{"a": "x{written}y"}}\r\n\r\n \t\r\n{{"a": 2}}\n[\n'.encode())
    read = read_json_lines(path)
    assert [next(read), next(read)] == [(1, {"a": f"x{written}y"}), (4, {"a": 2})]
    with pytest.raises(InvalidInput, match=r"lines\.jsonl:5: not JSON"):
        next(read)


def test_the_last_line_needs_no_line_feed() -> None:
    assert list(json_lines("1\n2", "f")) == list(json_lines("1\n2\n", "f")) == [(1, 1), (2, 2)]


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 1}', "f:1: key 'a' is given twice"),
        ('{"a": [{"b": 1,\n"c": {"x": "\\"x\\": {",\n"\\u0078": 2}}]}', "f:3: key 'a.c.x' is given twice"),
        ("NaN", "NaN is no number here; numbers are finite"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": 1e999}', "1e999 is no number"),
        ("1" * 101, "at most 100 digits"),
        ("-" + "9" * 10_000, "at most 100 digits"),
        ("[" * 100_000, f"deeper than {DEPTH}"),
        ("[" * 100_000 + "]" * 100_000, f"deeper than {DEPTH}"),
        ('{"a":' * (DEPTH + 1) + "1" + "}" * (DEPTH + 1), f"deeper than {DEPTH}"),
        ('"\\ud800"', "half a surrogate pair"),
        ('{"\\udfff": 1}', "half a surrogate pair"),
        ('["\\ude00\\ud83d"]', "half a surrogate pair"),
        ("", "f:1: not JSON"),
        ('{"a":\n\n}', "f:3: not JSON"),
        ('{"a": "x\ry"}', r"f:1: not JSON: Invalid control character"),
        ("{'a': 1}", "not JSON"),
        ("1 2", "Extra data"),
    ],
)
def test_what_two_readers_would_read_differently_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse_json(text, "f")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": {"x": 1}, "b": {"x": 1}}', {"a": {"x": 1}, "b": {"x": 1}}),
        ('[{"x": 1}, {"x": 1}]', [{"x": 1}, {"x": 1}]),
        ('"\\ud83d\\ude00"', "😀"),
        ("1" + "0" * 30, 10**30),  # what tokenizers write for "no limit"
        ("1e-400", 0.0),
    ],
)
def test_what_is_plain_is_read(text: str, value: object) -> None:
    assert parse_json(text, "f") == value


def test_depth_is_counted_where_brackets_stand_in_texts() -> None:
    texts = ["[" * 200]
    assert parse_json('["' + "[" * 200 + '"]', "f") == texts
    deep = parse_json("[" * DEPTH + "]" * DEPTH, "f")
    assert isinstance(deep, list)


def test_documents_are_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n')
    assert read_json(path) == read_json_object(path) == {"a": 1}
    path.write_text("[1]")
    with pytest.raises(InvalidInput, match=r"a\.json: wants a JSON object \(given: \[1\]\)"):
        read_json_object(path)
