"""A safetensors file is what its header says, or it is refused before it is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load, save

from assay.errors import InvalidInput
from assay.testbeds.layout import ADAPTER
from assay.testbeds.suites import embedded_suite
from assay.testbeds.tensor_files import require_tensors

GOOD = save({"a": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.bfloat16), "c": torch.zeros(0)}, {"format": "pt"})


def made(header: Any, data: bytes = bytes(8), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes


def test_what_is_one_is_taken(tmp_path: Path) -> None:
    (tmp_path / "good.safetensors").write_bytes(GOOD)
    require_tensors(tmp_path / "good.safetensors")
    for path in sorted(embedded_suite().testbeds.glob(f"*/{ADAPTER}/*.safetensors")):
        require_tensors(path)


BAD = {
    "a pickle": b"\x80\x04\x95" + bytes(40),
    "empty": b"",
    "a length and nothing": (10).to_bytes(8, "little"),
    "a header of exabytes": made({}, length=1 << 62),
    "no JSON": made(b"{x"),
    "no object": made([1]),
    "nested without end": made(b"[" * 200_000),
    "a tensor that is no object": made({"a": 1}),
    "too little": made({"a": tensor()}, bytes(7)),
    "too much, for something hidden": made({"a": tensor()}, bytes(9)),
    "a gap": made({"a": tensor(), "b": tensor(data_offsets=[12, 20])}, bytes(20)),
    "two in one place": made({"a": tensor(), "b": tensor()}),
    "backwards": made({"a": tensor(data_offsets=[8, 0])}),
    "negative": made({"a": tensor(shape=[-2])}),
    "a shape that overflows": made({"a": tensor(shape=[1 << 62, 1 << 62])}),
    "a shape of many numbers": made({"a": tensor(shape=[1] * 1_000)}),
    "fractions": made({"a": tensor(shape=[2.0])}),
    "truth for a number": made({"a": tensor(shape=[True, 2])}),
    "an unknown type": made({"a": tensor(dtype="OBJECT")}),
    "a type that is none": made({"a": tensor(dtype=["F32"])}),
    "more keys": made({"a": tensor(pickle="x")}),
    "a name twice": made(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "a": {}}'),
    "metadata that are no texts": made({"__metadata__": {"x": {"y": 1}}, "a": tensor()}),
}


@pytest.mark.attacks
@pytest.mark.parametrize("what", BAD)
def test_what_is_none_is_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "bad.safetensors").write_bytes(BAD[what])
    with pytest.raises(InvalidInput, match="no safetensors file"):
        require_tensors(tmp_path / "bad.safetensors")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(GOOD)), st.binary(max_size=6), st.integers(0, 6))
def test_what_is_taken_the_library_reads_too(tmp_path: Path, at: int, inserted: bytes, dropped: int) -> None:
    data = GOOD[:at] + inserted + GOOD[at + dropped :]
    (tmp_path / "some.safetensors").write_bytes(data)
    try:
        require_tensors(tmp_path / "some.safetensors")
    except InvalidInput:
        return
    try:
        load(data)
    except SafetensorError as error:  # the library is stricter in what a header may begin with
        assert "header" in str(error)
