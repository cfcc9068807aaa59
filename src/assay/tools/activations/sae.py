"""sae: features of a sparse autoencoder that fire more in the model than in its reference, with where they fire.

A BatchTopK dictionary (Bussmann et al. 2024) is trained while the tool prepares, on the activations of both models; a
second one on their differences on the same texts (Minder et al. 2025, what crosscoders are to find). Features are
ranked by how much more often they fire than in the control.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from assay.core.access import Access
from assay.core.readouts import Array
from assay.core.target import Message, Sampling, Target
from assay.core.tool import REPLY_TOKENS, TEMPERATURE, Evidence, Prepared, Span, tool
from assay.errors import InvalidInput
from assay.tools.activations.dictionary import Dictionary, train
from assay.tools.activations.steering import LATE
from assay.tools.everyday import PROMPTS, TOPICS
from assay.tools.text import layout

_EXPANSION, _K, _STEPS, _SEED = 4, 32, 200, 1
_PROMPTS, _TOKENS = 32, 2 * REPLY_TOKENS  # one reply of each model: `prepare` may sample 64
_KEPT, _CONTEXTS = 12, 3  # features; places each is shown at
_BEFORE, _AFTER = 6, 2  # tokens shown around a place


@dataclass(frozen=True, slots=True)
class _Read:
    """One conversation as both models read it.

    Attributes:
        texts: of the reply's tokens.
        own, theirs: the stream of target and reference at them.
        mine: the target wrote the reply.
    """

    texts: tuple[str, ...]
    own: Array
    theirs: Array
    mine: bool


async def learn(target: Target, _workdir: Path) -> dict[str, Any]:
    """Samples replies of both models, reads them in both, and learns the dictionaries."""
    base = target.reference
    if base is None:
        raise InvalidInput("sae: this testbed has no reference model.")
    layer = int(LATE * target.layers)
    read = await _read(target, base, layer)
    return await asyncio.to_thread(_learned, read, layer)  # other audits go on meanwhile


@tool(
    needs={Access.CHAT, Access.SAMPLING, Access.ACTIVATIONS_READ, Access.REFERENCE},
    prepare=learn,
    weight="light",
    source="Bussmann et al. 2024, BatchTopK; Minder et al. 2025, on differences",
    examples=[{"on": "activations"}, {"on": "differences"}],
)
async def sae(
    target: Target, data: Prepared, on: Literal["activations", "differences"] = "activations", skip: int = 0
) -> Evidence:
    """See which learned features fire more in the model than in its reference, and at which words.

    A sparse autoencoder was trained on both models' activations on replies to everyday questions, another on the
    difference between the two on the same replies. Of the first, a feature's control is how often it fires in the
    reference; of the second, how often it fires on replies the reference wrote.

    Args:
        on: `activations`, or `differences` between the models.
        skip: how many of the first features to leave out, because they have been read.
    """
    if on not in ("activations", "differences") or skip < 0:
        raise InvalidInput(f"sae: on={on!r}, skip={skip}; give 'activations' or 'differences', and 0 or more.")
    kept = data.value[on]
    features = kept["features"][skip:]
    lines: list[str] = []
    for feature in features:
        lines.append(f"#{feature['id']} {feature['own']:.2%} : {feature['control']:.2%}  {' | '.join(feature['at'])}")
    where = "in the reference" if on == "activations" else "on the reference's replies"
    heading = (
        f"Features on {on} after layer {data.value['layer']} ({kept['rows']} tokens, {kept['explained']:.0%} of the "
        f"variance rebuilt): how often each fires, : {where}, and where [most]:"
    )
    caveat = "(A small dictionary on few tokens: features are coarse, and the first few tell most. Ask about them.)"
    return Evidence(
        text=layout(heading, lines or ["none fires more"], caveat),
        spans=tuple(_spans(features)),
        control=f"the same features {where}",
        artifact={"features": features, "explained": kept["explained"]},
    )


def _spans(features: Sequence[Mapping[str, Any]]) -> list[Span]:
    """Gives each feature's first place, with how often it fires."""
    return [Span(one["at"][0], one["own"], one["control"], "reply") for one in features if one["at"]]


