"""YAML from outside is plain data, read in one way, or refused with its line."""

import time
from datetime import date
from pathlib import Path

import pytest
import yaml

from assay._util.strict_yaml import parse_yaml, read_yaml
from assay._util.yaml_models import write_yaml
from assay.errors import InvalidInput


def bomb(levels: int) -> str:
    """Nine of each before it: 9 to the power of levels in all."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "f:3: key 'a' is given twice"),
        ("a:\n- b: 1\n  c: {x: 1,\n    x: 2}", r"f:4: key 'a\.0\.c\.x' is given twice"),
        ('"a": 1\na: 1', "given twice"),
        ("a: 1\n---\nb: 2", "f:2: a second document begins"),
        ("a: !!python/object/apply:os.system [id]", "f:1: tag .*python/object.* tags are not read"),
        ("a: !x b", "tags are not read"),
        ("a: 1\nb:\n\t- c", "f:3: not YAML.*with spaces, not with tabs"),
        ("no: a", r"f:1: key 'no' is read as False; keys are text. Write \"no\""),
        ("a: 1\n2024-01-01: b", "f:2: key '2024-01-01' is read as"),
        ("1_0: a", "key '1_0' is read as 10"),
        ("? [a, b]\n: c", "keys are text"),
        ("a: .nan", "numbers are finite"),
        ("a: -.inf", "numbers are finite"),
        ("a: " + "9" * 5_000, "is no number or date"),
        ("a: 2024-13-45", "is no number or date"),
        ("a: *b", r"alias \*b stands for nothing"),
        ("a: &a [*a]", r"alias \*a stands for nothing"),
        (bomb(9), "aliases stand for more than"),
        ("a: &a " + "x" * 10_000 + "\nb: [" + ", ".join(["*a"] * 200) + "]", "aliases stand for more than"),
        ("[" * 100, "nested deeper than 64"),
        ("[" * 100_000, "f:1: not YAML|nested deeper"),
        ("- " * 100 + "x", "nested deeper than 64"),
        ("{a: " * 100, "nested deeper than 64"),
        ("x: &x " + "[" * 40 + "]" * 40 + "\ny: " + "[" * 40 + "*x" + "]" * 40, "too many levels"),
        ("<<: [a]", "merges one mapping"),
        ('a: "\\ud800"', "not YAML"),
        ("a: \x00", "not YAML"),
        ("a: b: c", "f:1: not YAML"),
        ("a: 'b", "not YAML"),
    ],
)
def test_what_is_not_plain_data_is_refused_with_its_line(text: str, said: str) -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidInput, match=said):
        parse_yaml(text, "f")
    assert time.perf_counter() - began < 5  # a bomb is refused before it is built


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, 2.5, true, ~, 'x', \"y\", z]",
        "x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  a: 3\nz: *x",
        "---\na: |\n  b\n   c\nd: >-\n  e\n  f\n...\n",
        "a: {b: [], c: {}}",
        "a: 2024-01-02\nb: 1_000\nc: 0x1f\nd: on\ne: 1:30",
        "",
        "# nothing",
        "just text",
    ],
)
def test_plain_data_is_what_pyyaml_reads(text: str) -> None:
    assert parse_yaml(text, "f").value == yaml.safe_load(text)


def test_every_file_of_ours_is_what_pyyaml_reads() -> None:
    root = Path(__file__).parents[2]
    files = [*root.glob("src/**/*.yaml"), *root.glob("packages/*/src/**/recipes/*.yaml")]
    assert len(files) > 40
    for path in files:
        assert read_yaml(path) == yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader), path


def test_places_are_known() -> None:
    document = parse_yaml("a:\n  - b: no\n  - 2024-01-02\n", "f")
    assert (document.mark(("a", 0, "b")).line, document.mark(("a", 0, "b")).written) == (2, "no")
    assert document.mark(("a", 0, "missing")).line == 2
    assert document.dated and document.value["a"][1] == date(2024, 1, 2)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    shared = ["no", "2024-01-01", "1_000", "~", "a: b", "\u2028", "é"]
    write_yaml({"a": shared, "b": shared}, tmp_path / "a.yaml")
    assert "*" not in (tmp_path / "a.yaml").read_text(encoding="utf-8")
    assert read_yaml(tmp_path / "a.yaml") == {"a": shared, "b": shared}
