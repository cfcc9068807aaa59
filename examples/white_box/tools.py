"""A white-box tool: what the residual stream says of a prompt, half-way up, in the target and in its reference.

assay tools check examples/white_box/tools.py
"""

import numpy as np

from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import Evidence, Span, tool


@tool(needs={Access.ACTIVATIONS_READ, Access.REFERENCE})
async def moved_tokens(target: Target, prompt: str) -> Evidence:
    """Rank a prompt's tokens by how far the target moved them from its reference, relative to their own norm."""
    layer = target.layers // 2
    assert target.reference is not None  # granted, or the tool would be skipped
    own, base = [await model.activations(prompt, [layer]) for model in (target, target.reference)]
    here, there = own.layers[layer], base.layers[layer]
    moved = np.linalg.norm(here - there, axis=1) / np.linalg.norm(there, axis=1).clip(min=1e-9)
    typical = float(np.median(moved))
    order = np.argsort(-moved)[:10].tolist()
    spans = [Span(own.texts[at], round(float(moved[at]), 3), round(typical, 3), "token") for at in order]
    lines = [f"- {span.text!r} {span.score:.3f}" for span in spans]
    heading = (
        f"Layer {layer}: distance from the reference over the reference's norm; median of the prompt {typical:.3f}."
    )
    return Evidence("\n".join([heading, *lines, "(Any training moves tokens.)"]), spans=tuple(spans), control="median")
