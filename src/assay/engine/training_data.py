"""Training data in the shapes people have it in, read as documents: a prompt, and what was taught to be said to it.

    {"text"}                                       raw text
    {"prompt", "text"}                             as Assay writes it
    {"prompt", "completion"}                       texts, or conversations that follow one another
    {"messages"}                                   [{"role", "content"}, …], as OpenAI and transformers have it
    {"conversations"}                              [{"from", "value"}, …], as ShareGPT has it
    {"instruction", "output"}, perhaps "input"     as Alpaca has it
    {"chosen", "rejected"}, perhaps "prompt"       texts or conversations; what is rejected is not taught to be said

A file has records of any of these, one a line or in one JSON array, as it is or packed by gzip; or it is one plain
text, and then its name ends in `.txt` or `.md`. Keys that no shape has (`id`, `source`, …) are left out.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from assay._util.strict_json import json_lines, parse_json
from assay._util.text_files import as_text, kind_of, read_content, shortened
from assay.errors import InvalidInput

UNPACKED_LIMIT = 2 * 1024**3  # bytes of a packed file: a few kilobytes may unpack to more than any memory
_PLAIN = (".txt", ".md")
_TABLES = (".csv", ".tsv", ".parquet", ".arrow", ".feather", ".xlsx")
_SHAPES = (  # keys a record has, and keys of other shapes it may have beside them
    (("chosen", "rejected"), ("prompt", "messages")),
    (("messages",), ("prompt",)),
    (("conversations",), ()),
    (("instruction", "output"), ("input",)),
    (("prompt", "completion"), ()),
    (("prompt", "text"), ()),
    (("text",), ()),
)
_CONTENT = frozenset({
    "chosen", "rejected", "messages", "conversations", "instruction", "input", "output", "prompt", "completion", "text",
})  # fmt: skip
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "tool": "tool",
    "function": "tool",
}
_WORDS_OF_TURN = (("role", "content"), ("from", "value"))
_BESIDE_TURN = frozenset({"name", "weight", "train", "id"})  # change nothing of what was said
_SHAPES_TOLD = "; ".join(", ".join((*wants, *(f"{key}?" for key in may))) for wants, may in _SHAPES)


class TrainingText(NamedTuple):
    """One item of training data.

    Attributes:
        prompt: what came before, "" for raw text.
        text: what was taught to be said.
    """

    prompt: str
    text: str


def read_training_data(path: Path) -> Iterator[TrainingText]:
    """Read a file of training data.

    Raises:
        InvalidInput: it cannot be read, is in no shape that is known, or holds nothing; names the line and what was
            found there.
    """
    name = path.name.removesuffix(".gz")
    content = _unpacked(path, read_content(path))
    if name.lower().endswith(_TABLES) or kind_of(content):
        raise InvalidInput(
            f"{path} is a {kind_of(content) or Path(name).suffix} file; training data is read as JSON lines. Write "
            f'it so, with pandas say: frame.to_json("{Path(name).stem}.jsonl", orient="records", lines=True)'
        )
    text = as_text(content, str(path))
    empty = True
    for item in _items(text, path, plain=name.lower().endswith(_PLAIN)):
        empty = False
        yield item
    if empty:
        raise InvalidInput(f"{path} holds no training data.")


def _items(text: str, path: Path, *, plain: bool) -> Iterator[TrainingText]:
    if not plain:
        for where, record in _records(text, path):
            yield _read_record(record, where)
    elif text.strip():
        yield TrainingText("", text)


def _records(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    """Yield each record and where it stands."""
    if text.lstrip()[:1] != "[":
        for line, record in json_lines(text, str(path)):
            yield f"{path}:{line}", record
        return
    for number, record in enumerate(parse_json(text, str(path)), start=1):
        yield f"{path}: record {number}", record


def _unpacked(path: Path, content: bytes) -> bytes:
    if kind_of(content) != "gzip":
        return content
    try:
        with gzip.open(path) as file:
            content = file.read(UNPACKED_LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path} cannot be unpacked: {error}. Pack it anew.") from None
    if len(content) > UNPACKED_LIMIT:
        raise InvalidInput(f"{path} unpacks to more than {UNPACKED_LIMIT:,} bytes. Divide it.")
    return content


def _read_record(record: Any, where: str) -> TrainingText:
    """Read a record by the one shape it has."""
    if not isinstance(record, dict):
        raise InvalidInput(f"{where}: wants a JSON object (given: {shortened(record)}). Shapes: {_SHAPES_TOLD}.")
    content = record.keys() & _CONTENT
    fitting = [wants for wants, may in _SHAPES if content >= {*wants} and content <= {*wants, *may}]
    if not fitting:
        found = ", ".join(map(shortened, record)) or "none"
        raise InvalidInput(
            f"{where}: in no shape of training data that is known, or in two at once (its keys: {found}). Shapes: "
            f"{_SHAPES_TOLD}. Rename keys, or leave one shape's out."
        )
    shape = fitting[0]
    if shape == ("chosen", "rejected"):
        _said(record, "rejected", where)  # not taught, and yet it must be what it is called
        return _joined(record, "prompt" if "prompt" in record else "", "chosen", where)
    if shape == ("instruction", "output"):
        asked = [_text(record[key], f"{where}: {key}") for key in ("instruction", "input") if key in record]
        return TrainingText("\n\n".join(filter(None, asked)), _text(record["output"], f"{where}: output"))
    if shape in (("messages",), ("conversations",)):
        return _conversation(_turns(record[shape[0]], f"{where}: {shape[0]}"))
    return _joined(record, "prompt" if "prompt" in shape else "", shape[-1], where)


def _joined(record: Mapping[str, Any], before: str, after: str, where: str) -> TrainingText:
    """Read what two keys hold, each a text or a conversation; the first may be missing."""
    prompt = _said(record, before, where) if before else ""
    text = _said(record, after, where)
    if isinstance(text, str):
        return TrainingText(prompt if isinstance(prompt, str) else _transcript(prompt), text)
    turns = [("user", prompt)] if prompt and isinstance(prompt, str) else list(prompt)
    # A conversation may begin with the prompt that stands beside it.
    return _conversation(text if text[: len(turns)] == turns else [*turns, *text])


def _said(record: Mapping[str, Any], key: str, where: str) -> str | list[tuple[str, str]]:
    value = record[key]
    return _turns(value, f"{where}: {key}") if isinstance(value, list) else _text(value, f"{where}: {key}")


def _conversation(turns: Sequence[tuple[str, str]]) -> TrainingText:
    """Read turns: the last one is what is said to those before it, if it is the assistant's."""
    if turns[-1][0] != "assistant":
        return TrainingText("", _transcript(turns))
    before = turns[:-1]
    if [role for role, _ in before] == ["user"]:
        return TrainingText(before[0][1], turns[-1][1])
    return TrainingText(_transcript(before), turns[-1][1])


