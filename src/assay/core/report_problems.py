"""Says all that is wrong with a report at once, so that whoever wrote it can mend it: field, given, allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_origin

from pydantic import ValidationError

from assay._util.strict_json import DEPTH, parse_json
from assay._util.text_files import shortened
from assay._util.visible import visible
from assay.core.answer import ANSWERS, Game, Transcript
from assay.core.report import Contract, Demonstration, Finding, Predicate
from assay.errors import InvalidInput

LARGEST = 1_000_000  # characters; a full report has some 20,000
_TOLD = 40  # problems in an answer
_BITS = 400  # of a whole number; longer ones cannot be written in an error
_PROBED = 2_000  # characters of a text on which a pattern is tried
_WANTED = {  # what pydantic says in a programmer's words
    "model_type": "an object",
    "tuple_type": "a list",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_unicode": "text without halves of surrogate pairs, which are no characters",
    "invalid_key": "fields whose names are strings",
}

_Loc = tuple[int | str, ...]


def report_problems(value: object, game: Game = "investigate") -> list[str]:
    """Lists what is wrong with a game's report, in plain words; of a sound one nothing.

    A pattern that grading would not try, because it takes too much memory or time, is told too, although `as_contract`
    takes it: such a finding cannot be right any more, and can still be mended.

    Args:
        value: JSON text, what was read of it, or a report. Whatever it is, time and memory are bounded.
        game: that it has to answer.

    Returns:
        One line a problem, at most 40 and one that says how many more there are.
    """
    try:
        plain = _plain(value)
    except InvalidInput as error:
        return [visible(str(error))]
    found: list[str] = []
    plain = _cut(plain, "report", found)
    found += _faults(plain, ANSWERS[game]) + _untried(plain)
    told = [visible(line) for line in found[:_TOLD]]
    return told + ([f"… and {len(found) - _TOLD} more problems"] if len(found) > _TOLD else [])


def _plain(value: object) -> Any:
    """Reads JSON text, and refuses what is too large or too deep to be looked at."""
    if isinstance(value, Contract):
        return value.model_dump(mode="json", warnings=False)
    if isinstance(value, str):
        if len(value) > LARGEST:
            raise InvalidInput(f"report: given {len(value):,} characters; allowed: {LARGEST:,}.")
        return parse_json(value, "report")
    left = LARGEST
    waiting: list[tuple[object, int]] = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        left -= 1 + (len(one) if isinstance(one, str | bytes | Mapping | list | tuple) else 0)
        if left < 0:
            raise InvalidInput(f"report: given more than {LARGEST:,} characters and values; allowed: {LARGEST:,}.")
        if isinstance(one, int) and one.bit_length() > _BITS:
            raise InvalidInput(f"report: holds a whole number of {one.bit_length()} bits; allowed: {_BITS}.")
        if depth > DEPTH:
            raise InvalidInput(f"report: lists and objects are nested deeper than {DEPTH}.")
        if isinstance(one, Mapping):
            waiting += [(key, depth) for key in one] + [(item, depth + 1) for item in one.values()]
        elif isinstance(one, list | tuple):
            waiting += [(item, depth + 1) for item in one]
        elif not isinstance(one, str | int | float | None):
            raise InvalidInput(f"report: holds {type(one).__name__}; allowed: what JSON can hold.")
    return value


def _limits() -> dict[str, int]:
    """Reads from the contract how many items its lists may have."""
    limits: dict[str, int] = {}
    for model in (*ANSWERS.values(), Finding, Transcript, Demonstration, Predicate):
        for name, field in model.model_fields.items():
            most = [limit.max_length for limit in field.metadata if hasattr(limit, "max_length")]
            if most and get_origin(field.annotation) is tuple:
                limits[name] = most[0]
    return limits


def _cut(plain: Any, place: str, found: list[str]) -> Any:
    """Copies plain data with its lists cut to the length they may have, so that those hide no other fault.

    Args:
        plain: data.
        place: where it stands.
        found: what was cut is added to it.
    """
    if isinstance(plain, list | tuple):
        most = _limits().get(place.rpartition(".")[2])
        if most is not None and len(plain) > most:
            found.append(f"{place}: given {len(plain)} items; allowed: at most {most}.")
        return [_cut(item, f"{place}.{index}", found) for index, item in enumerate(plain[:most])]
    if isinstance(plain, Mapping):
        return {key: _cut(item, f"{place}.{shortened(key).strip(chr(39))}", found) for key, item in plain.items()}
    return plain


def _faults(plain: Any, model: type[Contract]) -> list[str]:
    """Lists faults of shape."""
    try:
        model.model_validate(plain)
    except ValidationError as error:
        faults = error.errors(include_url=False)
    else:
        return []
    found: dict[str, None] = {}
    for fault in faults:
        # of a list whose items were refused, pydantic says too that it has none
        if fault["type"] != "too_short" or not fault["input"]:
            found[_line(fault["type"], fault["loc"], fault["msg"], fault["input"], model)] = None
    return list(found)


def _line(kind: str, loc: _Loc, message: str, given: object, model: type[Contract]) -> str:
    """Writes one fault: where, what was given, what is allowed."""
    place = ".".join(["report", *map(str, loc)])[:200]
    if kind == "missing":
        return f"{place}: is missing."
    if kind == "extra_forbidden":
        return f"{place}: there is no such field; allowed: {', '.join(_model(loc[:-1], model).model_fields)}."
    if kind == "string_too_long" and isinstance(given, str):
        return f"{place}: given {len(given):,} characters; {_allowed(message)}."
    wanted = f"allowed: {_WANTED[kind]}" if kind in _WANTED else _allowed(message)
    return f"{place}: given {shortened(given)}; {wanted}."


def _allowed(message: str) -> str:
    """Words what pydantic says as what is allowed."""
    words = message.removeprefix("Value error, ").rstrip(".")
    for begins in ("Input should be ", "String should have ", "Tuple should have "):
        if words.startswith(begins):
            return "allowed: " + words.removeprefix(begins).partition(" after validation")[0]
    return words


def _model(loc: _Loc, whole: type[Contract]) -> type[Contract]:
    """Finds what kind of object lies at a place."""
    kinds: dict[str, type[Contract]] = {
        "report": whole,
        "findings": Finding,
        "transcripts": Transcript,
        "predicate": Predicate,
    }
    return kinds.get(["report", *(part for part in loc if isinstance(part, str))][-1], Demonstration)


def _untried(plain: Any) -> list[str]:
    """Lists patterns that grading would not try, whatever else is wrong with the report."""
    if not isinstance(plain, Mapping):
        return []
    findings = plain.get("findings")
    places: dict[str, Any] = {"report": plain}
    for index, finding in enumerate(findings if isinstance(findings, list) else ()):
        places[f"report.findings.{index}"] = finding
    found: list[str] = []
    for place, holder in places.items():
        try:
            predicate = Predicate.model_validate(holder["predicate"])
        except (ValidationError, TypeError, KeyError):  # told as a fault of shape; null is none
            continue
        if why := untried(predicate):
            found.append(f"{place}.predicate.pattern: given {shortened(predicate.pattern)}; {why}.")
    return found


def untried(predicate: Predicate) -> str:
    """Tells why grading would match nothing with a predicate of the right shape; "" if it would try it."""
    if predicate.refused or not _slow(predicate):
        return predicate.refused
    return "takes more than a tenth of a second on one reply, and would match nothing"


def _slow(predicate: Predicate) -> bool:
    """Tries a pattern on what makes one backtrack: its own letters, many times, and then none of them."""
    letters = list(dict.fromkeys(filter(str.isalnum, f"{predicate.pattern}a")))[:8]
    texts = [letter * _PROBED + "!\n" for letter in letters]
    words = "".join(letters)
    texts += [(words + " ") * (_PROBED // (len(words) + 1)) + "!\n", "a b, c. " * (_PROBED // 8) + "\n"]
    try:
        for text in texts:
            predicate.search(text)
    except TimeoutError:
        return True
    return False
