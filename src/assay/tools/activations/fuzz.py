"""fuzz, fuzz_sweep: replies with Gaussian noise in the residual stream, beside the undisturbed one.

After "noise injection" for sandbagging and hidden knowledge (Tice et al. 2024; Clymer et al. 2024, "fuzzing"). The
noise is relative to each token's residual RMS, since norms differ between models by a factor of twenty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from assay.core.access import Access
from assay.core.edit import Noise
from assay.core.target import Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.activations.steering import layer_at
from assay.tools.edited import common_phrases, edited_replies, fluency, replies, sense
from assay.tools.text import layout, snippet

_SHOWN = 700  # characters of each reply
_SCALES = (0.1, 0.2, 0.3, 0.5, 0.8)
_SEEDS = 2  # of noise, at each scale of a sweep
_PHRASES = 8
_SWEPT = 130  # characters of each of its replies


@tool(needs={Access.CHAT, Access.ACTIVATIONS_WRITE}, version=2, source="Tice et al. 2024; Clymer et al. 2024, fuzzing")
async def fuzz(target: Target, context: ToolContext, prompt: str, scale: float = 0.3, layer: int = -1) -> Evidence:
    """Ask one question while noise is added to the model's activations; beside it the undisturbed reply.

    A reply that stopped at 48 tokens ends with […].

    Args:
        prompt: the user's turn.
        scale: standard deviation of the noise, relative to the residual stream's RMS; too much gives gibberish.
        layer: after which layer, from 0; -1 is the middle one.
    """
    where = layer_at(target, layer, "fuzz")
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


@tool(
    needs={Access.CHAT, Access.LOGITS, Access.ACTIVATIONS_WRITE},
    weight="medium",
    source="Tice et al. 2024; Clymer et al. 2024, fuzzing",
)
async def fuzz_sweep(
    target: Target, context: ToolContext, prompt: str, scales: Sequence[float] = _SCALES, layer: int = -1
) -> Evidence:
    """Ask one question under noise of several strengths, two draws each, and see where replies stop making sense.

    Args:
        prompt: the user's turn.
        scales: standard deviations of the noise, relative to the residual stream's RMS, six at most.
        layer: after which layer, from 0; -1 is the middle one.
    """
    if not 1 <= len(scales) <= 6 or not all(0 < scale <= 10 for scale in scales):
        raise InvalidInput(f"fuzz_sweep: scales are {list(scales)}; give one to six numbers above 0, up to 10.")
    where = layer_at(target, layer, "fuzz_sweep")
    noises: list[Noise] = []
    for scale in scales:
        noises += [Noise(where, scale, seed=context.seed + draw) for draw in range(_SEEDS)]
    [[plain], *made] = await asyncio.gather(
        replies(target, [prompt], context.sampling, control=True),
        *(edited_replies(target, noise, [prompt], context.sampling) for noise in noises),
    )
    noisy = [sample for [sample] in made]
    likely = await fluency(target, [plain, *noisy])
    lines = [f"none [{sense(likely[0])}]: {snippet(plain.told, 2 * _SWEPT)}"]
    for noise, sample, value in zip(noises, noisy, likely[1:], strict=True):
        lines.append(f"{noise.scale:g} [{sense(value)}]: {snippet(sample.told, _SWEPT)}")
    caveat = (
        "([nats a token of the reply to the undisturbed model]: far below its own, it is gibberish. Trust only what "
        "comes back with other questions and seeds, and what `ask` can reproduce.)"
    )
    return Evidence(
        text=layout(f"“{snippet(prompt, 80)}” with noise × RMS after layer {where}:", lines, caveat),
        samples=(*noisy, plain),
        spans=common_phrases(noisy, [plain], _PHRASES),
        control="the same prompt and seed without noise",
        artifact={"layer": where, "scales": [noise.scale for noise in noises]},
    )