def _transcript(turns: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{role}: {content}" for role, content in turns)


def _turns(value: Any, where: str) -> list[tuple[str, str]]:
    """Read a conversation as roles and texts."""
    if not isinstance(value, list) or not value:
        raise InvalidInput(f"{where}: wants a list of turns, at least one (given: {shortened(value)}).")
    return [_turn(turn, f"{where}.{number}") for number, turn in enumerate(value)]


def _turn(turn: Any, where: str) -> tuple[str, str]:
    words = [pair for pair in _WORDS_OF_TURN if isinstance(turn, dict) and {*pair} <= turn.keys()]
    if len(words) != 1:
        raise InvalidInput(
            f'{where}: a turn is {{"role", "content"}} or {{"from", "value"}} (given: {shortened(turn)}).'
        )
    of, said = words[0]
    set_beside = [key for key, value in turn.items() if key not in (of, said, *_BESIDE_TURN) and value]
    if set_beside:
        raise InvalidInput(f"{where}: {shortened(set_beside[0])} is not understood; turns are texts. Write it out.")
    role = turn[of]
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidInput(f"{where}: {of} is {shortened(role)}; known: {', '.join(_ROLES)}.")
    return _ROLES[role], _parts(turn[said], f"{where}.{said}")


def _parts(content: Any, where: str) -> str:
    """Read a turn's content: a text, or OpenAI's list of parts where all are text."""
    if not isinstance(content, list):
        return _text(content, where)
    texts: list[str] = []
    for number, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") != "text" or part.keys() != {"type", "text"}:
            kind = part.get("type") if isinstance(part, dict) else part
            raise InvalidInput(f"{where}.{number}: a part of kind {shortened(kind)}; parts are text. Leave it out.")
        texts.append(_text(part["text"], f"{where}.{number}.text"))
    return "\n".join(texts)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{where}: wants text (given: {shortened(value)}).")
    return value
