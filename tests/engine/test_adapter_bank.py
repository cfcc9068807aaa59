"""Stacked adapters give each row its own, few or many, joined with the base or not; memory holds what is in use."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from assay.engine.local import adapter_bank as module
from assay.engine.local.adapter_bank import AdapterBank
from assay.engine.local.llama import Llama
from assay.engine.local.lora import LoraAdapter, open_adapter
from assay.engine.peft_layout import FUSED


@pytest.fixture(scope="session")
def many(make_adapter: Callable[..., Path]) -> list[Path]:
    return [make_adapter(10 + number, rank=2 + number % 3, first=number % 2) for number in range(11)]


def filled_bank(tiny: Path, paths: list[Path], dtype: torch.dtype) -> tuple[Llama, AdapterBank, list[LoraAdapter]]:
    model = Llama(tiny, dtype, 64)
    adapters = [open_adapter(path, "", model.widths, model.shape.layers) for path in paths]
    bank = AdapterBank(model)
    bank.load(adapters)
    return model, bank, adapters


def expected(model: Llama, adapter: LoraAdapter | None, x: torch.Tensor, layer: int, fused: str) -> torch.Tensor:
    """What one adapter adds to the products of one layer, in float32."""
    factors = adapter.read(torch.float32) if adapter is not None else {}
    parts = []
    for module_name, width in zip(FUSED[fused], model.shapes[fused][1], strict=True):
        pair = factors.get((layer, module_name))
        parts.append(torch.zeros(len(x), width) if pair is None else x.float() @ pair[0].T @ pair[1].T)
    return torch.cat(parts, dim=-1)


@pytest.mark.numerics
@pytest.mark.parametrize("count", [1, 3, 11])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("settled", [0, 32])
def test_each_row_gets_its_own(
    tiny: Path, many: list[Path], dtype: torch.dtype, count: int, settled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SETTLED", settled)
    with torch.inference_mode():
        model, bank, adapters = filled_bank(tiny, many[:count], dtype)
        rows: list[LoraAdapter | None] = [None, *adapters, adapters[0]]
        strength = {1: {1: 2.0}, len(rows) - 1: {0: 0.0, 1: -1.0}}
        carried = bank.mixed(rows, strength)
        assert carried is not None
        for layer in range(model.shape.layers):
            for fused in FUSED:
                x = torch.randn(len(rows), model.shapes[fused][0], dtype=dtype)
                plus = torch.randn(len(rows), sum(model.shapes[fused][1]), dtype=dtype)
                y = plus.float() + x.float() @ model.products[layer][fused].weight.float().T
                wanted = torch.cat(
                    [
                        y[row, None]
                        + strength.get(row, {}).get(layer, 1.0) * expected(model, adapter, x[row, None], layer, fused)
                        for row, adapter in enumerate(rows)
                    ]
                )
                close = {"atol": 1e-4, "rtol": 1e-4} if dtype == torch.float32 else {"atol": 0.06, "rtol": 0.03}
                torch.testing.assert_close(bank.product(x, layer, fused, plus, carried).float(), wanted, **close)


def test_an_adapter_that_leaves_makes_room_and_comes_back_right(tiny: Path, many: list[Path]) -> None:
    with torch.inference_mode():
        model, bank, adapters = filled_bank(tiny, many[:4], torch.float32)
        small = bank.nbytes
        others = [open_adapter(path, "", model.widths, model.shape.layers) for path in many[4:8]]
        bank.load(others)
        assert bank.nbytes <= small * 2  # the ranks of the others are higher; the seats are the same
        bank.load([adapters[2], *others[:2]])
        x = torch.randn(2, model.shapes["down"][0])
        for adapter in (adapters[2], others[1]):
            carried = bank.shared(adapter)
            assert carried is not None
            got = bank.product(x, 1, "down", None, carried) - model.base(x, 1, "down", None)
            torch.testing.assert_close(got, expected(model, adapter, x, 1, "down"), atol=1e-5, rtol=1e-4)


def test_room_that_is_not_needed_is_given_up(tiny: Path, many: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 3)
    with torch.inference_mode():
        _, bank, adapters = filled_bank(tiny, many, torch.float32)
        full = bank.nbytes
        for _ in range(5):
            bank.load(adapters[:2])
        assert bank.nbytes < full / 2
        assert bank.shared(adapters[1]) is not None


def test_an_adapter_changed_while_in_use_is_corrupt(
    tiny: Path, make_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    import shutil

    from assay.engine.local.lora import WEIGHTS
    from assay.errors import CorruptArtifact

    path = shutil.copytree(make_adapter(1), tmp_path / "adapter")
    model = Llama(tiny, torch.float32, 64)
    adapter = open_adapter(path, "", model.widths, model.shape.layers)
    data = bytearray((path / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (path / WEIGHTS).write_bytes(data)
    bank = AdapterBank(model)
    with pytest.raises(CorruptArtifact, match="while it was in use"):
        bank.load([adapter])
