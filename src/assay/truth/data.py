"""Frozen data from YAML files, with errors that name file and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from assay.core.errors import InvalidInput

# libyaml's, where PyYAML has it: it reads the suite in a tenth of the time
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


_Item = TypeVar("_Item", bound=BaseModel)


class Data(BaseModel):
    """Frozen; a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def load_yaml(path: Path, model: type[BaseModel]) -> Any:
    """A data file as its model.

    Raises:
        InvalidInput: missing, not YAML, or not of the model's shape; names file and field.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
        return model.model_validate(data)
    except FileNotFoundError:
        raise InvalidInput(f"{path}: no such file.") from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path}: not YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise InvalidInput(f"{path}: {where}: {first['msg']}.") from None


def open_list(path: Path, model: type[_Item]) -> list[_Item]:
    """A data file that holds a list, each item as its model.

    Raises:
        InvalidInput: as `load_yaml`.
    """
    items: list[_Item] = load_yaml(path, RootModel[list[model]]).root  # type: ignore[valid-type]
    return items
