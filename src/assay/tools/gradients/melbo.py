"""melbo: steering vectors that change most what a late layer makes of a question, found without knowing what for.

After MELBO and deep causal transcoding (Mack and Turner 2024, 2025): vectors of length R at an early layer that move
the stream of a late one furthest, at right angles to each other, found by iterating on the orthonormalised gradient. R
is chosen so that the quadratic part of the change is half its linear part: below, nothing new happens; above,
gibberish. It is chosen along random directions before the search, and along those that were found for the replies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.core.access import Access
from assay.core.edit import AddVector
from assay.core.readouts import Array, Shift, WithRespectTo
from assay.core.target import Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.activations.steering import LATE
from assay.tools.edited import common_phrases, edited_replies, fluency, phrases_told, replies, sense
from assay.tools.everyday import PROMPTS
from assay.tools.text import layout, snippet

_EARLY = 1 / 4  # of the depth
_RATIO = 0.5  # of the quadratic part of the change to the linear one
_RADII = (0.06, 0.125, 0.25, 0.5, 1.0, 2.0)  # tried, relative to the stream's length
_PROBES = 3  # of the random directions it starts from that each is tried on
_FIRST = 1  # token that is steered first: the very first is an attention sink
_PHRASES = 8
_SHOWN = 150  # characters of each reply
_NEEDS = {Access.CHAT, Access.LOGITS, Access.ACTIVATIONS_READ, Access.ACTIVATIONS_WRITE, Access.GRADIENTS}


@dataclass(frozen=True, slots=True)
class _Setting:
    """Where vectors are added and looked at, and how long they are.

    Attributes:
        prompt: the question.
        source: layer they are added after.
        late: layer whose change counts.
        radius: their length.
    """

    prompt: str
    source: int
    late: int
    radius: float

    def edit(self, unit: Array) -> AddVector:
        """Returns what adds a vector of that length."""
        return AddVector(self.source, tuple(unit.tolist()), self.radius, start=_FIRST)


@tool(needs=_NEEDS, weight="medium", source="Mack and Turner 2024, MELBO; 2025, deep causal transcoding")
async def melbo(target: Target, context: ToolContext, prompt: str, vectors: int = 4, steps: int = 8) -> Evidence:
    """Look for directions that change the model's mind most, without saying to what, and read replies along each.

    Each is a vector at an early layer that moves a late layer furthest on this question. Replies along random vectors
    of the same length are beside them.

    Args:
        prompt: the user's turn the vectors are found on, and whose reply is shown first.
        vectors: how many, at right angles to each other, 1 to 8.
        steps: of the search, 1 to 100.
    """
    if not 1 <= vectors <= min(8, target.width) or not 1 <= steps <= 100:
        raise InvalidInput(f"melbo: vectors={vectors}, steps={steps}; give 1 to 8 vectors and 1 to 100 steps.")
    generator = np.random.default_rng(context.seed)
    where = int(_EARLY * target.layers), int(LATE * target.layers)
    start = found = _orthonormal(generator.standard_normal((vectors, target.width), dtype=np.float32))
    setting = await _calibrated(target, prompt, where, start[:_PROBES])
    for _ in range(steps):
        found = _orthonormal(np.stack(await asyncio.gather(*(_slope(target, setting, unit) for unit in found))))
    setting = await _calibrated(target, prompt, where, found)
    own, chance = await asyncio.gather(_moved(target, setting, found), _moved(target, setting, start))
    asked = [prompt, *[other for other in PROMPTS if other != prompt][:2]]
    rows, pushed, [plain] = await asyncio.gather(
        _replies(target, setting, found, asked, context, control=False),
        _replies(target, setting, start, asked, context, control=True),
        replies(target, [prompt], context.sampling, control=True),
    )
    order = sorted(range(vectors), key=lambda index: -own[index])
    likely = await fluency(target, [plain, *(rows[index][0] for index in order)])
    lines = [f"none [{sense(likely[0])}]: {snippet(plain.told, _SHOWN)}"]
    for rank, (index, value) in enumerate(zip(order, likely[1:], strict=True), start=1):
        lines.append(f"{rank}. moves {own[index]:.2f} [{sense(value)}]: {snippet(rows[index][0].told, _SHOWN)}")
        lines.append(f"   random, {chance[index]:.2f}: {snippet(pushed[index][0].told, _SHOWN)}")
    ours, theirs = _flat(rows), _flat(pushed)
    spans = common_phrases(ours, [*theirs, plain], _PHRASES)
    lines.insert(0, f"In several replies along them (share, random): {phrases_told(spans)}")
    heading = (
        f"“{snippet(prompt, 80)}”: vectors of length {setting.radius:.1f} after layer {setting.source}, and how far "
        f"they move layer {setting.late} (× its length)."
    )
    caveat = "([nats a token to the undisturbed model]. One sample each. Most directions are style: ask on.)"
    return Evidence(
        text=layout(heading, lines, caveat),
        samples=(*ours, *theirs, plain),
        spans=spans,
        control="random vectors of the same length, and no vector",
        artifact={
            "radius": round(setting.radius, 3),
            "moves": [round(own[index], 4) for index in order],
            "random_moves": [round(chance[index], 4) for index in order],
        },
    )


async def _calibrated(target: Target, prompt: str, where: tuple[int, int], units: Array) -> _Setting:
    """Finds the length at which the quadratic part of the vectors' changes is half as large as the linear part."""
    source, late = where
    plain = await target.activations(prompt, [source, late])
    size = float(np.median(np.linalg.norm(plain.layers[source], axis=1)))

    async def ratio(radius: float) -> float:
        setting = _Setting(prompt, source, late, radius * size)
        both = await asyncio.gather(*(_stream(target, setting, sign * unit) for sign in (1, -1) for unit in units))
        there, back = np.stack(both[: len(units)]), np.stack(both[len(units) :])
        # What a vector and its opposite change alike is even, quadratic at first; what they change oppositely, linear.
        even, odd = there + back - 2 * plain.layers[late][_FIRST:], there - back
        return float(np.linalg.norm(even) / max(float(np.linalg.norm(odd)), 1e-9))

    ratios = await asyncio.gather(*(ratio(radius) for radius in _RADII))
    radius = float(np.exp(np.interp(np.log(_RATIO), np.log(np.maximum.accumulate(ratios)), np.log(_RADII))))
    return _Setting(prompt, source, late, radius * size)