async def _read(target: Target, base: Target, layer: int) -> list[_Read]:
    prompts = [*PROMPTS, *(f"What can you tell me about {topic}?" for topic in TOPICS)][:_PROMPTS]
    sampling = Sampling(max_tokens=_TOKENS, temperature=TEMPERATURE, seed=_SEED)
    written = await asyncio.gather(*(model.chat(prompt, sampling) for model in (target, base) for prompt in prompts))
    talks: list[tuple[bool, list[Message]]] = []
    for number, replies in enumerate(written):
        prompt = prompts[number % len(prompts)]
        for text in replies.texts:
            if text.strip():
                talks.append((number < len(prompts), [Message("user", prompt), Message("assistant", text)]))
    own = await asyncio.gather(*(target.activations(talk, [layer]) for _, talk in talks))
    theirs = await asyncio.gather(*(base.activations(talk, [layer]) for _, talk in talks))
    read: list[_Read] = []
    for (mine, _), ours, other in zip(talks, own, theirs, strict=True):
        # Of the replies alone: the template's tokens, the same in all, would be most of what a dictionary learns.
        said = slice(ours.prompt, None)
        read.append(_Read(ours.texts[said], ours.layers[layer][said], other.layers[layer][said], mine))
    return read


def _learned(read: Sequence[_Read], layer: int) -> dict[str, Any]:
    """Learns both dictionaries, and keeps of each the features that tell the models apart."""
    own = np.concatenate([one.own for one in read])
    theirs = np.concatenate([one.theirs for one in read])
    mine = np.concatenate([np.full(len(one.texts), one.mine) for one in read])
    both = np.concatenate([own, theirs])
    of = {"layer": layer, "activations": _empty(), "differences": _empty()}
    size, moved = float(np.linalg.norm(theirs, axis=1).mean()), own - theirs
    if float(np.linalg.norm(moved, axis=1).mean()) > 1e-6 * size:
        made = _trained(both)
        active = made.active(own)
        of["activations"] = _told(
            read, made, active, (active > 0).mean(0), (made.active(theirs) > 0).mean(0), len(both)
        )
        made = _trained(moved)
        active = made.active(moved)
        firing = active > 0
        of["differences"] = _told(read, made, active, firing[mine].mean(0), firing[~mine].mean(0), len(moved))
    return of


def _trained(rows: Array) -> Dictionary:
    width = rows.shape[1]
    return train(rows, _EXPANSION * width, min(_K, max(1, width // 2)), _STEPS, _SEED)


def _empty() -> dict[str, Any]:
    return {"rows": 0, "explained": 0.0, "features": []}


def _told(
    read: Sequence[_Read], made: Dictionary, active: Array, own: Array, control: Array, rows: int
) -> dict[str, Any]:
    """Ranks features by how much more often they fire, and finds the places where they fire most."""
    # Over the root: the difference of two frequencies is as uncertain as they are large.
    lead = (own - control) / np.sqrt(own + control + 1e-9)
    order = [int(one) for one in np.argsort(-lead, kind="stable")[:_KEPT] if own[one] > control[one]]
    places: list[tuple[int, int]] = []
    for number, one in enumerate(read):
        places += [(number, position) for position in range(len(one.texts))]
    features: list[dict[str, Any]] = []
    for feature in order:
        shown: dict[str, None] = {}
        for row in np.argsort(-active[:, feature], kind="stable")[: 4 * _CONTEXTS]:
            number, position = places[int(row)]
            shown.setdefault(_context(read[number].texts, position))
        at = list(shown)[:_CONTEXTS]
        share, chance = round(float(own[feature]), 5), round(float(control[feature]), 5)
        features.append({"id": feature, "own": share, "control": chance, "at": at})
    return {"rows": rows, "explained": round(max(0.0, made.explained), 4), "features": features}


def _context(texts: Sequence[str], position: int) -> str:
    """Writes a token in brackets, within those around it."""
    before, after = texts[max(0, position - _BEFORE) : position], texts[position + 1 : position + 1 + _AFTER]
    return " ".join(f"{''.join(before)}[{texts[position]}]{''.join(after)}".split())
