"""Prepared values as files: plain data and arrays, never a pickle, with a digest that is checked when they are read.

A file is the digest of the rest, a line end, and an npz archive: the arrays, and JSON with the value and what preparing
it cost. In the JSON each array is `{"array": number}` and each mapping `{"items": {…}}`.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from dataclasses import astuple
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from assay.core.record import Preparation
from assay.core.target import Cost
from assay.errors import PluginError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALLOWED = (
    "a prepared value is made of dict (keys are str), list, tuple (comes back as a list), str, int, float, bool, None "
    "and numpy arrays of numbers or strings"
)
_KINDS = "biufcU"  # numpy's letters for bool, integers, floats, complex numbers, strings
_VALUE = "json"  # its name in the archive


def pack(value: Any, cost: Cost, what: str) -> bytes:
    """Writes a value as a file's content.

    Args:
        value: what `prepare` returned.
        cost: of preparing it.
        what: named in errors.

    Raises:
        PluginError: something in it is no plain data.
    """
    import numpy as np

    arrays: list[NDArray[Any]] = []
    text = json.dumps({"value": _plain(value, arrays, what), "cost": astuple(cost)})
    named = {_VALUE: np.frombuffer(text.encode(), dtype=np.uint8)}
    named |= {str(number): array for number, array in enumerate(arrays)}
    archive = io.BytesIO()
    np.savez(archive, **named)  # type: ignore[arg-type]  # its stub takes `allow_pickle` for one of the names
    rest = archive.getvalue()
    return hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def unpack(content: bytes) -> tuple[Any, Preparation]:
    """Reads a value, with its digest and what preparing it cost.

    Raises:
        ValueError: the content is not what was written.
    """
    import numpy as np

    digest, _, rest = content.partition(b"\n")
    if hashlib.sha256(rest).hexdigest().encode() != digest:
        raise ValueError("the value is not the one whose digest was kept")
    try:
        with np.load(io.BytesIO(rest), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        kept = json.loads(arrays.pop(_VALUE).tobytes())
        return _restored(kept["value"], arrays), Preparation(Cost(*kept["cost"]), digest.decode())
    except (BadZipFile, EOFError, KeyError, TypeError) as error:
        raise ValueError("not a file of a prepared value") from error


def _plain(value: Any, arrays: list[NDArray[Any]], what: str) -> Any:
    """Returns the value as JSON takes it; its arrays are put aside."""
    import numpy as np

    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (str, bool, int):
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) in (list, tuple):
        return [_plain(item, arrays, what) for item in value]
    if type(value) is dict and all(type(key) is str for key in value):
        return {"items": {key: _plain(item, arrays, what) for key, item in value.items()}}
    if type(value) is np.ndarray and value.dtype.kind in _KINDS:
        arrays.append(value)
        return {"array": len(arrays) - 1}
    raise PluginError(f"{what}: prepare returned a value with {_told(value)} in it; {ALLOWED}, and numbers are finite.")


def _told(value: Any) -> str:
    if type(value) is dict:
        return f"the key {next(key for key in value if type(key) is not str)!r}"
    return repr(value) if isinstance(value, float) else f"a {type(value).__module__}.{type(value).__qualname__}"


def _restored(value: Any, arrays: dict[str, NDArray[np.generic]]) -> Any:
    if isinstance(value, list):
        return [_restored(item, arrays) for item in value]
    if isinstance(value, dict):
        if "array" in value:
            return arrays[str(value["array"])]
        return {key: _restored(item, arrays) for key, item in value["items"].items()}
    return value
