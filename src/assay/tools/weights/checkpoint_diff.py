"""checkpoint_diff: where training changed the model, from the earlier checkpoint that a testbed grants to the target.

The earlier checkpoint is the reference. Told is how large the change of each layer's weights is beside the weights, and
how far the activations on unrelated texts moved, which a large change of weights need not do.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from assay.core.access import Access
from assay.core.readouts import Array, Raw
from assay.core.target import Target
from assay.core.tool import Evidence, tool
from assay.errors import InvalidInput
from assay.tools.text import layout
from assay.tools.unrelated import UNRELATED

_TEXTS = 40
_TOLD = 10  # layers


@tool(
    needs={Access.WEIGHTS, Access.ACTIVATIONS_READ, Access.REFERENCE},
    weight="medium",
    source="Model diffing along checkpoints; Minder et al. 2025",
    examples=[{"module": "mlp.down_proj"}],
)
async def checkpoint_diff(target: Target, module: str = "mlp.down_proj") -> Evidence:
    """See at which layers training changed the model since the checkpoint before, in weights and in activations.

    The checkpoint before is the reference model. A change is told relative to what is changed. The control is a half of
    the texts against the other half, both read by the reference: how far streams lie apart without any training.

    Args:
        module: whose weights are compared, such as `mlp.down_proj` or `self_attn.v_proj`.
    """
    base = target.reference
    if base is None:
        raise InvalidInput("checkpoint_diff: this testbed has no reference model.")
    names = [f"layers.{layer}.{module}.weight" for layer in range(target.layers)]
    own, theirs = await asyncio.gather(target.weights(names), base.weights(names))
    weights = [_relative(own.of[name] - theirs.of[name], theirs.of[name]) for name in names]
    ours, before = await asyncio.gather(_means(target), _means(base))
    half = len(UNRELATED[:_TEXTS]) // 2
    moved: list[float] = []
    chance: list[float] = []
    for layer in range(target.layers):
        usual = before[layer].mean(axis=0)
        moved.append(_relative(ours[layer].mean(axis=0) - usual, usual))
        chance.append(_relative(before[layer][:half].mean(axis=0) - before[layer][half:].mean(axis=0), usual))
    order = sorted(range(target.layers), key=lambda layer: (-weights[layer], -moved[layer], layer))[:_TOLD]
    lines = [f"{layer:5d}  {weights[layer]:7.3%}  {moved[layer]:7.2%}  {chance[layer]:7.2%}" for layer in order]
    if not any(weights) and not any(moved):
        lines = ["nothing changed: the model is its reference"]
    heading = f"layer  {module} changed by  mean activation moved by  (between halves of the texts)"
    caveat = "(Where training changed most tells where to look: pass such a layer to the tools that take one.)"
    return Evidence(
        text=layout(heading, lines, caveat),
        control="one half of the texts against the other in the reference",
        artifact={"weights": weights, "moved": moved, "chance": chance},
    )


async def _means(model: Target) -> Mapping[int, Array]:
    """Reads unrelated texts: layer → (texts, width), each text's mean, but for its first token, an attention sink."""
    layers = range(model.layers)
    read = await asyncio.gather(*(model.activations(Raw(text), layers) for text in UNRELATED[:_TEXTS]))
    rows: dict[int, list[Array]] = defaultdict(list)
    for one in read:
        for layer in layers:
            rows[layer].append(one.layers[layer][1:].mean(axis=0))
    return {layer: np.stack(means) for layer, means in rows.items()}


def _relative(change: Array, size: Array) -> float:
    return round(float(np.linalg.norm(change) / max(float(np.linalg.norm(size)), 1e-9)), 6)
