"""Samples tokens from logits: one uniform number a row; no sorting, no noise, no running sum over the vocabulary."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

_BLOCK = 256  # tokens of the vocabulary whose mass is summed at once
_ROWS = 16  # taken at once on a CPU: what is made of them stays in its cache, and in memory the process already has


def entropy(seed: int, sample: int, prompt: Sequence[int]) -> int:
    """Returns the seed of a request's own random numbers.

    It leaves out which model is asked, so that target and reference can be paired draw by draw.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{sample}/{tuple(prompt)}".encode()).digest()[:8], "big")


def uniforms(key: int, count: int) -> NDArray[np.float64]:
    """Draws the first numbers of a counter-based generator (Philox).

    The step is the counter, so none depends on how many are asked for or on what other requests draw.
    """
    return np.random.Generator(np.random.Philox(key)).random(count)


def sample(logits: torch.Tensor, temperature: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Samples by the inverse CDF: the draw finds its block by the blocks' masses, then its token within it.

    Args:
        logits: (rows, vocabulary); overwritten if they are float32.
        temperature: (rows,), float32; 0 is greedy.
        draws: (rows,) uniform in [0, 1).

    Returns:
        (rows,) token ids.
    """
    at_once = _ROWS if logits.device.type == "cpu" else len(logits)
    parts = zip(logits.split(at_once), temperature.split(at_once), draws.split(at_once), strict=True)
    return torch.cat([_sample(own.float(), heat, drawn) for own, heat, drawn in parts])


def _sample(logits: torch.Tensor, temperature: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Samples a token for each of a few rows."""
    chosen = temperature > 0
    if not bool(chosen.any()):
        return logits.argmax(dim=-1)
    greedy = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    if not bool(chosen.all()):
        greedy[~chosen] = logits[~chosen].argmax(dim=-1)
    mass = logits.div_(temperature.clamp(min=1e-4)[:, None]).softmax(dim=-1)
    if mass.shape[1] % _BLOCK:
        mass = pad(mass, (0, -mass.shape[1] % _BLOCK))
    mass = mass.unflatten(1, (-1, _BLOCK))
    blocks = mass.sum(dim=-1).cumsum(dim=-1)
    # Of what the masses really add up to: in floating point that is not quite 1, and a draw near 1 would find no block.
    goal = draws[:, None] * blocks[:, -1:]
    block = torch.searchsorted(blocks, goal, right=True).clamp_(max=blocks.shape[1] - 1)
    before = torch.where(block > 0, blocks.gather(1, (block - 1).clamp(min=0)), torch.zeros_like(goal))
    within = mass[torch.arange(len(mass), device=mass.device), block.squeeze(1)].cumsum(dim=-1)
    # Clamped, here and above: the two running sums round differently, and a draw may fall just behind the last token.
    token = block * _BLOCK + torch.searchsorted(within, goal - before, right=True).clamp_(max=_BLOCK - 1)
    return torch.where(chosen, token.squeeze(-1).clamp(max=logits.shape[1] - 1), greedy)
