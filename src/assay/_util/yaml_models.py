"""Frozen data from files of YAML and JSON, with errors that name file, line and field."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, to_json

from assay._util.atomic import write_text
from assay._util.strict_yaml import Place, YamlDocument, read_document
from assay._util.text_files import shortened
from assay.errors import InvalidInput

_Item = TypeVar("_Item", bound=BaseModel)


class Data(BaseModel):
    """Frozen; a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def load_yaml(path: Path, model: type[BaseModel]) -> Any:
    """Read a data file as its model.

    Raises:
        InvalidInput: missing, not YAML, or not of the model's shape; names file, line and field.
    """
    document = read_document(path)
    return _as_model(str(path), model, document, document.value, ())


def open_list(path: Path, model: type[_Item]) -> list[_Item]:
    """Read a data file that holds a list, each item as its model.

    Raises:
        InvalidInput: as `load_yaml`, or no list.
    """
    document = read_document(path)
    if not isinstance(document.value, list):
        raise InvalidInput(f"{path}: wants a list.")
    return [_as_model(str(path), model, document, item, (place,)) for place, item in enumerate(document.value)]


def write_yaml(data: dict[str, Any] | list[Any], path: Path) -> None:
    """Write YAML in the given order of keys, whole or not at all.

    Raises:
        NotWritten: there is no room, or no permission; nothing is left behind.
    """
    write_text(path, yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110))


class _Dumper(yaml.SafeDumper):
    """Writes a value that occurs twice in full each time."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def as_model(value: Any, model: type[_Item], where: str) -> _Item:
    """Make a model of what was read as JSON.

    Args:
        value: plain data.
        model: of it.
        where: named in errors.

    Raises:
        InvalidInput: not of the model's shape; names the field.
    """
    return _as_model(where, model, YamlDocument(value), value, ())


def _as_model(where: str, model: type[_Item], document: YamlDocument, data: Any, place: Place) -> _Item:
    try:
        if document.dated:  # JSON has no dates: what follows would take one for the text it is written as
            model.model_validate(data)
        # JSON's strict rules: a list may become a tuple, and "8" or `true` no number.
        return model.model_validate_json(to_json(data), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidInput(f"{where}{_refusal(model, document, place, first)}") from None


def _refusal(model: type[BaseModel], document: YamlDocument, place: Place, error: ErrorDetails) -> str:
    """Say where an error is, what was given, and what is allowed."""
    found = _without_kinds(document, (*place, *error["loc"]))
    mark = document.mark(found)
    line = f":{mark.line}" if document.marks else ""
    told = f"{line}: {'.'.join(map(str, (*place, *error['loc']))) or 'file'}: {error['msg']}"
    if error["type"] == "extra_forbidden":
        return f"{told}. Known: {', '.join(_known_keys(model, error['loc']))}."
    if error["type"] == "missing":
        return f"{told}."
    given = error["input"]
    if error["type"] == "string_type" and mark.written and not isinstance(given, list | dict):
        return f'{told} (given: {mark.written}, which YAML reads as {given!r}). Write "{mark.written}" in quotes.'
    return f"{told} (given: {shortened(given)})."


def _without_kinds(document: YamlDocument, place: Place) -> Place:
    """Leave out what pydantic puts between keys to tell which alternative it tried."""
    found: Place = ()
    for part in place:
        if (*found, part) in document.marks:
            found = (*found, part)
    return found


def _known_keys(model: type[BaseModel], place: Place) -> list[str]:
    """List the keys of the model around an unknown key, as far as the fields' types tell which it is."""
    around = model
    for part in place[:-1]:
        inner: list[type[BaseModel]] = []
        if part in around.model_fields:
            inner = _models_in(around.model_fields[str(part)].annotation)
        named = [one for one in inner if one.__name__ in place]
        if inner:
            around = named[0] if named else inner[0]
    return sorted(around.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Find the models that a type is made of: of `list[Phase] | None`, Phase."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    for argument in typing.get_args(annotation):
        found += _models_in(argument)
    return found
