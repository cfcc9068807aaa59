"""What lower layers made of a prompt serves every adapter above them, and nothing else changes."""

from pathlib import Path

import pytest
import torch

from assay.engine.local import lower_layer_cache as module
from assay.engine.local.llama import Llama
from assay.engine.local.lower_layer_cache import LowerLayerCache

PROMPTS = [tuple(b"Hello, what is this?"), tuple(b"Hello, what"), tuple(b"Hello, who goes there at night?")]


@pytest.fixture
def model(tiny: Path) -> Llama:
    return Llama(tiny, torch.float32, 256)


def direct(model: Llama, depth: int, prompt: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    h, s = model.embed([prompt]), model.shape
    kept = torch.empty(depth, 1, len(prompt), 2 * s.key_heads, s.head_width)
    hidden = model.prefill(h, range(depth), model.base, keep=kept)
    return hidden[0], kept[:, 0]


def test_a_prompt_is_read_once_and_right(model: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    prefill = model.prefill
    monkeypatch.setattr(
        model, "prefill", lambda h, *rest, **more: (passes.append(len(h)), prefill(h, *rest, **more))[1]
    )
    trunk = LowerLayerCache(model)
    for wanted, read in ((PROMPTS[:2], [2]), (PROMPTS, [2, 1]), ([*PROMPTS, PROMPTS[0]], [2, 1])):
        hidden, kept = trunk.read(wanted, 2, None)
        assert passes == read
        for row, prompt in enumerate(wanted):
            own, keys_values = direct(model, 2, prompt)
            passes.pop()
            torch.testing.assert_close(hidden[row, : len(prompt)], own, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(kept[row], keys_values, atol=1e-5, rtol=1e-4)


def test_a_prefix_is_not_read_again(model: Llama) -> None:
    _, past = direct(model, 4, PROMPTS[0][:6])
    hidden, kept = LowerLayerCache(model).read(PROMPTS, 2, past)
    for row, prompt in enumerate(PROMPTS):
        own, keys_values = direct(model, 2, prompt)
        torch.testing.assert_close(hidden[row, : len(prompt) - 6], own[6:], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(kept[row], keys_values[:, 6:], atol=1e-5, rtol=1e-4)


def test_it_forgets_what_was_used_least_lately(model: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BYTES", 1)
    trunk = LowerLayerCache(model)
    trunk.read(PROMPTS, 2, None)
    assert not trunk._read and trunk._size == 0
