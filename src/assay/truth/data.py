"""Frozen data from YAML files, with errors that name file and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from assay.core.errors import InvalidInput

# libyaml's, where PyYAML has it: it reads the suite in a tenth of the time
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
