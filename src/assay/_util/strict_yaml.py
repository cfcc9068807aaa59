"""The one reader of YAML: plain data, one document a file, nothing that two people would read differently.

Values are made of the parser's events, so each one's line is known, and nothing is built before it was looked at. What
plain words become is YAML 1.1's, as PyYAML has it (`no` is false, 1_000 a number, 2024-01-01 a date); a text field
refuses those, and says to quote them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from assay._util.strict_json import DEPTH, DIGITS
from assay._util.text_files import read_text, shortened
from assay.errors import InvalidInput

# libyaml's, where PyYAML has it: it reads the suite in a tenth of the time
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS = yaml.SafeLoader("")  # knows what plain words mean
_TAG = "tag:yaml.org,2002:"
_NO_TEXT = frozenset(f"{_TAG}{kind}" for kind in ("null", "bool", "int", "float", "timestamp"))
_MERGE = "<<"
_ALIASED = 1_000_000  # characters and values that a file's aliases may stand for

Place = tuple[str | int, ...]  # keys and positions that lead to a value


@dataclass(frozen=True, slots=True)
class Mark:
    """Tells where a value stands, and how it is written there.

    Attributes:
        line: from 1 on.
        written: of a plain word or a quoted text; "" of lists and mappings.
    """

    line: int
    written: str


@dataclass
class YamlDocument:
    """Holds what a file says.

    Attributes:
        value: plain data; dates are `datetime`'s.
        marks: of each value, by the keys and positions that lead to it.
        dated: whether there are dates among the values.
    """

    value: Any = None
    marks: dict[Place, Mark] = field(default_factory=dict)
    dated: bool = False

    def mark(self, place: Place) -> Mark:
        """Return where a value stands, or the closest around it where it is missing."""
        while place and place not in self.marks:
            place = place[:-1]
        return self.marks.get(place, Mark(1, ""))


def read_yaml(path: Path) -> Any:
    """Read a file that is one YAML document, as plain data.

    Raises:
        InvalidInput: as `read_document`.
    """
    return read_document(path).value


def read_document(path: Path) -> YamlDocument:
    """Read a file that is one YAML document, with the places of its values.

    Raises:
        InvalidInput: it cannot be read, is no UTF-8 or no YAML, or has what this reader refuses: a key given twice or
            that is no text, tags, more than one document, NaN, endless nesting or aliases. Names file and line.
    """
    return parse_yaml(read_text(path), str(path))


def parse_yaml(text: str, where: str) -> YamlDocument:
    """Read one YAML document.

    Args:
        text: of the document.
        where: named in errors.

    Raises:
        InvalidInput: as `read_document`.
    """
    try:
        return _Reading(where, iter(yaml.parse(text, Loader=_PARSER))).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        hint = " Indent with spaces, not with tabs." if "\t" in _indent(text, line) else ""
        raise InvalidInput(f"{where}:{line + 1}: not YAML: {error.problem or error.context}.{hint}") from None
    except yaml.YAMLError as error:  # a character that YAML has not
        raise InvalidInput(f"{where}: not YAML: {' '.join(str(error).split())}.") from None


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: Any
    size: int  # in values and characters
    height: int  # levels of lists and mappings


class _Reading:
    """Makes values of a document's events.

    Args:
        where: named in errors.
        events: of the parser.
    """

    def __init__(self, where: str, events: Iterator[Any]) -> None:
        self._where, self._events = where, events
        self._anchors: dict[str, _Anchored] = {}
        self._document = YamlDocument()
        self._size = self._aliased = 0

    def document(self) -> YamlDocument:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if self._document.marks:
                    raise self._refused(event, "a second document begins; wants one. Leave out the line ---")
            elif isinstance(event, yaml.NodeEvent):
                self._document.value, _ = self._node(event, ())
        return self._document

    def _node(self, event: Any, place: Place) -> tuple[Any, int]:
        """Make a value, and say how many levels it has."""
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place)
        if event.tag is not None:
            raise self._refused(event, f"tag {event.tag!r}: tags are not read. Write plain data")
        if len(place) > DEPTH:
            raise self._refused(event, f"lists and mappings are nested deeper than {DEPTH}")
        written = event.value if isinstance(event, yaml.ScalarEvent) else ""
        self._document.marks[place] = Mark(event.start_mark.line + 1, written)
        before = self._size
        self._size += 1 + len(written)
        if isinstance(event, yaml.ScalarEvent):
            value, height = self._word(event), 0
        elif isinstance(event, yaml.SequenceStartEvent):
            value, height = self._list(place)
        else:
            value, height = self._mapping(place)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, self._size - before, height)
        return value, height

    def _alias(self, event: Any, place: Place) -> tuple[Any, int]:
        known = self._anchors.get(event.anchor)  # not before its value is whole, so that none holds itself
        if known is None:
            raise self._refused(event, f"alias *{event.anchor} stands for nothing that comes before it")
        self._size += known.size
        self._aliased += known.size
        if self._aliased > _ALIASED or len(place) + known.height > DEPTH:
            raise self._refused(event, f"aliases stand for more than {_ALIASED:,} characters, or too many levels")
        self._document.marks[place] = Mark(event.start_mark.line + 1, "")
        return known.value, known.height

    def _list(self, place: Place) -> tuple[list[Any], int]:
        items: list[Any] = []
        highest = 0
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            value, height = self._node(event, (*place, len(items)))
            items.append(value)
            highest = max(highest, height)
        return items, highest + 1

    def _mapping(self, place: Place) -> tuple[dict[str, Any], int]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        highest = 0
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            if key in own or (key == _MERGE and merged):
                raise self._refused(event, f"key {shortened(_dotted((*place, key)))} is given twice")
            value, height = self._node(next(self._events), (*place, key))
            highest = max(highest, height)
            if key != _MERGE:
                own[key] = value
            elif isinstance(value, dict):
                merged = value
            else:
                raise self._refused(event, f"{_MERGE} merges one mapping (given: {shortened(value)})")
        return merged | own, highest + 1

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
            raise self._refused(event, "a key is a list, a mapping, an alias or tagged; keys are text")
        key = self._word(event)
        if not isinstance(key, str):
            raise self._refused(event, f'key {event.value!r} is read as {key!r}; keys are text. Write "{event.value}"')
        self._size += 1 + len(key)
        return key

    def _word(self, event: Any) -> Any:
        """Read a scalar: quoted text as it is, a plain word as what it means."""
        written = event.value
        if not event.implicit[0]:
            return written
        tag = _WORDS.resolve(yaml.ScalarNode, written, (True, False))
        if tag not in _NO_TEXT:
            return written
        node = yaml.ScalarNode(tag, written)
        try:
            if len(written) > DIGITS:
                raise ValueError
            value = _WORDS.yaml_constructors[tag](_WORDS, node)
        except (ValueError, OverflowError):
            raise self._refused(event, f'{shortened(written)} is no number or date. As text, write "…"') from None
        if isinstance(value, float) and not math.isfinite(value):
            raise self._refused(event, f'{written} is no number here; numbers are finite. As text, write "{written}"')
        self._document.dated |= tag == f"{_TAG}timestamp"
        return value

    def _refused(self, event: Any, why: str) -> InvalidInput:
        return InvalidInput(f"{self._where}:{event.start_mark.line + 1}: {why}.")


def _indent(text: str, line: int) -> str:
    """Return the white space that a line begins with."""
    found = [*text.split("\n"), ""][min(line, text.count("\n"))]
    return found[: len(found) - len(found.lstrip())]


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))
