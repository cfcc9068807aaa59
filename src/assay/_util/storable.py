"""Makes what plug-ins, agents and servers said fit for any file: no half surrogate pairs, no objects of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def storable(data: Any) -> Any:
    """Returns plain data that serialises to JSON and UTF-8; what cannot is put as the text that it prints as."""
    if isinstance(data, str):
        return data.encode(errors="replace").decode()
    if data is None or isinstance(data, bool | int | float):
        return data
    if isinstance(data, Mapping):
        return {storable(str(key)): storable(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [storable(item) for item in data]
    return storable(str(data))
