"""Prepared values are plain data and arrays: what is written is read back, and nothing that is read is executed."""

import hashlib
import io
import json
import math
import pickle
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from assay.audits.prepared_file import checked
from assay.audits.prepared_file import pack as pack_parts
from assay.core.record import Preparation
from assay.core.target import Cost
from assay.errors import PluginError


def pack(value: Any, cost: Cost, what: str) -> bytes:
    return b"".join(pack_parts(value, cost, what).parts())


def unpack(content: bytes) -> tuple[Any, Preparation]:
    return checked(content).read()


def same(one: Any, other: Any) -> bool:
    """Equal in value, type and shape, arrays included."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize(
    "value",
    [
        None,
        0.1,
        "lone \ud800, zero \0",
        [],
        {},
        {"array": 0, "items": {"array": [1, True, None]}},
        np.zeros((0, 3), dtype=np.float32),
        np.array(1.5),
        np.arange(12).reshape(3, 4).T,
        {"meanings": np.arange(6.0).reshape(2, 3), "names": np.array(["a", "ü"]), "deep": [[{"x": np.array([True])}]]},
    ],
)
def test_values_come_back_as_they_were(value: Any) -> None:
    content = pack(value, Cost(1, 2, 3), "tool t")
    found, made = unpack(content)
    assert same(value, found)
    assert made.cost == Cost(1, 2, 3)
    assert content == pack(value, Cost(1, 2, 3), "tool t")  # so that its digest says what it is
    assert made.digest != unpack(pack([value], Cost(1, 2, 3), "tool t"))[1].digest


def test_tuples_and_numpys_numbers_come_back_plain() -> None:
    assert unpack(pack((1, np.float32(0.5)), Cost(), "t"))[0] == [1, 0.5]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), r"a builtins\.object"),
        ([b"bytes"], r"a builtins\.bytes"),
        ({1: "one"}, "the key 1"),
        ({"deep": [math.nan]}, "nan"),
        (defaultdict(list), r"a collections\.defaultdict"),
        (np.array([object()]), r"a numpy\.ndarray"),
        (lambda: None, r"a builtins\.function"),
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(value: Any, said: str) -> None:
    with pytest.raises(PluginError, match=rf"tool t: .*{said} in it; a prepared value is made of dict"):
        pack(value, Cost(), "tool t")


@pytest.mark.attacks
def test_a_changed_file_is_not_read() -> None:
    content = pack({"reply": "Hello", "more": np.arange(9)}, Cost(1), "t")
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(ValueError, match="digest"):
            unpack(bytes(changed))


@pytest.mark.attacks
def test_a_planted_pickle_is_not_executed() -> None:
    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("executed",))

    archive, array = io.BytesIO(), io.BytesIO()
    np.savez(archive, json=np.array([Planted()], dtype=object))
    np.save(array, np.arange(3))
    for body in (pickle.dumps(Planted()), archive.getvalue(), array.getvalue(), b""):
        with pytest.raises(ValueError):
            unpack(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


@pytest.mark.attacks
def test_a_forged_place_of_an_array_is_no_value() -> None:
    for place in (["<f8", [9], 0], ["<f8", [1], 10**6], ["|O8", [1], 0], ["<f8", [1], -64], ["nonsense", [1], 0], [1]):
        head = json.dumps({"value": {"array": 0}, "cost": [0, 0, 0], "arrays": [place]}).encode() + b"\n"
        body = head + b"\0" * 64
        with pytest.raises(ValueError):
            unpack(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def test_arrays_are_shared_and_cannot_be_written_to() -> None:
    content = pack({"of": np.arange(9.0), "list": [1]}, Cost(), "t")
    both = [unpack(content)[0], unpack(content)[0]]
    assert np.shares_memory(both[0]["of"], both[1]["of"]) and both[0]["list"] is not both[1]["list"]
    with pytest.raises(ValueError, match="read-only"):
        both[0]["of"][0] = 1.0
