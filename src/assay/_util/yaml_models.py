"""Frozen data from YAML files, with errors that name file and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from assay._util.atomic import write_text
from assay.errors import InvalidInput

# libyaml's, where PyYAML has it: it reads the suite in a tenth of the time
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


_Item = TypeVar("_Item", bound=BaseModel)


class Data(BaseModel):
    """Frozen; a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def load_yaml(path: Path, model: type[BaseModel]) -> Any:
    """Read a data file as its model.

    Raises:
        InvalidInput: missing, not YAML, or not of the model's shape; names file and field.
    """
    return _as_model(path, model, _read(path), "")


def open_list(path: Path, model: type[_Item]) -> list[_Item]:
    """Read a data file that holds a list, each item as its model.

    Raises:
        InvalidInput: as `load_yaml`, or no list.
    """
    items = _read(path)
    if not isinstance(items, list):
        raise InvalidInput(f"{path}: wants a list.")
    return [_as_model(path, model, item, f"{place}.") for place, item in enumerate(items)]


def write_yaml(data: dict[str, Any] | list[Any], path: Path) -> None:
    """Write YAML in the given order of keys, whole or not at all.

    Raises:
        NotWritten: there is no room, or no permission; nothing is left behind.
    """
    write_text(path, yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110))


def _read(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except FileNotFoundError:
        raise InvalidInput(f"{path}: no such file.") from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path}: not YAML: {error}") from None


def _as_model(path: Path, model: type[_Item], data: Any, place: str) -> _Item:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = place + ".".join(map(str, first["loc"])) or "file"
        raise InvalidInput(f"{path}: {where}: {first['msg']}.") from None