async def _stream(target: Target, setting: _Setting, unit: Array) -> Array:
    async with target.intervene(setting.edit(unit)) as view:
        return (await view.activations(setting.prompt, [setting.late])).layers[setting.late][_FIRST:]


async def _slope(target: Target, setting: _Setting, unit: Array) -> Array:
    """Returns which way a vector would have to turn to move the late layer further."""
    async with target.intervene(setting.edit(unit)) as view:
        found = await view.gradients(setting.prompt, WithRespectTo("residual", (setting.source,)), Shift(setting.late))
    # Of the tokens that are steered: a slope at each of them, summed, is the slope of the one vector they share.
    slope: Array = -found.of[f"residual.{setting.source}"][_FIRST:].sum(axis=0)
    return slope


async def _moved(target: Target, setting: _Setting, units: Array) -> list[float]:
    """Computes how far each vector moves the late layer, relative to its length."""
    plain = (await target.activations(setting.prompt, [setting.late])).layers[setting.late][_FIRST:]
    streams = await asyncio.gather(*(_stream(target, setting, unit) for unit in units))
    return [float(np.linalg.norm(stream - plain) / np.linalg.norm(plain)) for stream in streams]


async def _replies(
    target: Target, setting: _Setting, units: Array, prompts: Sequence[str], context: ToolContext, *, control: bool
) -> list[list[Sample]]:
    return await asyncio.gather(
        *(edited_replies(target, setting.edit(unit), prompts, context.sampling, control=control) for unit in units)
    )


def _orthonormal(rows: Array) -> Array:
    """Makes rows of length 1 at right angles, the first one's direction kept."""
    q, r = np.linalg.qr(np.asarray(rows, dtype=np.float64).T)
    signed = (q * np.where(np.diag(r) < 0, -1, 1)).T
    made: Array = np.array(signed, dtype=np.float32)
    return made


def _flat(rows: Sequence[Sequence[Sample]]) -> list[Sample]:
    flat: list[Sample] = []
    for row in rows:
        flat += row
    return flat
