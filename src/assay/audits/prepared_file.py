"""Prepared values as files: plain data and arrays, never a pickle, with a digest that is checked when they are read.

A file is the digest of the rest, a line end, one line of JSON, and the arrays, each at a multiple of 64 bytes. The JSON
has the value, what preparing it cost, and of each array type, shape and place; in the value each array is
`{"array": number}` and each mapping `{"items": {…}}`. Arrays are views of what is read, so that those of a file that is
mapped into memory cost each process that reads them next to nothing; they cannot be written to.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from mmap import mmap
from typing import TYPE_CHECKING, Any

from assay.core.record import Preparation
from assay.core.target import Cost
from assay.errors import PluginError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALLOWED = (
    "a prepared value is made of dict (keys are str), list, tuple (comes back as a list), str, int, float, bool, None "
    "and numpy arrays of numbers or strings"
)
_KINDS = "biufcU"  # numpy's letters for bool, integers, floats, complex numbers, strings
_ALIGNED = 64  # bytes
_HEX = 64  # of a digest


@dataclass(frozen=True, slots=True)
class PackedValue:
    """Holds a file's content in parts, since arrays may be larger than what memory has room for twice.

    Attributes:
        digest: of all after the first line.
        head: the JSON's line, filled up with spaces to where arrays begin.
        arrays: in the order of their numbers.
    """

    digest: str
    head: bytes
    arrays: tuple[NDArray[Any], ...]

    def parts(self) -> Iterator[bytes | memoryview]:
        """Yields the content from its beginning."""
        yield f"{self.digest}\n".encode()
        yield from _body(self.head, self.arrays)


def pack(value: Any, cost: Cost, what: str) -> PackedValue:
    """Makes a file's content of a value.

    Args:
        value: what `prepare` returned.
        cost: of preparing it.
        what: named in errors.

    Raises:
        PluginError: something in it is no plain data.
    """
    arrays: list[NDArray[Any]] = []
    plain = _plain(value, arrays, what)
    places: list[list[Any]] = []
    end = 0
    for array in arrays:
        places.append([array.dtype.str, list(array.shape), end])
        end += _filled(array.nbytes)
    text = json.dumps({"value": plain, "cost": astuple(cost), "arrays": places})
    # Digest, JSON and both line ends together end where the first array may begin.
    head = text.encode()
    head += b" " * (_filled(_HEX + 2 + len(head)) - _HEX - 2 - len(head)) + b"\n"
    hashed = hashlib.sha256()
    for part in _body(head, arrays):
        hashed.update(part)
    return PackedValue(hashed.hexdigest(), head, tuple(arrays))


@dataclass(frozen=True, slots=True)
class Checked:
    """A content whose digest is the one that stands before it; made by `checked`."""

    content: bytes | mmap
    digest: str

    def read(self) -> tuple[Any, Preparation]:
        """Reads the value, and what preparing it cost. Lists and mappings are new each time, arrays are views.

        Raises:
            ValueError: this is no prepared value.
        """
        try:
            begin = self.content.find(b"\n", _HEX + 1) + 1
            kept = json.loads(self.content[_HEX + 1 : begin])
            arrays = [_viewed(self.content, begin, *place) for place in kept["arrays"]]
            return _restored(kept["value"], arrays), Preparation(Cost(*kept["cost"]), self.digest)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ValueError("not a file of a prepared value") from error


def checked(content: bytes | mmap) -> Checked:
    """Compares a content with the digest that stands before it.

    Raises:
        ValueError: the content is not what was written.
    """
    with memoryview(content) as seen:
        found = hashlib.sha256(seen[_HEX + 1 :]).hexdigest()
    if content[: _HEX + 1] != f"{found}\n".encode():
        raise ValueError("the value is not the one whose digest was kept")
    return Checked(content, found)


def _body(head: bytes, arrays: Sequence[NDArray[Any]]) -> Iterator[bytes | memoryview]:
    import numpy as np

    yield head
    for array in arrays:
        yield array.reshape(-1).view(np.uint8).data if array.size else b""
        yield b"\0" * (_filled(array.nbytes) - array.nbytes)


def _filled(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _viewed(content: bytes | mmap, begin: int, dtype: str, shape: list[int], offset: int) -> NDArray[Any]:
    import numpy as np

    kind = np.dtype(dtype)
    if kind.kind not in _KINDS or offset < 0:
        raise TypeError(f"{dtype} at {offset}: no array of numbers or strings behind the JSON")
    return np.ndarray(tuple(shape), kind, content, begin + offset)


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
        arrays.append(np.asarray(value, order="C"))
        return {"array": len(arrays) - 1}
    raise PluginError(f"{what}: prepare returned a value with {_told(value)} in it; {ALLOWED}, and numbers are finite.")


def _told(value: Any) -> str:
    if type(value) is dict:
        return f"the key {next(key for key in value if type(key) is not str)!r}"
    return repr(value) if isinstance(value, float) else f"a {type(value).__module__}.{type(value).__qualname__}"


def _restored(value: Any, arrays: Sequence[NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return [_restored(item, arrays) for item in value]
    if isinstance(value, dict):
        if "array" in value:
            return arrays[value["array"]]
        return {key: _restored(item, arrays) for key, item in value["items"].items()}
    return value
