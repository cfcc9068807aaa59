"""Soft bounds: what grows beyond one comes ever nearer to it, and never passes it. Gemma 2 bounds scores and logits."""

from __future__ import annotations

import torch


def capped(x: torch.Tensor, bound: float) -> torch.Tensor:
    """Bound each number, as transformers does it: step by step, in the numbers' own format."""
    return torch.tanh(x / bound) * bound


def capped_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, attn_mask: torch.Tensor, scale: float, cap: float
) -> torch.Tensor:
    """Attention whose scores are bounded before they are masked, which torch's own has no room for.

    Args:
        query: (…, queries, width).
        key: (…, keys, width).
        value: likewise.
        attn_mask: (…, queries, keys), whether a query sees a key (bool), or what is added to its score.
        scale: scores are multiplied by it first.
        cap: of scores.

    Returns:
        (…, queries, width).
    """
    scores = capped(query @ key.mT * scale, cap)
    scores = scores.masked_fill(~attn_mask, float("-inf")) if attn_mask.dtype == torch.bool else scores + attn_mask
    return scores.softmax(-1, dtype=torch.float32).to(query.dtype) @ value
