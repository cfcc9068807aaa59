"""The one reader of JSON from outside, of whole documents and of lines.

JSON as it is defined (RFC 8259), less what two readers would understand differently: a key given twice, NaN and
Infinity, numbers no float holds, halves of surrogate pairs, and nesting deeper than any data of ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from assay._util.text_files import read_text, shortened
from assay.errors import InvalidInput

DEPTH = 64  # of lists and objects within one another
DIGITS = 100  # of a whole number; tokenizers write 10^30 for "no limit"
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.DOTALL)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SPACE = " \t\r"


def read_json(path: Path) -> Any:
    """Read a file that is one JSON document.

    Raises:
        InvalidInput: it cannot be read, is no UTF-8, or no JSON as this module reads it; names file and line.
    """
    return parse_json(read_text(path), str(path))


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a file that is one JSON object.

    Raises:
        InvalidInput: as `read_json`, or the document is no object.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise InvalidInput(f"{path}: wants a JSON object (given: {shortened(value)}).")
    return value


def read_json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Read a file of one JSON document a line, as `json_lines` does.

    Raises:
        InvalidInput: it cannot be read or is no UTF-8; then as `json_lines`.
    """
    yield from json_lines(read_text(path), str(path))


def json_lines(text: str, where: str) -> Iterator[tuple[int, Any]]:
    """Yield the number of each line that is not blank, from 1 on, and its value.

    A line ends at a line feed and nowhere else: what other characters Unicode has for line ends may stand in a string.
    A carriage return before it is white space.

    Args:
        text: of all lines.
        where: named in errors.

    Raises:
        InvalidInput: a line is no JSON document; names it.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip(_SPACE):
            yield number, parse_json(line, where, number)


def parse_json(text: str, where: str, line: int = 1) -> Any:
    """Read one JSON document.

    Args:
        text: of the document.
        where: named in errors.
        line: in which the text begins.

    Raises:
        InvalidInput: it is none, or is understood differently by different readers; names the line.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_float=_number,
            parse_constant=_number,
        )
    except json.JSONDecodeError as error:
        # JSON's own line count goes by line feeds, as ours does.
        raise InvalidInput(
            f"{where}:{line + error.lineno - 1}: not JSON: {error.msg} (column {error.colno})."
        ) from None
    except RecursionError:
        raise _too_deep(where, line) from None
    except _Twice:
        key, place = _given_twice(text)
        raise InvalidInput(f"{where}:{line + text.count(chr(10), 0, place)}: key {key} is given twice.") from None
    except ValueError as error:
        raise InvalidInput(f"{where}:{line}: {error}") from None
    _require_plain(value, text, where, line)
    return value


class _Twice(ValueError):
    """An object has a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Twice
    return made


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        _refuse(digits, f"whole numbers have at most {DIGITS} digits")
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    if value - value != 0:  # NaN or infinite
        _refuse(text, "numbers are finite")
    return value


def _refuse(given: str, allowed: str) -> NoReturn:
    raise ValueError(f"{given[:20]}{'…' if len(given) > 20 else ''} is no number here; {allowed}.")


def _require_plain(value: Any, text: str, where: str, line: int) -> None:
    """Refuse what is nested too deeply, and halves of surrogate pairs, which no file or prompt can hold."""
    escaped = "\\u" in text  # decoded UTF-8 has no such half otherwise
    if not escaped and text.count("[") + text.count("{") <= DEPTH:
        return
    waiting = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > DEPTH:
            raise _too_deep(where, line)
        if isinstance(one, dict):
            waiting += [(key, depth) for key in one] if escaped else []
            waiting += [(item, depth + 1) for item in one.values()]
        elif isinstance(one, list):
            waiting += [(item, depth + 1) for item in one]
        elif escaped and isinstance(one, str) and _SURROGATE.search(one):
            raise InvalidInput(f"{where}:{line}: {shortened(one)} holds half a surrogate pair, which is no character.")


def _too_deep(where: str, line: int) -> InvalidInput:
    return InvalidInput(f"{where}:{line}: lists and objects are nested deeper than {DEPTH}.")


def _given_twice(text: str) -> tuple[str, int]:
    """Find a key that its object has twice, as its path, and where it stands; the text is JSON that has one."""
    keys: list[set[str]] = []  # of each object or list that is open
    path: list[str] = []
    last = ("", 0)
    for token in _TOKEN.finditer(text):
        found = token.group()
        if found in "{[":
            keys.append(set())
            path.append("")
        elif found in "}]":
            keys.pop()
            path.pop()
        elif found == ":":
            key = json.loads(last[0])
            path[-1] = key
            if key in keys[-1]:
                break
            keys[-1].add(key)
        last = (found, token.start())
    return shortened(".".join(filter(None, path))), last[1]
