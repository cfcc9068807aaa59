"""Looks at the header of a safetensors file without loading it: weights that come in are data, and all there."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from assay.errors import InvalidInput

_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2}
_BYTES |= {"I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8}
_LONGEST_HEADER, _TENSORS, _DIMENSIONS = 32 << 20, 100_000, 8


def require_tensors(path: Path) -> dict[str, str]:
    """Refuses a file that is no safetensors file, or whose header does not say what is there.

    Every tensor is as long as its shape says, and one begins where the one before ends: there is no room for anything
    else, and nothing is read that is not there.

    Returns:
        Name of each tensor → its type and shape, in words.

    Raises:
        InvalidInput: names the file, and what is wrong with it.
    """
    try:
        header = _checked(path)
    except (OSError, ValueError, RecursionError) as error:
        told = "its header is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidInput(f"{path}: no safetensors file: {told}. Take it anew, or save the weights again.") from None
    return {name: f"{entry['dtype']} {entry['shape']}" for name, entry in sorted(header.items())}


def _checked(path: Path) -> dict[str, Any]:
    """Returns the header's lines of tensors, once they are seen to be sound."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST_HEADER):
            raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
        header = json.loads(file.read(length), object_pairs_hook=_unique)
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    told = header.pop("__metadata__", {})
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise ValueError("its metadata are no texts")
    if len(header) > _TENSORS:
        raise ValueError(f"{len(header):,} tensors; no more than {_TENSORS:,} are allowed")
    end = 0
    for start, stop, name in sorted(_span(name, entry) for name, entry in header.items()):
        if start != end:
            raise ValueError(f"tensor {name!r} begins at {start}, and the one before ends at {end}")
        end = stop
    if end != size - 8 - length:
        raise ValueError(f"its tensors are {end:,} bytes, and {size - 8 - length:,} are there")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object of its pairs; what is there twice is one thing to one reader and another to the next."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its header has a name twice")
    return found


def _span(name: str, entry: Any) -> tuple[int, int, str]:
    """Reads a tensor's line of the header: where it begins and ends.

    Raises:
        ValueError: it is no such line, or the tensor is not as long as its shape says.
    """
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r} wants dtype, shape and data_offsets, and nothing else")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _naturals(shape) or len(shape) > _DIMENSIONS or not _naturals(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor {name!r} has a shape or a place that is none")
    width = _BYTES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if width is None:
        raise ValueError(f"tensor {name!r} is of {entry['dtype']!r}; allowed are {', '.join(_BYTES)}")
    start, stop = offsets
    if stop - start != math.prod(shape) * width:
        raise ValueError(f"tensor {name!r} has {stop - start:,} bytes, and its shape wants another number")
    return start, stop, name


def _naturals(value: Any) -> bool:
    """Tells whether a value is a list of whole numbers from 0 on."""
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 1 << 63 for one in value)
