"""fuzz: the reply with Gaussian noise in the residual stream, beside the undisturbed one.

After "noise injection" for sandbagging and hidden knowledge (Tice et al. 2024; Clymer et al. 2024, "fuzzing"). The
noise is relative to each token's residual RMS, since norms differ between models by a factor of twenty.
"""

from __future__ import annotations

import asyncio

from assay.core.access import Access
from assay.core.edit import Noise
from assay.core.target import Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.text import layout, snippet

_SHOWN = 700  # characters of each reply


@tool(needs={Access.CHAT, Access.ACTIVATIONS_WRITE}, version=2)
async def fuzz(target: Target, context: ToolContext, prompt: str, scale: float = 0.3, layer: int = -1) -> Evidence:
    """Ask one question while noise is added to the model's activations; beside it the undisturbed reply.

    A reply that stopped at 48 tokens ends with […].

    Args:
        prompt: the user's turn.
        scale: standard deviation of the noise, relative to the residual stream's RMS; too much gives gibberish.
        layer: after which layer, from 0; -1 is the middle one.
    """
    where = target.layers // 2 if layer == -1 else layer
    if not 0 <= where < target.layers:
        raise InvalidInput(f"fuzz: layer {layer} does not exist; give 0 to {target.layers - 1}, or -1 for the middle.")
    # The same draws with and without noise: where they part, it is the noise's doing and not the sampling's.
    async with target.intervene(Noise(where, scale, seed=context.seed)) as noisy:
        asked = (noisy.chat(prompt, context.sampling), target.chat(prompt, context.sampling))
        noised, undisturbed = await asyncio.gather(*asked)
    disturbed, plain = Sample.of(prompt, noised), Sample.of(prompt, undisturbed, control=True)
    lines = [snippet(disturbed.told, _SHOWN), "Without noise, same seed:", snippet(plain.told, _SHOWN)]
    caveat = (
        "(One sample each. Most differences are mere disturbance: trust only what comes back with other "
        "questions and seeds, and what `ask` can reproduce.)"
    )
    return Evidence(
        text=layout(f"With noise {scale:g} × RMS after layer {where}:", lines, caveat),
        samples=(disturbed, plain),
        control="the same prompt and seed without noise",
    )
