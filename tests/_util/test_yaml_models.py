"""A file that is not of a model's shape is told by line, field, what was given and what is allowed."""

from datetime import date
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, model_validator

from assay._util.yaml_models import Data, as_model, load_yaml, open_list
from assay.errors import InvalidInput


class Part(Data):
    name: str = ""
    size: int = 0


class Whole(Data):
    text: str = ""
    number: float = 0.0
    count: int = Field(ge=0, default=0)
    flag: bool = False
    day: date | None = None
    pair: tuple[str, ...] = ()
    kind: Literal["a", "b"] = "a"
    parts: tuple[Part, ...] = ()
    either: str | Part = ""

    @model_validator(mode="after")
    def _not_both(self) -> "Whole":
        if self.flag and self.count:
            raise ValueError("flag and count exclude each other")
        return self


def load(tmp_path: Path, text: str) -> Whole:
    path = tmp_path / "f.yaml"
    path.write_text(text, encoding="utf-8")
    whole: Whole = load_yaml(path, Whole)
    return whole


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "count: 1\ntext: no",
            r'f\.yaml:2: text: .*string \(given: no, which YAML reads as False\). Write "no" in quotes',
        ),
        ("text: 2024-01-01", r"\(given: 2024-01-01, which YAML reads as datetime\.date"),
        ("text: 1_000", r'Write "1_000" in quotes'),
        ("text: 1:30", r'Write "1:30" in quotes'),
        ("text: 0x10", "in quotes"),
        ("text: ~", "in quotes"),
        ("text:", r"text: .*string \(given: None\)"),
        ("text: [a]", r"text: .*string \(given: \['a'\]\)"),
        ("pair: [a, on]", r"pair\.1: .*given: on, which YAML reads as True"),
        ("number: true", "number: .*number"),
        ('number: "1"', "number: .*number"),
        ("count: true", "count: .*integer"),
        ("count: 1.0", "count: .*integer"),
        ("count: -1", "greater than or equal to 0"),
        ("flag: 1", "flag: .*boolean"),
        ('flag: "yes"', "flag: .*boolean"),
        ("day: no", "day: "),
        ("kind: c", r"'a' or 'b' \(given: 'c'\)"),
        ("parts:\n- name: a\n- nam: b", r"f\.yaml:3: parts\.1\.nam: Extra.*Known: name, size"),
        ("txt: a", "Known: count, day, either, flag, kind, number, pair, parts, text"),
        ("either: {nme: a}", "either"),
        ("flag: true\ncount: 1", "exclude each other"),
        ("[]", r"f\.yaml:1: file: .*object"),
        ("", "file: .*object"),
    ],
)
def test_a_wrong_value_is_told(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        load(tmp_path, text)


def test_right_values_are_read(tmp_path: Path) -> None:
    whole = load(tmp_path, 'text: "no"\nnumber: 1\nday: 2024-01-02\npair: [a]\nparts: [{name: x}]\neither: {size: 2}')
    assert (whole.text, whole.number, whole.day, whole.pair) == ("no", 1.0, date(2024, 1, 2), ("a",))
    assert (whole.parts, whole.either) == ((Part(name="x"),), Part(size=2))


def test_a_list_tells_which_item(tmp_path: Path) -> None:
    path = tmp_path / "l.yaml"
    path.write_text("- {name: a}\n- {name: 1}\n")
    with pytest.raises(InvalidInput, match=r"l\.yaml:2: 1\.name"):
        open_list(path, Part)
    path.write_text("name: a")
    with pytest.raises(InvalidInput, match="wants a list"):
        open_list(path, Part)


def test_json_is_told_by_the_place_it_was_read_at() -> None:
    with pytest.raises(InvalidInput, match=r"^f:7: name: .*string \(given: None\)\.$"):
        as_model({"name": None}, Part, "f:7")
