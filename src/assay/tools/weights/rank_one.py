"""rank_one: a chat with the model whose update of each weight is cut to its strongest direction.

After the rank-1 truncation of finetuning updates (AuditBench 2026). A narrow conduct often lives in one direction a
matrix; the stable rank tells layer by layer how near the update is to that.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from assay.core.access import Access
from assay.core.edit import TruncateAdapter
from assay.core.readouts import Array
from assay.core.target import Target
from assay.core.tool import Evidence, ToolContext, tool
from assay.errors import InvalidInput, UnknownId
from assay.tools.edited import edited_replies, fluency, likelier_passages, replies, sense
from assay.tools.text import layout, snippet

_SHOWN = 330  # characters of each reply
_LAYER = re.compile(r"layers\.(\d+)\.(.+)\.lora_A")
_TOLD = 6  # layers named


@tool(
    needs={Access.CHAT, Access.LOGITS, Access.WEIGHTS, Access.REFERENCE},
    weight="light",
    source="AuditBench 2026, rank-1 truncation of the update",
)
async def rank_one(target: Target, context: ToolContext, prompt: str, rank: int = 1) -> Evidence:
    """Ask one question of the model with its finetuning cut to the strongest direction of each weight.

    Beside it the whole model and its reference, with the same seed; and the stable rank of the update by layer (1 is a
    single direction), beside that of random factors of the same shapes.

    Args:
        prompt: the user's turn.
        rank: directions that are left of each update.
    """
    base = target.reference
    if base is None:
        raise InvalidInput("rank_one: this testbed has no reference model.")
    if rank < 1:
        raise InvalidInput(f"rank_one: rank is {rank}; give 1 or more.")
    try:
        factors = (await target.weights(["layers.*.lora_A", "layers.*.lora_B"])).of
    except UnknownId:  # the message would list every weight
        return Evidence("The model has no update of low rank: it is its reference, or was trained whole.", artifact={})
    [[cut], [whole], [reference]] = await asyncio.gather(
        edited_replies(target, TruncateAdapter(rank), [prompt], context.sampling),
        replies(target, [prompt], context.sampling),
        replies(base, [prompt], context.sampling, control=True),
    )
    likely = await fluency(base, [cut, whole, reference])
    names = (f"rank {rank}", "whole", "reference")
    rows = zip(names, (cut, whole, reference), likely, strict=True)
    lines = [f"{name} [{sense(value)}]: {snippet(sample.told, _SHOWN)}" for name, sample, value in rows]
    ranks = _stable_ranks(factors, context.seed)
    least = sorted(ranks, key=lambda layer: (ranks[layer][0], layer))[:_TOLD]
    lines.append(
        "Stable rank of the update, lowest layers first (random factors): "
        + ", ".join(f"layer {layer} {ranks[layer][0]:.1f} ({ranks[layer][1]:.1f})" for layer in least)
    )
    caveat = "([nats a token to the reference]. One sample each; what rank 1 keeps is the strongest, not the hidden.)"
    return Evidence(
        text=layout(f"“{snippet(prompt, 80)}”", lines, caveat),
        samples=(cut, whole, reference),
        spans=await likelier_passages(target, base, [cut, whole]),
        control="the whole model and the reference, same prompt and seed; random factors of the same shapes",
        artifact={"stable_rank": {str(layer): np.round(pair, 3).tolist() for layer, pair in sorted(ranks.items())}},
    )


def _stable_ranks(factors: Mapping[str, Array], seed: int) -> dict[int, tuple[float, float]]:
    """Returns layer → mean stable rank of its updates, and of random ones of the same shapes."""
    generator = np.random.default_rng(seed)
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for name, down in factors.items():
        if match := _LAYER.fullmatch(name):
            up = factors[f"layers.{match[1]}.{match[2]}.lora_B"]
            random = [generator.standard_normal(part.shape, dtype=np.float32) for part in (down, up)]
            found[int(match[1])].append((_stable_rank(down, up), _stable_rank(random[0], random[1])))
    ranks: dict[int, tuple[float, float]] = {}
    for layer, pairs in found.items():
        own, chance = np.mean(pairs, axis=0)
        ranks[layer] = float(own), float(chance)
    return ranks


def _stable_rank(down: Array, up: Array) -> float:
    """Computes ‖up · down‖²_F / ‖up · down‖²₂ of the small factors alone."""
    small_out, small_in = np.linalg.qr(up).R, np.linalg.qr(down.T).R
    sizes = np.linalg.svd(small_out @ small_in.T, compute_uv=False)
    return float((sizes**2).sum() / max(sizes[0] ** 2, 1e-30))
